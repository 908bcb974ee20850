// Token embedding, plus a learned position embedding where there is one.
//
// Shapes: tables in the layout of matrix.cuh, [vocabulary, width] and [positions, width] (may be null); hidden [rows, width] f32.
// Threads: one block of 128 threads a row; thread t takes pairs t, t + 128, ... of inputs.
// Numerics: bf16 widened to f32, one f32 addition.
// Why so: the tied LM head reads the same table; a row's share of a 512-byte step is 64 adjacent bytes, of which half are used.
#include "batch.cuh"
#include "matrix.cuh"

#define THREADS 128

extern "C" __global__ void __launch_bounds__(THREADS)
    embed_rows(const u32 *batch, const u32 *token_table, const u32 *position_table, float *hidden, u32 width, u32 steps) {
    u32 row = blockIdx.x;
    if (row >= batch[BATCH_ROWS]) return;
    u32 token = batch_table(batch, BATCH_TOKENS)[row], position = batch_table(batch, BATCH_POSITIONS)[row];
    float *of_row = hidden + (u64)row * width;
    for (u32 pair = threadIdx.x; 2 * pair < width; pair += THREADS) {
        u32 word = token_table[matrix_word(token, pair, steps)];
        float low = widen((u16)word), high = widen((u16)(word >> 16));
        if (position_table) {
            word = position_table[matrix_word(position, pair, steps)];
            low += widen((u16)word);
            high += widen((u16)(word >> 16));
        }
        of_row[2 * pair] = low;
        if (2 * pair + 1 < width) of_row[2 * pair + 1] = high;
    }
}
