// Planted bugs with barriers and masks; see races.cu.
#define KERNEL(name) extern "C" __global__ void name(float* y, const float* x, int n, unsigned* counter)
#define BARRIER(comment) asm volatile("bar.sync 0; // " comment ::: "memory")

KERNEL(two_barriers_bug)
{
    if (threadIdx.x < 16) {
        y[threadIdx.x] = x[threadIdx.x];
        BARRIER("low"); // HERE OTHER
    } else {
        BARRIER("high"); // HERE OTHER
        y[threadIdx.x] = 1.0f;
    }
}

KERNEL(two_barriers_fixed)
{
    if (threadIdx.x < 16)
        y[threadIdx.x] = x[threadIdx.x];
    BARRIER("all");
    if (threadIdx.x >= 16)
        y[threadIdx.x] = 1.0f;
}

KERNEL(unnamed_lanes_bug)
{
    int v = __shfl_xor_sync(0xffff, threadIdx.x, n); // HERE
    y[threadIdx.x] = v;
}

KERNEL(unnamed_lanes_fixed)
{
    int v = __shfl_xor_sync(0xffffffff, threadIdx.x, n);
    y[threadIdx.x] = v;
}

KERNEL(masks_disagree_bug)
{
    unsigned mask = threadIdx.x < 16 ? 0xffffffff : 0xffff0000;
    int v = __shfl_xor_sync(mask, threadIdx.x, n); // HERE
    y[threadIdx.x] = v;
}

KERNEL(masks_disagree_fixed)
{
    unsigned mask = threadIdx.x < 16 ? 0xffff : 0xffff0000;
    int v = __shfl_xor_sync(mask, threadIdx.x, n);
    y[threadIdx.x] = v;
}

KERNEL(ended_lanes_bug)
{
    int t = threadIdx.x;
    if (t >= 24)
        return;
    float v = x[t];
    v += __shfl_down_sync(0xffffffff, v, n); // HERE
    y[t] = v;
}

KERNEL(ended_lanes_fixed)
{
    int t = threadIdx.x;
    float v = t < 24 ? x[t] : 0.0f;
    v += __shfl_down_sync(0xffffffff, v, n);
    if (t < 24)
        y[t] = v;
}

KERNEL(nobody_comes_bug)
{
    if (threadIdx.x < 32)
        asm volatile("bar.sync 1, 64;" ::: "memory"); // HERE
    y[threadIdx.x] = x[threadIdx.x];
}

KERNEL(nobody_comes_fixed)
{
    if (threadIdx.x < 32)
        asm volatile("bar.sync 1, 32;" ::: "memory");
    y[threadIdx.x] = x[threadIdx.x];
}

KERNEL(different_barriers_bug)
{
    if (threadIdx.x < 32)
        asm volatile("bar.sync 1, 64;" ::: "memory"); // HERE
    else
        asm volatile("bar.sync 2, 64;" ::: "memory");
    y[threadIdx.x] = x[threadIdx.x];
}

KERNEL(different_barriers_fixed)
{
    if (threadIdx.x < 32)
        asm volatile("bar.sync 1, 64; // low" ::: "memory");
    else
        asm volatile("bar.sync 1, 64; // high" ::: "memory");
    y[threadIdx.x] = x[threadIdx.x];
}

KERNEL(vote_without_all_bug)
{
    int v = 0;
    if (threadIdx.x < 16)
        v = __ballot_sync(0xffffffff, x[threadIdx.x] > 0.0f); // HERE
    else
        BARRIER("the others wait here");
    y[threadIdx.x] = v;
}

KERNEL(vote_without_all_fixed)
{
    int v = 0;
    if (threadIdx.x < 16)
        v = __ballot_sync(0xffff, x[threadIdx.x] > 0.0f);
    BARRIER("all wait here");
    y[threadIdx.x] = v;
}
