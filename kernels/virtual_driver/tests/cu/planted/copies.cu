// Planted bugs with cp.async; see races.cu.
#define KERNEL(name) extern "C" __global__ void name(float* y, const float* x, int n, unsigned* counter)
#define COPY(to, from)                                                                                                 \
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"((unsigned)__cvta_generic_to_shared(to)), "l"(from)   \
                 : "memory")
#define COMMIT() asm volatile("cp.async.commit_group;" ::: "memory")
#define WAIT(groups) asm volatile("cp.async.wait_group " #groups ";" ::: "memory")

KERNEL(no_wait_bug)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    COPY(&s[t], &x[t]); // OTHER
    COMMIT();
    __syncthreads();
    y[t] = s[t]; // HERE
    WAIT(0);
}

KERNEL(no_wait_fixed)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    COPY(&s[t], &x[t]);
    COMMIT();
    WAIT(0);
    __syncthreads();
    y[t] = s[t];
}

KERNEL(wait_too_little_bug)
{
    __shared__ float s[2][32];
    int t = threadIdx.x;
    COPY(&s[0][t], &x[t]);
    COMMIT();
    COPY(&s[1][t], &x[32 + t]); // OTHER
    COMMIT();
    WAIT(1);
    __syncthreads();
    y[t] = s[0][t];
    y[32 + t] = s[1][t]; // HERE
    WAIT(0);
}

KERNEL(wait_too_little_fixed)
{
    __shared__ float s[2][32];
    int t = threadIdx.x;
    COPY(&s[0][t], &x[t]);
    COMMIT();
    COPY(&s[1][t], &x[32 + t]);
    COMMIT();
    WAIT(1);
    __syncthreads();
    y[t] = s[0][t];
    WAIT(0);
    __syncthreads();
    y[32 + t] = s[1][t];
}

// A wait waits for the thread's own copies only.
KERNEL(wait_without_barrier_bug)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    COPY(&s[t], &x[t]); // OTHER
    COMMIT();
    WAIT(0);
    y[t] = s[(t + n) & 31]; // HERE
}

KERNEL(wait_without_barrier_fixed)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    COPY(&s[t], &x[t]);
    COMMIT();
    WAIT(0);
    __syncwarp();
    y[t] = s[(t + n) & 31];
}

// A barrier before the wait orders nothing that the wait brings.
KERNEL(barrier_before_wait_bug)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    COPY(&s[t], &x[t]); // OTHER
    COMMIT();
    __syncthreads();
    WAIT(0);
    y[t] = s[(t + n) & 31]; // HERE
}

KERNEL(barrier_before_wait_fixed)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    COPY(&s[t], &x[t]);
    COMMIT();
    WAIT(0);
    __syncthreads();
    y[t] = s[(t + n) & 31];
}

KERNEL(refill_too_early_bug)
{
    __shared__ float s[64];
    int t = threadIdx.x;
    COPY(&s[t], &x[t]);
    COMMIT();
    WAIT(0);
    __syncthreads();
    y[t] = s[(t + n) & 63]; // OTHER
    COPY(&s[t], &x[64 + t]); // HERE
    COMMIT();
    WAIT(0);
    __syncthreads();
    y[64 + t] = s[(t + n) & 63];
}

KERNEL(refill_too_early_fixed)
{
    __shared__ float s[64];
    int t = threadIdx.x;
    COPY(&s[t], &x[t]);
    COMMIT();
    WAIT(0);
    __syncthreads();
    y[t] = s[(t + n) & 63];
    __syncthreads();
    COPY(&s[t], &x[64 + t]);
    COMMIT();
    WAIT(0);
    __syncthreads();
    y[64 + t] = s[(t + n) & 63];
}

KERNEL(left_behind_bug)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    y[t] = x[t];
    COPY(&s[t], &x[t]); // OTHER
    COMMIT();
} // HERE

KERNEL(left_behind_fixed)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    y[t] = x[t];
    COPY(&s[t], &x[t]);
    COMMIT();
    WAIT(0);
}

// The last 24 floats of x are never written.
KERNEL(unwritten_source_bug)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    COPY(&s[t], &x[992 + t]); // HERE
    COMMIT();
    WAIT(0);
    y[t] = s[t];
}

KERNEL(unwritten_source_fixed)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    COPY(&s[t], &x[960 + t]);
    COMMIT();
    WAIT(0);
    y[t] = s[t];
}
