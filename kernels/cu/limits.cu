// What a device could do at best: bytes read from memory, and tensor-core products of operands that stay in registers.
//
// read_all: data [count] of 16 bytes; each thread reads elements i, i + threads of the grid, ... and combines them. `sink` [1] is
//   written only if the combination is a number that the caller knows not to occur, so that the loads cannot be left out.
// multiply_all: each warp does `steps` times eight independent m16n8k16 products, 32768 multiplications and additions in all; the
//   sums go to `sink` under the same condition.
// Numerics: of no consequence.
#include "tensor_core.cuh"
#include "warp.cuh"

#define THREADS 256

extern "C" __global__ void __launch_bounds__(THREADS) read_all(const uint4 *data, u32 *sink, u32 count) {
    u32 seen = 0, stride = gridDim.x * THREADS;
#pragma unroll 4 // four loads on the way
    for (u32 i = blockIdx.x * THREADS + threadIdx.x; i < count; i += stride) {
        uint4 value = data[i];
        seen ^= value.x ^ value.y ^ value.z ^ value.w;
    }
    if (seen == 0xdeadbeefu) *sink = seen;
}

extern "C" __global__ void __launch_bounds__(THREADS) multiply_all(u32 *sink, u32 steps) {
    float sums[8][4] = {};
    // bf16 pairs (1, 0)
    u32 fragment[4] = {0x3f80u, 0x3f80u, 0x3f80u, 0x3f80u};
#pragma unroll 1
    for (u32 step = 0; step < steps; step++) {
#pragma unroll
        for (int i = 0; i < 8; i++) multiply_add(sums[i], fragment, 0x3f80u, 0x3f80u);
    }
    float total = 0.0f;
#pragma unroll
    for (int i = 0; i < 32; i++) total += sums[i / 4][i % 4];
    if (total < 0.0f) *sink = __float_as_uint(total);
}
