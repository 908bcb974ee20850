// Rotary angles of a step, and the per-head norm, rotation and append to the paged KV cache, fused.
//
// rotary_angles: angles [rows, 2 half] f32, half cosines then half sines; frequencies [half] f64, radians per position.
//   One thread a (row, pair). f64 throughout, rounded to f32 at the end: exact enough at any position, and done once a step.
// rotate_and_append: qkv [rows, (heads + 2 kv_heads) * dim] f32 = queries, keys, values. Queries go to
//   queries [rows, heads, query_stride] bf16 operands with zeros after dim; keys and values to the cache (layout: attention.cuh).
//   One warp a (row, head), four warps a block; lane l takes elements l, l + 32, ...; element i turns with i + half.
// Numerics: f32; the head norm sums squares by lane in index order, then the xor tree.
// Why so: queries, keys and values are read once and nothing is written back in f32.
#include "attention.cuh"
#include "batch.cuh"
#include "warp.cuh"

#define WARPS 4
#define ANGLE_THREADS 128

extern "C" __global__ void __launch_bounds__(ANGLE_THREADS)
    rotary_angles(const u32 *batch, const double *frequencies, float *angles, u32 half) {
    u32 index = blockIdx.x * ANGLE_THREADS + threadIdx.x;
    u32 row = index / half, pair = index % half;
    if (row >= batch[BATCH_ROWS]) return;
    double position = (double)batch_table(batch, BATCH_POSITIONS)[row];
    double cosine, sine;
    cosine_and_sine(position * frequencies[pair], cosine, sine);
    float *of_row = angles + (u64)row * 2 * half;
    of_row[pair] = (float)cosine;
    of_row[half + pair] = (float)sine;
}

// 1 / sqrt(mean square + epsilon) of a head.
__device__ __forceinline__ float inverse_deviation(const float *head, u32 dim, float epsilon) {
    float squares = 0.0f;
    for (u32 i = lane_index(); i < dim; i += WARP) squares = fmaf(head[i], head[i], squares);
    return 1.0f / sqrtf(warp_sum(squares) / (float)dim + epsilon);
}

struct HeadElement {
    const float *head;
    const float *weight; // null: no norm
    float scale;

    __device__ __forceinline__ float at(u32 i) const { return weight ? (head[i] * scale) * weight[i] : head[i]; }
};

// Writes a normalised and rotated head as operands.
__device__ __forceinline__ void rotate(HeadElement x, const float *angles, u32 half, u32 dim, u16 *output) {
    for (u32 i = lane_index(); i < half; i += WARP) {
        float cosine = angles[i], sine = angles[half + i], a = x.at(i), b = x.at(half + i);
        output[i] = round_to_operand(a * cosine - b * sine);
        output[half + i] = round_to_operand(b * cosine + a * sine);
    }
    for (u32 i = 2 * half + lane_index(); i < dim; i += WARP) output[i] = round_to_operand(x.at(i));
}

extern "C" __global__ void __launch_bounds__(WARPS *WARP)
    rotate_and_append(const u32 *batch, const float *qkv, const float *angles, const float *query_weight,
                      const float *key_weight, u16 *queries, u16 *cache, KvLayout layout, u32 layer, u32 heads, u32 dim,
                      u32 half, u32 query_stride, float epsilon) {
    u32 total_heads = heads + 2 * layout.kv_heads;
    u32 index = blockIdx.x * WARPS + warp_index();
    u32 row = index / total_heads, which = index % total_heads;
    if (row >= batch[BATCH_ROWS]) return;
    const float *head = qkv + ((u64)row * total_heads + which) * dim;
    const float *of_row = angles + (u64)row * 2 * half;
    const u32 *place = batch_table(batch, BATCH_PLACES) + 2 * row;
    if (which < heads) {
        HeadElement x = {head, query_weight, query_weight ? inverse_deviation(head, dim, epsilon) : 1.0f};
        u16 *query = queries + ((u64)row * heads + which) * query_stride;
        rotate(x, of_row, half, dim, query);
        for (u32 i = dim + lane_index(); i < query_stride; i += WARP) query[i] = 0;
    } else if (which < heads + layout.kv_heads) {
        HeadElement x = {head, key_weight, key_weight ? inverse_deviation(head, dim, epsilon) : 1.0f};
        u16 *keys = cache + layout.head(layer, place[0], which - heads, 0);
        rotate(x, of_row, half, dim, keys + (u64)place[1] * layout.width);
    } else {
        u16 *values = cache + layout.head(layer, place[0], which - heads - layout.kv_heads, 1);
        u16 *value = values + (u64)place[1] * layout.width;
        for (u32 i = lane_index(); i < dim; i += WARP) value[i] = round_to_operand(head[i]);
    }
}
