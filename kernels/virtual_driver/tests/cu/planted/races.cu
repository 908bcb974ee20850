// Planted races, each with its corrected twin. HERE marks the line at which the sanitizer must report, OTHER that of the
// other party. All kernels have the same parameters: `y` and `x` have 1024 floats, `n` is at most that.
#define KERNEL(name) extern "C" __global__ void name(float* y, const float* x, int n, unsigned* counter)

KERNEL(neighbour_bug)
{
    __shared__ float s[64];
    int t = threadIdx.x;
    s[t] = x[t]; // OTHER
    y[t] = s[(t + n) % 64]; // HERE
}

KERNEL(neighbour_fixed)
{
    __shared__ float s[64];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    y[t] = s[(t + n) % 64];
}

KERNEL(overwrite_bug)
{
    __shared__ float s[64];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    float v = s[(t + n) % 64]; // OTHER
    s[t] = v + 1.0f; // HERE
    __syncthreads();
    y[t] = s[t];
}

KERNEL(overwrite_fixed)
{
    __shared__ float s[64];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    float v = s[(t + n) % 64];
    __syncthreads();
    s[t] = v + 1.0f;
    __syncthreads();
    y[t] = s[t];
}

KERNEL(same_slot_bug)
{
    __shared__ float s[2];
    s[n & 1] = x[threadIdx.x]; // HERE OTHER
    __syncthreads();
    y[threadIdx.x] = s[n & 1];
}

// Here all threads write the same value, which is no race.
KERNEL(same_slot_fixed)
{
    __shared__ float s[2];
    s[n & 1] = x[0];
    __syncthreads();
    y[threadIdx.x] = s[n & 1];
}

KERNEL(warp_exchange_bug)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    s[t] = x[t]; // OTHER
    y[t] = s[(t + n) & 31]; // HERE
}

KERNEL(warp_exchange_fixed)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncwarp();
    y[t] = s[(t + n) & 31];
}

KERNEL(half_warp_exchange_bug)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    s[t] = x[t]; // OTHER
    if (t < 16)
        __syncwarp(0xffff);
    else
        __syncwarp(0xffff0000);
    y[t] = s[(t + n) & 31]; // HERE
}

KERNEL(half_warp_exchange_fixed)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    s[t] = x[t];
    if (t < 16)
        __syncwarp(0xffff);
    else
        __syncwarp(0xffff0000);
    y[t] = s[(t & 16) | ((t + n) & 15)];
}

// Shuffles promise no order of memory.
KERNEL(shuffle_is_no_barrier_bug)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    s[t] = x[t]; // OTHER
    int from = __shfl_xor_sync(0xffffffff, t, n);
    y[t] = s[from]; // HERE
}

KERNEL(shuffle_is_no_barrier_fixed)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    s[t] = x[t];
    int from = __shfl_xor_sync(0xffffffff, t, n);
    __syncwarp();
    y[t] = s[from];
}

KERNEL(few_at_the_barrier_bug)
{
    __shared__ float s[96];
    int t = threadIdx.x;
    s[t] = x[t]; // OTHER
    if (t < 64)
        asm volatile("bar.sync 1, 64;" ::: "memory");
    y[t] = s[(t + n) % 96]; // HERE
}

KERNEL(few_at_the_barrier_fixed)
{
    __shared__ float s[96];
    int t = threadIdx.x;
    s[t] = x[t];
    asm volatile("bar.sync 1, 96;" ::: "memory");
    y[t] = s[(t + n) % 96];
}

// The consumer arrives where it should wait.
KERNEL(arrive_is_no_wait_bug)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    if (t >= 32) {
        asm volatile("bar.sync 1, 64;" ::: "memory");
        s[t - 32] = x[t]; // HERE
    } else {
        s[t] = x[t]; // OTHER
        asm volatile("bar.sync 2, 32;" ::: "memory");
        asm volatile("bar.arrive 1, 64;" ::: "memory");
        y[t] = s[(t + n) & 31]; // OTHER
    }
}

KERNEL(arrive_is_no_wait_fixed)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    if (t >= 32) {
        asm volatile("bar.sync 1, 64;" ::: "memory");
        s[t - 32] = x[t];
    } else {
        s[t] = x[t];
        asm volatile("bar.sync 2, 32;" ::: "memory");
        y[t] = s[(t + n) & 31];
        asm volatile("bar.arrive 1, 64;" ::: "memory");
    }
}

KERNEL(atomic_and_plain_bug)
{
    __shared__ unsigned s[2];
    int t = threadIdx.x;
    if (t < 2)
        s[t] = 0;
    __syncthreads();
    atomicAdd(&s[n & 1], 1); // OTHER
    y[t] = s[n & 1]; // HERE
}

KERNEL(atomic_and_plain_fixed)
{
    __shared__ unsigned s[2];
    int t = threadIdx.x;
    if (t < 2)
        s[t] = 0;
    __syncthreads();
    atomicAdd(&s[n & 1], 1);
    __syncthreads();
    y[t] = s[n & 1];
}

KERNEL(bytes_bug)
{
    __shared__ unsigned char s[64];
    int t = threadIdx.x;
    s[t] = t; // OTHER
    __syncwarp();
    y[t] = s[(t + n) & 63]; // HERE
}

// Neighbouring bytes are nobody else's.
KERNEL(bytes_fixed)
{
    __shared__ unsigned char s[64];
    int t = threadIdx.x;
    s[t] = t;
    __syncwarp();
    y[t] = s[(t & 32) | ((t + n) & 31)];
}

// Between blocks.

KERNEL(halo_bug)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = x[i]; // OTHER
    __syncthreads();
    y[512 + i] = y[i >= n ? i - n : i]; // HERE
}

KERNEL(halo_fixed)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = x[i];
    __syncthreads();
    y[512 + i] = x[i >= n ? i - n : i];
}

KERNEL(result_bug)
{
    if (threadIdx.x == 0)
        y[n] = x[blockIdx.x]; // HERE OTHER
}

KERNEL(result_fixed)
{
    if (threadIdx.x == 0)
        y[n + blockIdx.x] = x[blockIdx.x];
}

KERNEL(histogram_bug)
{
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (threadIdx.x == 0)
        counter[i & n] += 1; // HERE OTHER
}

KERNEL(histogram_fixed)
{
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (threadIdx.x == 0)
        atomicAdd(&counter[i & n], 1);
}

KERNEL(scratch_bug)
{
    int t = threadIdx.x;
    y[t] = x[t]; // OTHER
    y[512 + t] = y[(t + n) % 64]; // HERE
}

KERNEL(scratch_fixed)
{
    int t = threadIdx.x;
    y[t] = x[t];
    __syncthreads();
    y[512 + t] = y[(t + n) % 64];
}

// The last block adds up what all have left.

KERNEL(last_block_bug)
{
    __shared__ bool is_last;
    int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
    y[i] = x[i]; // OTHER
    __syncthreads();
    if (t == 0)
        is_last = atomicAdd(counter, 1) == gridDim.x - 1;
    __syncthreads();
    if (is_last)
        y[512 + t] = y[t] + y[t + n]; // HERE
}

KERNEL(last_block_fixed)
{
    __shared__ bool is_last;
    int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
    y[i] = x[i];
    __threadfence();
    __syncthreads();
    if (t == 0)
        is_last = atomicAdd(counter, 1) == gridDim.x - 1;
    __syncthreads();
    if (is_last)
        y[512 + t] = y[t] + y[t + n];
}

KERNEL(last_block_narrow_fence_bug)
{
    __shared__ bool is_last;
    int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
    y[i] = x[i]; // OTHER
    __threadfence_block();
    __syncthreads();
    if (t == 0)
        is_last = atomicAdd(counter, 1) == gridDim.x - 1;
    __syncthreads();
    if (is_last)
        y[512 + t] = y[t] + y[t + n]; // HERE
}

// One thread fences for all, behind the barrier.
KERNEL(last_block_narrow_fence_fixed)
{
    __shared__ bool is_last;
    int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
    y[i] = x[i];
    __syncthreads();
    if (t == 0) {
        __threadfence();
        is_last = atomicAdd(counter, 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (is_last)
        y[512 + t] = y[t] + y[t + n];
}

KERNEL(lock_bug)
{
    if (threadIdx.x == 0) {
        while (atomicCAS(counter, 0, 1) != 0)
            ;
        y[n] += x[blockIdx.x]; // HERE OTHER
        atomicExch(counter, 0);
    }
}

KERNEL(lock_fixed)
{
    if (threadIdx.x == 0) {
        while (atomicCAS(counter, 0, 1) != 0)
            ;
        __threadfence();
        y[n] += x[blockIdx.x];
        __threadfence();
        atomicExch(counter, 0);
    }
}
