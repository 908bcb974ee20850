// Kernels that stand for what real programs do: reductions, transposes, tiles, tensor cores.
#include <cuda_bf16.h>

extern "C" __global__ void block_sum(const float* x, float* out, int n) {
    __shared__ float partial[32];
    float sum = 0.f;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum += x[i];
    for (int d = 16; d > 0; d >>= 1) sum += __shfl_down_sync(0xffffffffu, sum, d);
    if ((threadIdx.x & 31) == 0) partial[threadIdx.x >> 5] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = threadIdx.x < (blockDim.x + 31) / 32 ? partial[threadIdx.x] : 0.f;
        for (int d = 16; d > 0; d >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, d);
        if (threadIdx.x == 0) out[blockIdx.x] = sum;
    }
}

extern "C" __global__ void transpose(const float* in, float* out, int rows, int columns) {
    __shared__ float tile[32][33];
    int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
    for (int j = 0; j < 32; j += 8)
        if (x < columns && y + j < rows) tile[threadIdx.y + j][threadIdx.x] = in[(y + j) * columns + x];
    __syncthreads();
    x = blockIdx.y * 32 + threadIdx.x; y = blockIdx.x * 32 + threadIdx.y;
    for (int j = 0; j < 32; j += 8)
        if (x < rows && y + j < columns) out[(y + j) * rows + x] = tile[threadIdx.x][threadIdx.y + j];
}

extern "C" __global__ void matmul_f32(const float* a, const float* b, float* c, int n) {
    __shared__ float ta[16][16], tb[16][16];
    int row = blockIdx.y * 16 + threadIdx.y, column = blockIdx.x * 16 + threadIdx.x;
    float sum = 0.f;
    for (int k = 0; k < n; k += 16) {
        ta[threadIdx.y][threadIdx.x] = a[row * n + k + threadIdx.x];
        tb[threadIdx.y][threadIdx.x] = b[(k + threadIdx.y) * n + column];
        __syncthreads();
        #pragma unroll
        for (int i = 0; i < 16; i++) sum += ta[threadIdx.y][i] * tb[i][threadIdx.x];
        __syncthreads();
    }
    c[row * n + column] = sum;
}

// c[m][n] = a[m][k] * b[n][k]^T. One warp makes 16 x 64; k in steps of 32 through a ring of two cp.async stages.
extern "C" __global__ void __launch_bounds__(32) matmul_bf16(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c, int n, int k) {
    __shared__ __align__(16) __nv_bfloat16 sa[2][16][40], sb[2][64][40];
    int lane = threadIdx.x, m0 = blockIdx.y * 16, n0 = blockIdx.x * 64;
    float acc[8][4] = {};
    auto fetch = [&](int stage, int at) {
        for (int i = lane; i < 16 * 4; i += 32) {
            unsigned to = (unsigned)__cvta_generic_to_shared(&sa[stage][i / 4][i % 4 * 8]);
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(a + (m0 + i / 4) * k + at + i % 4 * 8));
        }
        for (int i = lane; i < 64 * 4; i += 32) {
            unsigned to = (unsigned)__cvta_generic_to_shared(&sb[stage][i / 4][i % 4 * 8]);
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
            unsigned fa[4], fb[4];
            unsigned from = (unsigned)__cvta_generic_to_shared(&sa[stage][lane % 16][kk + lane / 16 * 8]);
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(fa[0]), "=r"(fa[1]), "=r"(fa[2]), "=r"(fa[3]) : "r"(from));
            #pragma unroll
            for (int j = 0; j < 8; j += 2) {
                from = (unsigned)__cvta_generic_to_shared(&sb[stage][j * 8 + lane / 16 * 8 + lane % 8][kk + lane / 8 % 2 * 8]);
                asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(fb[0]), "=r"(fb[1]), "=r"(fb[2]), "=r"(fb[3]) : "r"(from));
                #pragma unroll
                for (int h = 0; h < 2; h++)
                    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                        : "+f"(acc[j + h][0]), "+f"(acc[j + h][1]), "+f"(acc[j + h][2]), "+f"(acc[j + h][3])
                        : "r"(fa[0]), "r"(fa[1]), "r"(fa[2]), "r"(fa[3]), "r"(fb[2 * h]), "r"(fb[2 * h + 1]));
            }
        }
        __syncthreads();
    }
    for (int j = 0; j < 8; j++) {
        float* to = c + (m0 + lane / 4) * n + n0 + j * 8 + lane % 4 * 2;
        *(float2*)to = make_float2(acc[j][0], acc[j][1]);
        *(float2*)(to + 8 * n) = make_float2(acc[j][2], acc[j][3]);
    }
}

extern "C" __global__ void softmax(const float* x, float* out, int columns) {
    __shared__ float shared[32];
    const float* row = x + (size_t)blockIdx.x * columns;
    auto reduce = [&](float v, bool is_max) {
        for (int d = 16; d > 0; d >>= 1) { float o = __shfl_xor_sync(~0u, v, d); v = is_max ? fmaxf(v, o) : v + o; }
        __syncthreads();
        if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = v;
        __syncthreads();
        v = shared[0];
        for (int w = 1; w < blockDim.x / 32; w++) v = is_max ? fmaxf(v, shared[w]) : v + shared[w];
        return v;
    };
    float most = -1.0f / 0.0f;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) most = fmaxf(most, row[i]);
    most = reduce(most, true);
    float sum = 0.f;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += __expf(row[i] - most);
    sum = reduce(sum, false);
    for (int i = threadIdx.x; i < columns; i += blockDim.x) out[(size_t)blockIdx.x * columns + i] = __expf(row[i] - most) / sum;
}

extern "C" __global__ void histogram(const unsigned* x, unsigned* bins, unsigned* order, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) { atomicAdd(bins + x[i] % 7, 1u); atomicMax(bins + 7, x[i]); order[atomicAdd(bins + 8, 1u)] = i; }
}

// Loops of different length, early exits, a nested divergent call and a switch.
__device__ __noinline__ int collatz(unsigned n) { int steps = 0; while (n != 1) { n = n & 1 ? 3 * n + 1 : n / 2; if (++steps > 500) return -1; } return steps; }
__device__ __noinline__ unsigned fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
extern "C" __global__ void diverge(int* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int r = i % 3 ? collatz(i + 1) : 0;
    switch (i % 11) {
        case 0: r += 5; break; case 1: r *= 3; case 2: r ^= 9; break; case 3: r -= i; break; case 4: r += collatz(i + 7); break;
        case 5: for (int j = 0; j < i % 13; j++) { if (j == 7) break; if (j & 1) continue; r += j * j; } break;
        case 6: r = fib(i % 9); break; case 7: goto done; case 8: r = -r; break; default: r = r << 1;
    }
    r += __popc(__activemask()) > 0;
done:
    out[i] = r;
}

// A lock taken lane by lane: needs fairness between the lanes of a warp.
extern "C" __global__ void spin(int* lock, int* count) {
    bool done = false;
    while (!done) {
        if (atomicCAS(lock, 0, 1) == 0) { *(volatile int*)count += 1; __threadfence(); atomicExch(lock, 0); done = true; }
    }
}
extern "C" __global__ void spin_naive(int* lock, int* count) {
    while (atomicCAS(lock, 0, 1) != 0) {}
    *(volatile int*)count += 1; __threadfence(); atomicExch(lock, 0);
}
extern "C" __global__ void hang(int* flag) { while (*(volatile int*)flag == 0) {} }
extern "C" __global__ void producer_consumer(float* x) {
    __shared__ float buffer[64];
    if (threadIdx.x < 64) { buffer[threadIdx.x] = x[threadIdx.x] * 2.f; asm volatile("bar.arrive 1, 128;" ::: "memory"); }
    else { asm volatile("bar.sync 1, 128;" ::: "memory"); x[threadIdx.x] = buffer[127 - threadIdx.x]; }
}
