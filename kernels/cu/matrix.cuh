// Weight matrices as the tensor cores want them (src/cuda/matrix.rs lays them out).
//
// A matrix [outputs, inputs] is cut into tiles of 16 outputs (gated matrices alternate gate and up tiles) and steps of 16 inputs.
// A tile's step is 512 bytes, 16 for each lane of a warp: exactly its B fragments of two m16n8k16 products, outputs 0..8 and 8..16.
// Word (tile, step, lane, w) holds inputs 16 step + 2 (lane % 4) + 8 (w % 2) and the next, of output 8 (w / 2) + lane / 4.
// So a fragment is one conflict-free 16-byte load from shared memory, and a step is one coalesced 512-byte copy. Missing inputs
// and outputs are zeros.
#pragma once
#include "numerics.cuh"

#define TILE 16
#define STEP 16
#define STEP_WORDS 128 // 32-bit words of one step of one tile
#define LANE_WORDS 4

// Index of the word that holds the inputs of `pair` (inputs 2 pair and 2 pair + 1) of an output of an ungated matrix.
__device__ __forceinline__ u64 matrix_word(u32 output, u32 pair, u32 steps) {
    u32 in_tile = output % TILE, in_step = pair % (STEP / 2);
    u64 step = (u64)(output / TILE) * steps + pair / (STEP / 2);
    return step * STEP_WORDS + ((in_tile % 8) * 4 + in_step % 4) * LANE_WORDS + in_tile / 8 * 2 + in_step / 4;
}
