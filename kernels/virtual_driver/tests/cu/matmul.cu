// c[m][n] = a[m][k] * b[n][k]^T in bf16 with f32 sums: four warps make 128 by 128, each 64 by 64, through two cp.async stages.
#include <cuda_bf16.h>

extern "C" __global__ void __launch_bounds__(128) matmul_bf16_wide(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c, int n, int k) {
    __shared__ __align__(16) __nv_bfloat16 sa[2][128][40], sb[2][128][40];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int m0 = blockIdx.y * 128, n0 = blockIdx.x * 128, wm = warp / 2 * 64, wn = warp % 2 * 64;
    float acc[4][8][4] = {};
    auto fetch = [&](int stage, int at) {
        #pragma unroll
        for (int j = 0; j < 4; j++) {
            int i = threadIdx.x + j * 128;
            unsigned to = (unsigned)__cvta_generic_to_shared(&sa[stage][i / 4][i % 4 * 8]);
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(a + (m0 + i / 4) * k + at + i % 4 * 8));
            to = (unsigned)__cvta_generic_to_shared(&sb[stage][i / 4][i % 4 * 8]);
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(b + (n0 + i / 4) * k + at + i % 4 * 8));
        }
        asm volatile("cp.async.commit_group;");
    };
    fetch(0, 0);
    for (int at = 0, stage = 0; at < k; at += 32, stage ^= 1) {
        if (at + 32 < k) { fetch(stage ^ 1, at + 32); asm volatile("cp.async.wait_group 1;"); }
        else asm volatile("cp.async.wait_group 0;");
        __syncthreads();
        #pragma unroll
        for (int kk = 0; kk < 32; kk += 16) {
            unsigned fa[4][4], fb[8][2];
            #pragma unroll
            for (int i = 0; i < 4; i++) {
                unsigned from = (unsigned)__cvta_generic_to_shared(&sa[stage][wm + i * 16 + lane % 16][kk + lane / 16 * 8]);
                asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(fa[i][0]), "=r"(fa[i][1]), "=r"(fa[i][2]), "=r"(fa[i][3]) : "r"(from));
            }
            #pragma unroll
            for (int j = 0; j < 8; j += 2) {
                unsigned from = (unsigned)__cvta_generic_to_shared(&sb[stage][wn + j * 8 + lane / 16 * 8 + lane % 8][kk + lane / 8 % 2 * 8]);
                asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(fb[j][0]), "=r"(fb[j][1]), "=r"(fb[j + 1][0]), "=r"(fb[j + 1][1]) : "r"(from));
            }
            #pragma unroll
            for (int i = 0; i < 4; i++)
                #pragma unroll
                for (int j = 0; j < 8; j++)
                    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                        : "+f"(acc[i][j][0]), "+f"(acc[i][j][1]), "+f"(acc[i][j][2]), "+f"(acc[i][j][3])
                        : "r"(fa[i][0]), "r"(fa[i][1]), "r"(fa[i][2]), "r"(fa[i][3]), "r"(fb[j][0]), "r"(fb[j][1]));
        }
        __syncthreads();
    }
    #pragma unroll
    for (int i = 0; i < 4; i++)
        #pragma unroll
        for (int j = 0; j < 8; j++) {
            float* to = c + (m0 + wm + i * 16 + lane / 4) * n + n0 + wn + j * 8 + lane % 4 * 2;
            *(float2*)to = make_float2(acc[i][j][0], acc[i][j][1]);
            *(float2*)(to + 8 * n) = make_float2(acc[i][j][2], acc[i][j][3]);
        }
}
