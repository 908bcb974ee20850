// Adds the splits that the attention_few kernels left, in index order.
//
// Shapes and parameters: flash_attention.cuh; partial_outputs [slots, kv_heads, 16, width] f32, partial_states
//   [slots, kv_heads, 16][2] f32: maximum and sum.
// Threads: one block of 128 threads a (sequence, key/value head); thread t takes elements t, t + 128, ... of its vectors.
// Numerics: the very merge that attention_many does in registers, in the same order from the same empty state.
#include "flash_attention.cuh"

extern "C" __global__ void __launch_bounds__(128) attention_combine(PARAMETERS) {
    if (blockIdx.x >= batch[BATCH_COMBINES]) return;
    const u32 *combine = batch_table(batch, BATCH_COMBINE) + 3 * blockIdx.x;
    Sequence sequence(batch, combine[0]);
    u32 kv_head = blockIdx.y, first_slot = combine[1], splits = combine[2], group = heads / layout.kv_heads;
    for (u32 i = threadIdx.x; i < sequence.rows * group * dim; i += 128) {
        u32 vector = i / dim, column = i % dim;
        float max = NEGATIVE_INFINITY, sum = 0.0f, total = 0.0f;
        for (u32 split = 0; split < splits; split++) {
            u64 at = ((u64)(first_slot + split) * layout.kv_heads + kv_head) * FEW_VECTORS + vector;
            Merge merge(max, sum, partial_states[2 * at], partial_states[2 * at + 1]);
            total = merge.value(total, partial_outputs[at * layout.width + column]);
        }
        u64 row = sequence.first_row + vector / group, head = kv_head * group + vector % group;
        output[row * output_stride + head * dim + column] = round_to_operand(total * (1.0f / sum));
    }
}
