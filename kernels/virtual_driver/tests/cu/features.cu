// What a language runtime needs: printf, assert, calls through pointers, structs by value, local arrays.
struct Pair { int a; float b[3]; double c; };
__constant__ float table[5] = {1.f, 2.f, 3.f, 4.f, 5.f};
__device__ int counter = 7;
__device__ const char* names[2] = {"even", "odd"};
__noinline__ __device__ float scale(float x, int n) { float r = 0; for (int i = 0; i < n; i++) r += x * table[i % 5]; return r; }
__noinline__ __device__ float negate(float x, int n) { return -x * n; }
__noinline__ __device__ Pair change(Pair p, float k) { p.b[1] += k; p.a *= 2; p.c -= 1; return p; }
typedef float (*function)(float, int);
__device__ function functions[2] = {scale, negate};
extern "C" __global__ void calls(Pair p, float* out, int n) {
    int t = threadIdx.x;
    Pair q = change(p, (float)t);
    out[t] = functions[t & 1](q.b[1], n) + q.a + (float)q.c;
    atomicAdd(&counter, 1);
}
extern "C" __global__ void prints(int n) {
    if (threadIdx.x < n) printf("block %d thread %2d %s %.3f %llu%%\n", blockIdx.x, threadIdx.x, names[threadIdx.x & 1], threadIdx.x * 0.5, 1ull << 40);
}
extern "C" __global__ void asserts(int limit) { assert(threadIdx.x < limit); }
extern "C" __global__ void local_array(int* out, int n) {
    int values[16];
    for (int i = 0; i < 16; i++) values[(i * n) & 15] = i * 3 + threadIdx.x;
    int sum = 0;
    for (int i = 0; i < 16; i++) sum += values[(i + n + threadIdx.x) & 15] * (i + 1);
    out[threadIdx.x] = sum;
}
extern "C" __global__ void dynamic(float* x) {
    extern __shared__ float buffer[];
    __shared__ float fixed[64];
    buffer[threadIdx.x] = x[threadIdx.x]; fixed[threadIdx.x] = -1.f;
    __syncthreads();
    x[threadIdx.x] = buffer[63 - threadIdx.x] + fixed[threadIdx.x];
}
extern "C" __global__ void deadlock() { if (threadIdx.x < 32) __syncthreads(); else asm volatile("bar.sync 1;"); }
extern "C" __global__ void missing_lane(int* out) { if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(~0u, threadIdx.x, 0); else __syncthreads(); }
extern "C" __global__ void misaligned(char* p) { *(int*)(p + 1) = 3; }
extern "C" __global__ void shared_overrun(float* x, int n) { __shared__ float s[32]; s[threadIdx.x * n] = 1.f; __syncthreads(); x[threadIdx.x] = s[threadIdx.x]; }
extern "C" __global__ void ordered_float_sum(float* sum, const float* x, int n) { int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) atomicAdd(sum, x[i]); }
