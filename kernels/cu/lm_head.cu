// The LM head: logits of the head rows, the statistics of their log-softmax, and the logits themselves where a row is sampled from.
//
// Shapes: input [head rows, stride] bf16 operands; weight [vocabulary, inputs] in the layout of matrix.cuh; logits
//   [slots, vocabulary] f32; partial [head rows, parts][3] words: largest logit, its token, sum of exp(logit - largest), of each part
//   of 256 tokens; target_logits [head rows] f32; statistics [head rows][4] words: log-sum-exp, largest logit, its token, target's logit.
// lm_head_few, lm_head_many: a block takes 256 tokens of 16 or of 64 rows; its logits go to shared memory and leave it only as
//   statistics (and, for sampled rows, as logits): the [rows, vocabulary] matrix is never written.
// lm_head_combine: a block of 256 threads a row adds the parts.
// Numerics: a logit is one chain of tensor-core products over the inputs (not sliced: 512 blocks are parallel enough). In a part, a
//   warp takes a row: lane l adds elements l, l + 32, ..., then the xor tree. Over the parts, thread t adds t, t + 256, ..., then the
//   block's tree. Orders depend on the vocabulary alone. The largest logit's lowest token wins.
#include "batch.cuh"
#include "matmul.cuh"

#define PART 256
#define PART_STRIDE (PART + 8)
#define COMBINE_THREADS 256

struct Best {
    float logit;
    u32 token;

    __device__ __forceinline__ void meet(float other, u32 other_token) {
        if (other > logit || (other == logit && other_token < token)) {
            logit = other;
            token = other_token;
        }
    }

    __device__ __forceinline__ void over_warp() {
#pragma unroll
        for (int offset = WARP / 2; offset > 0; offset /= 2) {
            float other = __shfl_xor_sync(ALL_LANES, logit, offset);
            u32 other_token = __shfl_xor_sync(ALL_LANES, token, offset);
            meet(other, other_token);
        }
    }
};

extern __shared__ uint4 shared_memory[];

template <class Product>
__device__ __forceinline__ void head_part(const u32 *batch, const u16 *input, const u32 *weight, float *logits, u32 *partial,
                                          float *target_logits, u32 stride, u32 tiles, u32 chunks, u32 vocabulary) {
    u32 rows = batch[BATCH_HEAD_ROWS], part = blockIdx.y, first_token = part * PART, lane = lane_index();
    u32 first_row = blockIdx.x * Product::BLOCK_ROWS;
    if (first_row >= rows) return;
    float totals[Product::ROW_TILES][Product::TILES][2][4];
    Product::run(totals, (u8 *)shared_memory, Rows{input, rows, stride}, first_row, weight, part * (PART / TILE), tiles, chunks);
    __syncthreads(); // the stages become [row][PART_STRIDE] logits
    float *all = (float *)shared_memory;
#pragma unroll
    for (int i = 0; i < Product::ROW_TILES * 2; i++) {
        u32 row = Product::warp_row() + i / 2 * 16 + i % 2 * 8 + lane / 4;
#pragma unroll
        for (int j = 0; j < Product::TILES * 2; j++) {
            u32 column = (Product::warp_tile() + j / 2) * TILE + j % 2 * 8 + lane % 4 * 2;
            const float *sum = &totals[i / 2][j / 2][j % 2][i % 2 * 2];
            *(float2 *)(all + row * PART_STRIDE + column) = make_float2(sum[0], sum[1]);
        }
    }
    __syncthreads();
    u32 tokens = min(PART, vocabulary - first_token), parts = gridDim.y;
#pragma unroll 1
    for (u32 row = warp_index(); row < Product::BLOCK_ROWS && first_row + row < rows; row += Product::THREADS / WARP) {
        const float *of_row = all + row * PART_STRIDE;
        Best best = {NEGATIVE_INFINITY, NONE};
        for (u32 i = lane; i < tokens; i += WARP) best.meet(of_row[i], first_token + i);
        best.over_warp();
        float sum = 0.0f;
        for (u32 i = lane; i < tokens; i += WARP) sum += exponential(of_row[i] - best.logit);
        sum = warp_sum(sum);
        const u32 *head = batch_table(batch, BATCH_HEAD) + 3 * (first_row + row);
        if (lane == 0) {
            u32 *to = partial + ((u64)(first_row + row) * parts + part) * 3;
            to[0] = __float_as_uint(best.logit);
            to[1] = best.token;
            to[2] = __float_as_uint(sum);
            u32 target = head[1] - first_token;
            if (head[1] != NONE && target < tokens) target_logits[first_row + row] = of_row[target];
        }
        if (head[2] != NONE) {
            float *kept = logits + (u64)head[2] * vocabulary + first_token;
            for (u32 i = lane; i < tokens; i += WARP) kept[i] = of_row[i];
        }
    }
}

typedef BlockProduct<1, 2, 1, 8, 4, false> Few;  // 16 rows, 256 tokens, 256 threads
typedef BlockProduct<2, 4, 2, 4, 3, false> Many; // 64 rows, 256 tokens, 256 threads

#define PARAMETERS                                                                                                          \
    const u32 *batch, const u16 *input, const u32 *weight, float *logits, u32 *partial, float *target_logits, u32 stride,   \
        u32 tiles, u32 chunks, u32 vocabulary
#define ARGUMENTS batch, input, weight, logits, partial, target_logits, stride, tiles, chunks, vocabulary

extern "C" __global__ void __launch_bounds__(Few::THREADS) lm_head_few(PARAMETERS) { head_part<Few>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(Many::THREADS) lm_head_many(PARAMETERS) { head_part<Many>(ARGUMENTS); }

extern "C" __global__ void __launch_bounds__(COMBINE_THREADS)
    lm_head_combine(const u32 *batch, const u32 *partial, const float *target_logits, u32 *statistics, u32 parts) {
    __shared__ Best bests[COMBINE_THREADS / WARP];
    __shared__ float scratch[COMBINE_THREADS / WARP];
    u32 row = blockIdx.x;
    if (row >= batch[BATCH_HEAD_ROWS]) return;
    const u32 *of_row = partial + (u64)row * parts * 3;
    Best best = {NEGATIVE_INFINITY, NONE};
    for (u32 i = threadIdx.x; i < parts; i += COMBINE_THREADS) best.meet(__uint_as_float(of_row[3 * i]), of_row[3 * i + 1]);
    best.over_warp();
    if (lane_index() == 0) bests[warp_index()] = best;
    __syncthreads();
    for (u32 warp = 0; warp < COMBINE_THREADS / WARP; warp++) best.meet(bests[warp].logit, bests[warp].token);
    float sum = 0.0f;
    for (u32 i = threadIdx.x; i < parts; i += COMBINE_THREADS)
        sum += __uint_as_float(of_row[3 * i + 2]) * exponential(__uint_as_float(of_row[3 * i]) - best.logit);
    float total = block_sum<COMBINE_THREADS>(sum, scratch);
    if (threadIdx.x == 0) {
        u32 *to = statistics + 4 * row;
        to[0] = __float_as_uint((float)((double)best.logit + logarithm((double)total)));
        to[1] = __float_as_uint(best.logit);
        to[2] = best.token;
        bool targeted = batch_table(batch, BATCH_HEAD)[3 * row + 1] != NONE;
        to[3] = targeted ? __float_as_uint(target_logits[row]) : 0;
    }
}
