// Matrix product with a weight matrix and a fused epilogue, on tensor cores.
//
// Shapes: input [rows, stride] bf16 operands; weight in the layout of matrix.cuh; bias [tiles * 16] f32 in tile order, may be null;
//   target [rows, outputs] f32 (STORE, ADD) or [rows, outputs rounded up to even] bf16 operands (the activations).
//   `live_rows`, if not null, points to the number of rows of this step, at most `rows`.
// matmul_few, matmul_few_gated: 16 rows and one tile (gate and up: two) a block; each of 8 warps walks one slice of the inputs with
//   its own pipeline of asynchronous copies, then the slices are added in order through shared memory. Decode: weights pass once,
//   and even a narrow matrix keeps enough bytes on the way.
// matmul_block, matmul_large: 64 x 64 and 128 x 128 outputs a block, each warp walks all slices. Prefill.
// Numerics: see matmul.cuh; all kernels give the same bits. Bias, residual and activation in f32, one rounding at the end.
#include "matmul.cuh"

enum Epilogue { STORE, ADD, SWIGLU, GELU_TANH, GELU, SQUARED_RELU };

struct Output {
    void *target;
    const float *bias;
    u32 outputs;
    u32 epilogue;
};

__device__ __forceinline__ float activate(u32 epilogue, float x) {
    if (epilogue == GELU_TANH) return gelu_tanh(x);
    if (epilogue == GELU) return gelu(x);
    return squared_relu(x);
}

// Finishes outputs `lane` and `lane + 1` (even) of an ungated tile.
__device__ __forceinline__ void finish(const Output &out, u32 row, u32 tile, u32 lane, float low, float high) {
    u32 output = tile * TILE + lane;
    if (output >= out.outputs) return;
    if (out.bias) {
        low += out.bias[output];
        high += out.bias[output + 1];
    }
    bool both = output + 1 < out.outputs;
    if (out.epilogue <= ADD) {
        float *to = (float *)out.target + (u64)row * out.outputs + output;
        bool add = out.epilogue == ADD;
        if (out.outputs % 2 == 0) {
            float2 old = add ? *(float2 *)to : make_float2(0.0f, 0.0f);
            *(float2 *)to = add ? make_float2(old.x + low, old.y + high) : make_float2(low, high);
        } else {
            to[0] = add ? to[0] + low : low;
            if (both) to[1] = add ? to[1] + high : high;
        }
    } else {
        u32 stride = (out.outputs + 1) / 2 * 2;
        u32 word = pack_operands(activate(out.epilogue, low), both ? activate(out.epilogue, high) : 0.0f);
        *(u32 *)((u16 *)out.target + (u64)row * stride + output) = word;
    }
}

// Finishes outputs `lane` and `lane + 1` of a gate tile and its up tile.
__device__ __forceinline__ void finish_gated(const Output &out, u32 row, u32 gate_tile, u32 lane, float2 gate, float2 up) {
    u32 output = gate_tile / 2 * TILE + lane;
    if (output >= out.outputs) return;
    if (out.bias) {
        const float *bias = out.bias + gate_tile * TILE + lane;
        gate.x += bias[0];
        gate.y += bias[1];
        up.x += bias[TILE];
        up.y += bias[TILE + 1];
    }
    u32 stride = (out.outputs + 1) / 2 * 2;
    u32 word = pack_operands(silu(gate.x) * up.x, output + 1 < out.outputs ? silu(gate.y) * up.y : 0.0f);
    *(u32 *)((u16 *)out.target + (u64)row * stride + output) = word;
}

extern __shared__ uint4 shared_memory[];

// 16 rows, TILES tiles, a warp a slice.
template <int TILES, int STAGES>
__device__ __forceinline__ void few(const Rows &rows, const u32 *weight, u32 tiles, u32 chunks, const Output &out) {
    const int A_BYTES = 16 * A_STRIDE * 2, STAGE_BYTES = A_BYTES + TILES * B_CHUNK_BYTES, SUM_STRIDE = TILES * TILE + 2;
    u32 first_row = blockIdx.x * 16, first_tile = blockIdx.y * TILES, warp = warp_index(), lane = lane_index();
    if (first_row >= rows.rows) return;
    u8 *shared = (u8 *)shared_memory + warp * STAGES * STAGE_BYTES;
    u32 length = slice_chunks(chunks), begin = min(warp * length, chunks), end = min(begin + length, chunks);
    float sums[1][TILES][2][4] = {};
    const RowCopies<16, WARP> row_copies(rows, first_row, lane);
    const TileCopies<TILES, WARP> tile_copies(weight, first_tile, tiles, chunks, lane);
    auto start = [&](u32 chunk) {
        u8 *stage = shared + (chunk - begin) % STAGES * STAGE_BYTES;
        if (chunk < end) {
            row_copies.start((u16 *)stage, chunk);
            tile_copies.start(stage + A_BYTES, chunk);
        }
        copies_commit();
    };
#pragma unroll 1
    for (u32 chunk = begin; chunk < begin + STAGES - 1; chunk++) start(chunk);
    for (u32 chunk = begin; chunk < end; chunk++) {
        copies_wait<STAGES - 2>();
        __syncwarp();
        start(chunk + STAGES - 1);
        u8 *stage = shared + (chunk - begin) % STAGES * STAGE_BYTES;
        multiply_chunk<1, TILES>(sums, (u16 *)stage, stage + A_BYTES);
    }
    copies_wait<0>();
    __syncthreads(); // the stages become [slice][row][SUM_STRIDE] sums
    float *all = (float *)shared_memory;
#pragma unroll
    for (int i = 0; i < TILES * 4; i++) {
        u32 tile = i / 4, half = i / 2 % 2, row = lane / 4 + i % 2 * 8, column = tile * TILE + half * 8 + lane % 4 * 2;
        float *to = all + (warp * 16 + row) * SUM_STRIDE + column;
        *(float2 *)to = make_float2(sums[0][tile][half][i % 2 * 2], sums[0][tile][half][i % 2 * 2 + 1]);
    }
    __syncthreads();
    u32 row = threadIdx.x / 8, pair = threadIdx.x % 8;
    if (row >= 16 || first_row + row >= rows.rows) return;
    float2 total[TILES] = {};
    for (u32 slice = 0; slice * length < chunks; slice++) {
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
            float2 sum = *(float2 *)(all + (slice * 16 + row) * SUM_STRIDE + tile * TILE + pair * 2);
            total[tile].x += sum.x;
            total[tile].y += sum.y;
        }
    }
    if (TILES == 2)
        finish_gated(out, first_row + row, first_tile, pair * 2, total[0], total[TILES - 1]);
    else
        finish(out, first_row + row, first_tile, pair * 2, total[0].x, total[0].y);
}

// Every warp walks all slices; the totals go through shared memory so that the epilogue's code stands once and its stores coalesce.
template <class Product>
__device__ __forceinline__ void many(const Rows &rows, const u32 *weight, u32 tiles, u32 chunks, const Output &out) {
    const int SUM_STRIDE = Product::BLOCK_TILES * TILE + 8, ROW_PAIRS = Product::BLOCK_TILES * TILE / 2;
    u32 first_row = blockIdx.x * Product::BLOCK_ROWS, first_tile = blockIdx.y * Product::BLOCK_TILES, lane = lane_index();
    if (first_row >= rows.rows) return;
    float totals[Product::ROW_TILES][Product::TILES][2][4];
    Product::run(totals, (u8 *)shared_memory, rows, first_row, weight, first_tile, tiles, chunks);
    __syncthreads(); // the stages become [row][SUM_STRIDE] totals
    float *all = (float *)shared_memory;
#pragma unroll
    for (int i = 0; i < Product::ROW_TILES * 2; i++) {
        u32 row = Product::warp_row() + i / 2 * 16 + i % 2 * 8 + lane / 4;
#pragma unroll
        for (int j = 0; j < Product::TILES * 2; j++) {
            u32 column = (Product::warp_tile() + j / 2) * TILE + j % 2 * 8 + lane % 4 * 2;
            const float *sum = &totals[i / 2][j / 2][j % 2][i % 2 * 2];
            *(float2 *)(all + row * SUM_STRIDE + column) = make_float2(sum[0], sum[1]);
        }
    }
    __syncthreads();
#pragma unroll 1
    for (u32 i = threadIdx.x; i < Product::BLOCK_ROWS * ROW_PAIRS; i += Product::THREADS) {
        u32 row = i / ROW_PAIRS, tile = i % ROW_PAIRS / 8, column = i % 8 * 2;
        if (first_row + row >= rows.rows || first_tile + tile >= tiles) continue;
        const float *sum = all + row * SUM_STRIDE + tile * TILE + column;
        float2 total = *(const float2 *)sum;
        if (out.epilogue != SWIGLU)
            finish(out, first_row + row, first_tile + tile, column, total.x, total.y);
        else if (tile % 2 == 0)
            finish_gated(out, first_row + row, first_tile + tile, column, total, *(const float2 *)(sum + TILE));
    }
}

typedef BlockProduct<2, 2, 2, 2, 4, true> Block; // 64 rows, 4 tiles, 128 threads
typedef BlockProduct<4, 2, 2, 4, 3, true> Large; // 128 rows, 8 tiles, 256 threads

#define PARAMETERS                                                                                                          \
    const u16 *input, const u32 *live_rows, const u32 *weight, const float *bias, void *target, u32 rows, u32 stride,       \
        u32 tiles, u32 chunks, u32 outputs, u32 epilogue
#define ROWS                                                                                                                \
    Rows { input, live_rows ? *live_rows : rows, stride }
#define OUTPUT                                                                                                              \
    Output { target, bias, outputs, epilogue }

extern "C" __global__ void __launch_bounds__(SLICES *WARP) matmul_few(PARAMETERS) {
    few<1, 4>(ROWS, weight, tiles, chunks, OUTPUT);
}
extern "C" __global__ void __launch_bounds__(SLICES *WARP) matmul_few_gated(PARAMETERS) {
    few<2, 3>(ROWS, weight, tiles, chunks, OUTPUT);
}
extern "C" __global__ void __launch_bounds__(Block::THREADS) matmul_block(PARAMETERS) {
    many<Block>(ROWS, weight, tiles, chunks, OUTPUT);
}
extern "C" __global__ void __launch_bounds__(Large::THREADS) matmul_large(PARAMETERS) {
    many<Large>(ROWS, weight, tiles, chunks, OUTPUT);
}
