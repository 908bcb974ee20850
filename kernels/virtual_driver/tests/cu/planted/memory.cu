// Planted bugs with addresses and with memory that nobody wrote; see races.cu. The last 24 floats of x are never written,
// nor is counter[8] and what follows up to counter[15].
#define KERNEL(name) extern "C" __global__ void name(float* y, const float* x, int n, unsigned* counter)

KERNEL(unwritten_input_bug)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = x[i + 960] * 2.0f; // HERE
}

KERNEL(unwritten_input_fixed)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < 40)
        y[i] = x[i + 960] * 2.0f;
}

KERNEL(unwritten_tail_bug)
{
    __shared__ float s[64];
    int t = threadIdx.x;
    if (t < n)
        s[t] = x[t];
    __syncthreads();
    y[t] = s[63 - t]; // HERE
}

KERNEL(unwritten_tail_fixed)
{
    __shared__ float s[64];
    int t = threadIdx.x;
    s[t] = t < n ? x[t] : 0.0f;
    __syncthreads();
    y[t] = s[63 - t];
}

KERNEL(unwritten_local_bug)
{
    float a[8];
    for (int i = 0; i < n; i++)
        a[i] = x[i];
    y[threadIdx.x] = a[(threadIdx.x + n) & 7]; // HERE
}

KERNEL(unwritten_local_fixed)
{
    float a[8];
    for (int i = 0; i < 8; i++)
        a[(i + n) & 7] = x[i];
    y[threadIdx.x] = a[(threadIdx.x + n) & 7];
}

__device__ __noinline__ float pick(const float* x, int n, bool fills)
{
    float a[8];
    if (fills)
        for (int i = 0; i < 8; i++)
            a[(i + n) & 7] = x[i];
    return a[n & 7]; // CALLED
}

// The second call finds the memory of the first, which is not its own.
KERNEL(unwritten_frame_bug)
{
    y[threadIdx.x] = pick(x, n, true) + pick(x, n + 1, false); // HERE
}

KERNEL(unwritten_frame_fixed)
{
    y[threadIdx.x] = pick(x, n, true) + pick(x, n + 1, true);
}

KERNEL(unwritten_counter_bug)
{
    atomicAdd(&counter[n + 8], 1); // HERE
}

KERNEL(unwritten_counter_fixed)
{
    atomicAdd(&counter[n], 1);
}

KERNEL(past_the_end_bug)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i + 1000] = x[i]; // HERE
}

KERNEL(past_the_end_fixed)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < 24)
        y[i + 1000] = x[i];
}

KERNEL(before_the_start_bug)
{
    int i = threadIdx.x;
    y[i] = x[i - 1]; // HERE
}

KERNEL(before_the_start_fixed)
{
    int i = threadIdx.x;
    y[i] = x[i > 0 ? i - 1 : 0];
}

KERNEL(misaligned_bug)
{
    float2 v = *(const float2*)(x + threadIdx.x + 1); // HERE
    y[threadIdx.x] = v.x + v.y;
}

KERNEL(misaligned_fixed)
{
    float2 v = *(const float2*)(x + 2 * threadIdx.x);
    y[threadIdx.x] = v.x + v.y;
}

KERNEL(shared_too_small_bug)
{
    extern __shared__ float s[];
    int t = threadIdx.x;
    s[t + n] = x[t]; // HERE
    __syncthreads();
    y[t] = s[t + n];
}

KERNEL(shared_too_small_fixed)
{
    extern __shared__ float s[];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    y[t] = s[t];
}

KERNEL(local_too_small_bug)
{
    float a[8];
    for (int i = 0; i < 8; i++)
        a[(i + n) & 7] = x[i];
    y[threadIdx.x] = a[n * 100]; // HERE
}

KERNEL(local_too_small_fixed)
{
    float a[8];
    for (int i = 0; i < 8; i++)
        a[(i + n) & 7] = x[i];
    y[threadIdx.x] = a[n];
}
