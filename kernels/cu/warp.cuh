// Reductions over a warp and over a block, each a fixed tree: the order depends on the number of threads alone.
#pragma once
#include "numerics.cuh"

#define WARP 32
#define ALL_LANES 0xffffffffu

__device__ __forceinline__ u32 lane_index() { return threadIdx.x % WARP; }
__device__ __forceinline__ u32 warp_index() { return threadIdx.x / WARP; }

// x[i] + x[i ^ 16], + [i ^ 8], ... : the same sum in every lane, since IEEE addition commutes.
__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
    for (int offset = WARP / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(ALL_LANES, value, offset);
    return value;
}

// Sum over a block of THREADS threads: warps first, then their sums in index order. `scratch` holds one float a warp; the
// caller must not write it again before a barrier.
template <int THREADS>
__device__ __forceinline__ float block_sum(float value, float *scratch) {
    value = warp_sum(value);
    if (lane_index() == 0) scratch[warp_index()] = value;
    __syncthreads();
    float total = scratch[0];
#pragma unroll
    for (int warp = 1; warp < THREADS / WARP; warp++) total += scratch[warp];
    return total;
}
