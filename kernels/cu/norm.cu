// RMS norm and LayerNorm of the residual stream.
//
// Shapes: input [rows, width] f32; weight, bias [width] f32 (bias may be null); output [selected rows, stride] bf16 operands,
//   stride = width rounded up to even, the pad is zero. All rows, or the rows that go through the LM head, gathered.
// Threads: one block of 256 threads a row; thread t takes elements t, t + 256, ...
// Numerics: f32. A thread sums its elements in index order, a warp by the xor tree, warps in index order: the order depends on
//   the width alone. LayerNorm subtracts the mean before it squares. Division and square root round to nearest.
// Why so: the row is read from L2 twice more instead of being held in registers, which would bound the width.
#include "batch.cuh"
#include "warp.cuh"

#define THREADS 256

extern "C" __global__ void __launch_bounds__(THREADS)
    norm_rows(const u32 *batch, const float *input, const float *weight, const float *bias, u16 *output, u32 width, u32 stride,
              float epsilon, u32 centred, u32 head_rows_only) {
    __shared__ float scratch[2][THREADS / WARP];
    u32 index = blockIdx.x;
    if (index >= batch[head_rows_only ? BATCH_HEAD_ROWS : BATCH_ROWS]) return;
    u32 row = head_rows_only ? batch_table(batch, BATCH_HEAD)[3 * index] : index;
    const float *x = input + (u64)row * width;
    float mean = 0.0f;
    if (centred) {
        float sum = 0.0f;
        for (u32 i = threadIdx.x; i < width; i += THREADS) sum += x[i];
        mean = block_sum<THREADS>(sum, scratch[0]) / (float)width;
    }
    float squares = 0.0f;
    for (u32 i = threadIdx.x; i < width; i += THREADS) {
        float difference = x[i] - mean;
        squares = fmaf(difference, difference, squares);
    }
    float variance = block_sum<THREADS>(squares, scratch[1]) / (float)width;
    float scale = 1.0f / sqrtf(variance + epsilon);
    u16 *y = output + (u64)index * stride;
    for (u32 i = threadIdx.x; i < width; i += THREADS) {
        float normalised = (x[i] - mean) * scale;
        y[i] = round_to_operand(bias ? fmaf(normalised, weight[i], bias[i]) : normalised * weight[i]);
    }
    if (threadIdx.x == 0 && stride > width) y[width] = 0;
}
