// Causal attention of a ragged batch over the paged KV cache: prefill, chunks, cached prefixes and decode.
//
// Shapes: queries [rows, heads, query_stride] bf16 operands; cache: attention.cuh; output [rows, output_stride] bf16 operands, heads
//   side by side. A "query vector" is one query head of one row; the `group` query heads of a key/value head and adjacent rows of a
//   sequence form the 16 rows of a tensor-core tile (vector = row * group + head in group), so that they share keys and values.
//   WIDTH is the head's width rounded up to a compiled one; elements past the head are zeros and add exactly nothing.
// attention_few_WIDTH (attention_64.cu, ...): one warp takes up to 16 vectors of a sequence and one split of 512 keys. A sequence of several splits leaves
//   (maximum, sum, values) of each in `partial_*`, and attention_combine adds them. Decode: splits run in parallel.
// attention_many_WIDTH: four warps take 64 vectors and walk the splits one after the other. Prefill and chunks.
// Numerics: per vector, the same in both: splits of 512 keys from an empty state; in a split, tiles of 64 keys: s = scale * (q . k);
//   m' = max(m, max s); c = e^(m - m'); p = e^(s - m') rounded to an operand; l = fma(l, c, sum p), the sum per thread in key order,
//   then over the four lanes that share a row; o = o * c, then the tensor cores add P . V key step by key step. Splits combine in
//   order. A key that is masked has p = 0. Orders depend on positions alone, never on which vectors share a tile or a block.
// Why so: flash attention (Dao 2023) without its choice of splits by load, which would change bits with the batch.
#pragma once
#include "attention.cuh"
#include "batch.cuh"
#include "tensor_core.cuh"
#include "warp.cuh"

struct Sequence {
    u32 first_row, rows, start;
    const u32 *blocks;

    __device__ __forceinline__ Sequence(const u32 *batch, u32 index) {
        const u32 *words = batch_table(batch, BATCH_SEQUENCES) + 4 * index;
        first_row = words[0];
        rows = words[1];
        start = words[2];
        blocks = batch + words[3];
    }
};

struct Shape {
    KvLayout layout;
    u32 layer;
    u32 heads;
    u32 dim;
    u32 query_stride;
    u32 output_stride;
    float scale;
};

extern __shared__ uint4 shared_memory[];

template <int WIDTH, int WARPS>
struct Attention {
    static const int VECTORS = WARPS * 16, THREADS = WARPS * WARP, STRIDE = WIDTH + 8, PIECES = WIDTH / 8;

    const Shape &shape;
    const u16 *cache;
    Sequence sequence;
    u32 kv_head, group, first_vector, vectors;
    u16 *queries, *keys, *values;
    float max[2], sum[2], output[WIDTH / 8][4];

    __device__ __forceinline__ Attention(const Shape &shape, const u32 *batch, const u16 *cache, u32 sequence, u32 kv_head,
                                         u32 first_vector)
        : shape(shape), cache(cache), sequence(batch, sequence), kv_head(kv_head), first_vector(first_vector) {
        group = shape.heads / shape.layout.kv_heads;
        vectors = this->sequence.rows * group;
        queries = (u16 *)shared_memory;
        keys = queries + VECTORS * STRIDE;
        values = keys + KEY_TILE * STRIDE;
    }

    __device__ __forceinline__ static void barrier() {
        if (WARPS == 1)
            __syncwarp();
        else
            __syncthreads();
    }

    // Vector of this thread's upper (0) or lower (1) row of the tile.
    __device__ __forceinline__ u32 vector(int half) const {
        return first_vector + warp_index() * 16 + lane_index() / 4 + half * 8;
    }

    // Keys that the block's last vector attends to.
    __device__ __forceinline__ u32 num_keys() const {
        u32 last = min(first_vector + VECTORS, vectors) - 1;
        return sequence.start + last / group + 1;
    }

    __device__ __forceinline__ void copy_queries(const u16 *all) {
#pragma unroll 1
        for (u32 i = threadIdx.x; i < VECTORS * PIECES; i += THREADS) {
            u32 vector = first_vector + i / PIECES, piece = i % PIECES;
            u32 row = sequence.first_row + vector / group, head = kv_head * group + vector % group;
            bool there = vector < vectors && piece * 8 < shape.query_stride;
            const u16 *source = there ? all + ((u64)row * shape.heads + head) * shape.query_stride + piece * 8 : all;
            copy_16(queries + i / PIECES * STRIDE + piece * 8, source, there ? 16 : 0);
        }
    }

    // Starts the copies of a tile's keys (0) or values (1), in runs of 16 slots, which lie in one block.
    __device__ __forceinline__ void copy_tile(u16 *target, u32 first_key, u32 end, u32 which) {
        u64 source[KEY_TILE / 16];
#pragma unroll
        for (u32 run = 0; run < KEY_TILE / 16; run++) {
            u32 key = min(first_key + run * 16, end - 1) / 16 * 16;
            u32 block = sequence.blocks[key / shape.layout.block_size], slot = key % shape.layout.block_size;
            source[run] = shape.layout.head(shape.layer, block, kv_head, which) + (u64)slot * WIDTH;
        }
#pragma unroll
        for (u32 run = 0; run < KEY_TILE / 16; run++) {
            u32 there = first_key + run * 16 < end ? 16 : 0;
#pragma unroll 1
            for (u32 i = threadIdx.x; i < 16 * PIECES; i += THREADS)
                copy_16(target + (run * 16 + i / PIECES) * STRIDE + i % PIECES * 8, cache + source[run] + i * 8, there);
        }
    }

    // scores[keys / 8] = this warp's vectors . keys
    __device__ __forceinline__ void score(float (&scores)[KEY_TILE / 8][4]) const {
        u32 lane = lane_index();
#pragma unroll
        for (int i = 0; i < KEY_TILE / 8 * 4; i++) scores[i / 4][i % 4] = 0.0f;
#pragma unroll
        for (int step = 0; step < WIDTH / 16; step++) {
            u32 query[4];
            load_matrices(query, queries + (warp_index() * 16 + lane % 16) * STRIDE + step * 16 + lane / 16 * 8);
#pragma unroll
            for (int run = 0; run < KEY_TILE / 16; run++) {
                u32 key[4];
                load_matrices(key, keys + (run * 16 + lane / 16 * 8 + lane % 8) * STRIDE + step * 16 + lane / 8 % 2 * 8);
                multiply_add(scores[2 * run], query, key[0], key[1]);
                multiply_add(scores[2 * run + 1], query, key[2], key[3]);
            }
        }
    }

    // Turns scores into probabilities (operands in A-fragment order) and shrinks the state to the new maximum.
    __device__ __forceinline__ void soften(float (&scores)[KEY_TILE / 8][4], u32 (&probabilities)[KEY_TILE / 16][4],
                                           u32 first_key) {
        u32 column = first_key + lane_index() % 4 * 2;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            u32 position = sequence.start + vector(half) / group;
            float largest = NEGATIVE_INFINITY;
#pragma unroll
            for (int i = 0; i < KEY_TILE / 4; i++) {
                float &score = scores[i / 2][half * 2 + i % 2];
                score = column + i / 2 * 8 + i % 2 <= position ? score * shape.scale : NEGATIVE_INFINITY;
                largest = fmaxf(largest, score);
            }
            largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 1));
            largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 2));
            largest = fmaxf(largest, max[half]);
            bool none = largest == NEGATIVE_INFINITY;
            float shrink = none ? 1.0f : exponential(max[half] - largest);
            float relative = none ? 0.0f : largest, total = 0.0f;
#pragma unroll
            for (int i = 0; i < KEY_TILE / 8; i++) {
                float low = exponential(scores[i][half * 2] - relative), high = exponential(scores[i][half * 2 + 1] - relative);
                u32 packed = pack_bf16(low < OPERAND_FLOOR ? 0.0f : low, high < OPERAND_FLOOR ? 0.0f : high);
                total = total + __uint_as_float(packed << 16);
                total = total + __uint_as_float(packed & 0xffff0000u);
                probabilities[i / 2][i % 2 * 2 + half] = packed;
            }
            total += __shfl_xor_sync(ALL_LANES, total, 1);
            total += __shfl_xor_sync(ALL_LANES, total, 2);
            max[half] = largest;
            sum[half] = fmaf(sum[half], shrink, total);
#pragma unroll
            for (int i = 0; i < WIDTH / 8; i++) {
                output[i][half * 2] *= shrink;
                output[i][half * 2 + 1] *= shrink;
            }
        }
    }

    // output += probabilities . values
    __device__ __forceinline__ void weigh(const u32 (&probabilities)[KEY_TILE / 16][4]) {
        u32 lane = lane_index();
#pragma unroll
        for (int run = 0; run < KEY_TILE / 16; run++) {
#pragma unroll
            for (int columns = 0; columns < WIDTH / 16; columns++) {
                u32 value[4];
                load_matrices_transposed(value, values + (run * 16 + lane % 16) * STRIDE + columns * 16 + lane / 16 * 8);
                multiply_add(output[2 * columns], probabilities[run], value[0], value[1]);
                multiply_add(output[2 * columns + 1], probabilities[run], value[2], value[3]);
            }
        }
    }

    __device__ __forceinline__ void clear() {
        max[0] = max[1] = NEGATIVE_INFINITY;
        sum[0] = sum[1] = 0.0f;
#pragma unroll
        for (int i = 0; i < WIDTH / 2; i++) output[i / 4][i % 4] = 0.0f;
    }

    // One tile; `next` is the first key of the tile after it, `end` if there is none. Keys of this tile are on their way.
    __device__ __forceinline__ void tile(u32 first_key, u32 next, u32 end) {
        copy_tile(values, first_key, end, 1);
        copies_commit();
        copies_wait<1>();
        barrier();
        float scores[KEY_TILE / 8][4];
        score(scores);
        barrier();
        if (next < end) copy_tile(keys, next, end, 0);
        copies_commit();
        u32 probabilities[KEY_TILE / 16][4];
        soften(scores, probabilities, first_key);
        copies_wait<1>();
        barrier();
        weigh(probabilities);
        barrier();
    }

    // Rounds and stores this thread's share of the vectors.
    __device__ __forceinline__ void store(u16 *all, const float (&sum)[2], const float (&output)[WIDTH / 8][4]) const {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            u32 vector = this->vector(half);
            if (vector >= vectors) continue;
            u32 row = sequence.first_row + vector / group, head = kv_head * group + vector % group;
            u16 *to = all + (u64)row * shape.output_stride + head * shape.dim;
            float inverse = 1.0f / sum[half];
#pragma unroll
            for (int i = 0; i < WIDTH / 8; i++) {
                u32 column = i * 8 + lane_index() % 4 * 2;
                u32 word = pack_operands(output[i][half * 2] * inverse, output[i][half * 2 + 1] * inverse);
                if (shape.dim % 2 == 0) {
                    if (column < shape.dim) *(u32 *)(to + column) = word;
                } else {
                    if (column < shape.dim) to[column] = (u16)word;
                    if (column + 1 < shape.dim) to[column + 1] = (u16)(word >> 16);
                }
            }
        }
    }
};

template <int WIDTH>
__device__ __forceinline__ void few(const u32 *batch, const u16 *queries, const u16 *cache, u16 *output, float *partial_outputs,
                                    float *partial_states, const Shape &shape) {
    if (blockIdx.x >= batch[BATCH_FEW_TASKS]) return;
    const u32 *task = batch_table(batch, BATCH_FEW) + 3 * blockIdx.x;
    u32 kv_head = blockIdx.y, slot = task[2];
    Attention<WIDTH, 1> self(shape, batch, cache, task[0], kv_head, 0);
    u32 begin = task[1] * KEY_SPLIT, end = min(begin + KEY_SPLIT, self.num_keys());
    self.copy_queries(queries);
    self.copy_tile(self.keys, begin, end, 0);
    copies_commit();
    self.clear();
#pragma unroll 1
    for (u32 key = begin; key < end; key += KEY_TILE) self.tile(key, key + KEY_TILE, end);
    copies_wait<0>();
    if (slot == NONE) {
        self.store(output, self.sum, self.output);
        return;
    }
    u64 first = ((u64)slot * shape.layout.kv_heads + kv_head) * FEW_VECTORS;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        u32 vector = self.vector(half);
        float *state = partial_states + (first + vector) * 2, *values = partial_outputs + (first + vector) * WIDTH;
        if (lane_index() % 4 == 0) *(float2 *)state = make_float2(self.max[half], self.sum[half]);
#pragma unroll
        for (int i = 0; i < WIDTH / 8; i++) {
            u32 column = i * 8 + lane_index() % 4 * 2;
            *(float2 *)(values + column) = make_float2(self.output[i][half * 2], self.output[i][half * 2 + 1]);
        }
    }
}

template <int WIDTH>
__device__ __forceinline__ void many(const u32 *batch, const u16 *queries, const u16 *cache, u16 *output, const Shape &shape) {
    if (blockIdx.x >= batch[BATCH_MANY_TASKS]) return;
    const u32 *task = batch_table(batch, BATCH_MANY) + 2 * blockIdx.x;
    Attention<WIDTH, 4> self(shape, batch, cache, task[0], blockIdx.y, task[1]);
    float max[2] = {NEGATIVE_INFINITY, NEGATIVE_INFINITY}, sum[2] = {}, total[WIDTH / 8][4] = {};
    u32 end = self.num_keys();
    self.copy_queries(queries);
    self.copy_tile(self.keys, 0, end, 0);
    copies_commit();
    self.clear();
#pragma unroll 1
    for (u32 key = 0; key < end; key += KEY_TILE) {
        self.tile(key, key + KEY_TILE, end);
        if ((key + KEY_TILE) % KEY_SPLIT != 0 && key + KEY_TILE < end) continue;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            Merge merge(max[half], sum[half], self.max[half], self.sum[half]);
#pragma unroll
            for (int i = 0; i < WIDTH / 4; i++) {
                float &value = total[i / 2][half * 2 + i % 2];
                value = merge.value(value, self.output[i / 2][half * 2 + i % 2]);
            }
        }
        self.clear();
    }
    copies_wait<0>();
    self.store(output, sum, total);
}

#define PARAMETERS                                                                                                          \
    const u32 *batch, const u16 *queries, const u16 *cache, u16 *output, float *partial_outputs, float *partial_states,     \
        KvLayout layout, u32 layer, u32 heads, u32 dim, u32 query_stride, u32 output_stride, float scale
#define SHAPE                                                                                                               \
    Shape { layout, layer, heads, dim, query_stride, output_stride, scale }

#define ATTENTION_KERNELS(WIDTH)                                                                                            \
    extern "C" __global__ void __launch_bounds__(WARP, 4) attention_few_##WIDTH(PARAMETERS) {                               \
        few<WIDTH>(batch, queries, cache, output, partial_outputs, partial_states, SHAPE);                                  \
    }                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(4 * WARP) attention_many_##WIDTH(PARAMETERS) {                             \
        many<WIDTH>(batch, queries, cache, output, SHAPE);                                                                  \
    }
