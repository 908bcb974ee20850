// The product of activation rows with a weight matrix, up to the sums of a block's outputs.
//
// Inputs are walked in chunks of 32 (two tensor-core steps). A SLICED product cuts the chunks into at most SLICES slices of equal
// length (the last may be short), a function of the number of inputs alone; a slice is one chain of tensor-core products from
// zero, and slices are added in index order from zero. Whether one warp walks all slices (many rows) or each warp walks one
// (few rows), an output's bits are the same.
#pragma once
#include "matrix.cuh"
#include "tensor_core.cuh"
#include "warp.cuh"

#define SLICES 8
#define CHUNK 32                    // inputs
#define CHUNK_STEPS (CHUNK / STEP)
#define A_STRIDE (CHUNK + 8)        // elements between rows in shared memory: ldmatrix meets no bank twice
#define B_CHUNK_BYTES (CHUNK_STEPS * STEP_WORDS * 4) // of one tile

// Activation rows: [rows, stride] bf16, stride even; a row's elements past the inputs are zero.
struct Rows {
    const u16 *data;
    u32 rows;
    u32 stride;
};

__device__ __forceinline__ u32 slice_chunks(u32 chunks) { return (chunks + SLICES - 1) / SLICES; }

// What a thread of THREADS copies of COUNT rows: its first piece of 16 bytes, and where it goes. Rows and elements that do not
// exist become zeros. Everything that does not change from chunk to chunk is computed once.
template <int COUNT, int THREADS>
struct RowCopies {
    static const int PIECES = CHUNK / 8, ROUNDS = (COUNT * PIECES + THREADS - 1) / THREADS, ROW_STEP = THREADS / PIECES;
    const Rows &rows;
    u32 first_row, thread, row, k;
    const u16 *first;

    __device__ __forceinline__ RowCopies(const Rows &rows, u32 first_row, u32 thread)
        : rows(rows), first_row(first_row), thread(thread), row(thread / PIECES), k(thread % PIECES * 8) {
        first = rows.data + (u64)(first_row + row) * rows.stride + k;
    }

    // Starts the copies of chunk `chunk` to [COUNT][A_STRIDE].
    __device__ __forceinline__ void start(u16 *target, u32 chunk) const {
        if (rows.stride % 8 != 0) {
            start_by_pairs(target, chunk);
            return;
        }
        bool inside = chunk * CHUNK + k < rows.stride;
        const u16 *source = first + chunk * CHUNK;
        u16 *to = target + row * A_STRIDE + k;
#pragma unroll
        for (u32 round = 0; round < ROUNDS; round++) {
            if (COUNT * PIECES % THREADS != 0 && thread + round * THREADS >= COUNT * PIECES) break;
            bool there = inside && first_row + row + round * ROW_STEP < rows.rows;
            copy_16(to + round * ROW_STEP * A_STRIDE, there ? source : rows.data, there ? 16 : 0);
            source += ROW_STEP * rows.stride;
        }
    }

    // Rows that do not start at multiples of 16 bytes: 4 bytes at a time.
    __device__ __forceinline__ void start_by_pairs(u16 *target, u32 chunk) const {
#pragma unroll 1
        for (u32 i = thread; i < COUNT * (CHUNK / 2); i += THREADS) {
            u32 row = first_row + i / (CHUNK / 2), k = chunk * CHUNK + i % (CHUNK / 2) * 2;
            bool there = row < rows.rows && k < rows.stride;
            const u16 *source = there ? rows.data + (u64)row * rows.stride + k : rows.data;
            copy_4(target + i / (CHUNK / 2) * A_STRIDE + i % (CHUNK / 2) * 2, source, there ? 4 : 0);
        }
    }
};

// The same for COUNT tiles, [tile][step][512 bytes] in shared memory. Tiles past the last become zeros.
template <int COUNT, int THREADS>
struct TileCopies {
    static const int PIECES = B_CHUNK_BYTES / 16, ROUNDS = COUNT * PIECES / THREADS;
    const u32 *weight, *first;
    u32 thread, first_tile, tiles, tile_words;

    __device__ __forceinline__ TileCopies(const u32 *weight, u32 first_tile, u32 tiles, u32 chunks, u32 thread)
        : weight(weight), thread(thread), first_tile(first_tile), tiles(tiles), tile_words(chunks * (B_CHUNK_BYTES / 4)) {
        first = weight + (u64)(first_tile + thread / PIECES) * tile_words + thread % PIECES * 4;
    }

    __device__ __forceinline__ void start(u8 *target, u32 chunk) const {
        const u32 *source = first + chunk * (B_CHUNK_BYTES / 4);
#pragma unroll
        for (u32 round = 0; round < ROUNDS; round++) {
            // A tile has 64 pieces: fewer threads take it in several rounds, more threads several tiles in one.
            u32 tile = THREADS < PIECES ? round * THREADS / PIECES : thread / PIECES + round * (THREADS / PIECES);
            const u32 *piece = THREADS < PIECES ? source + (u64)tile * tile_words + round * THREADS % PIECES * 4
                                                : source + (u64)(round * (THREADS / PIECES)) * tile_words;
            bool there = first_tile + tile < tiles;
            copy_16(target + (thread + round * THREADS) * 16, there ? piece : weight, there ? 16 : 0);
        }
    }
};

// Multiplies one chunk: `sums[row tile][tile][half]` += rows of `a` times tiles of `b`, both in shared memory.
template <int ROW_TILES, int TILES>
__device__ __forceinline__ void multiply_chunk(float (&sums)[ROW_TILES][TILES][2][4], const u16 *a, const u8 *b) {
    u32 lane = lane_index();
#pragma unroll
    for (int step = 0; step < CHUNK_STEPS; step++) {
        u32 fragment[ROW_TILES][4];
#pragma unroll
        for (int i = 0; i < ROW_TILES; i++)
            load_matrices(fragment[i], a + (i * 16 + lane % 16) * A_STRIDE + step * STEP + lane / 16 * 8);
#pragma unroll
        for (int j = 0; j < TILES; j++) {
            uint4 w = *(const uint4 *)(b + (j * CHUNK_STEPS + step) * STEP_WORDS * 4 + lane * 16);
#pragma unroll
            for (int i = 0; i < ROW_TILES; i++) {
                multiply_add(sums[i][j][0], fragment[i], w.x, w.y);
                multiply_add(sums[i][j][1], fragment[i], w.z, w.w);
            }
        }
    }
}

// A block's share of a product: ROW_WARPS x TILE_WARPS warps, each ROW_TILES tiles of 16 rows and TILES tiles of 16 outputs.
template <int ROW_TILES_, int TILES_, int ROW_WARPS, int TILE_WARPS, int STAGES, bool SLICED>
struct BlockProduct {
    static const int ROW_TILES = ROW_TILES_, TILES = TILES_;
    static const int THREADS = ROW_WARPS * TILE_WARPS * WARP;
    static const int BLOCK_ROWS = ROW_WARPS * ROW_TILES * 16;
    static const int BLOCK_TILES = TILE_WARPS * TILES;
    static const int A_BYTES = BLOCK_ROWS * A_STRIDE * 2;
    static const int STAGE_BYTES = A_BYTES + BLOCK_TILES * B_CHUNK_BYTES;
    static const int SHARED_BYTES = STAGES * STAGE_BYTES;

    __device__ static u32 warp_row() { return warp_index() / TILE_WARPS * ROW_TILES * 16; }
    __device__ static u32 warp_tile() { return warp_index() % TILE_WARPS * TILES; }

    // Fills `totals`; `shared` holds SHARED_BYTES and may be reused after the next barrier.
    __device__ __forceinline__ static void run(float (&totals)[ROW_TILES][TILES][2][4], u8 *shared, const Rows &rows,
                                               u32 first_row, const u32 *weight, u32 first_tile, u32 tiles, u32 chunks) {
        float sums[ROW_TILES][TILES][2][4];
        clear(totals);
        if (SLICED) clear(sums);
        const RowCopies<BLOCK_ROWS, THREADS> row_copies(rows, first_row, threadIdx.x);
        const TileCopies<BLOCK_TILES, THREADS> tile_copies(weight, first_tile, tiles, chunks, threadIdx.x);
        auto start = [&](u32 chunk) {
            u8 *stage = shared + chunk % STAGES * STAGE_BYTES;
            if (chunk < chunks) {
                row_copies.start((u16 *)stage, chunk);
                tile_copies.start(stage + A_BYTES, chunk);
            }
            copies_commit();
        };
#pragma unroll 1
        for (u32 chunk = 0; chunk < STAGES - 1; chunk++) start(chunk);
        u32 left = slice_chunks(chunks);
        for (u32 chunk = 0; chunk < chunks; chunk++) {
            copies_wait<STAGES - 2>();
            __syncthreads();
            start(chunk + STAGES - 1);
            u8 *stage = shared + chunk % STAGES * STAGE_BYTES;
            multiply_chunk<ROW_TILES, TILES>(SLICED ? sums : totals, (u16 *)stage + warp_row() * A_STRIDE,
                                             stage + A_BYTES + warp_tile() * B_CHUNK_BYTES);
            if (SLICED && --left == 0) {
                add(totals, sums);
                clear(sums);
                left = slice_chunks(chunks);
            }
        }
        if (SLICED && left != slice_chunks(chunks)) add(totals, sums);
        copies_wait<0>();
    }

    __device__ __forceinline__ static void clear(float (&sums)[ROW_TILES][TILES][2][4]) {
#pragma unroll
        for (int i = 0; i < ROW_TILES; i++)
#pragma unroll
            for (int j = 0; j < TILES; j++)
#pragma unroll
                for (int k = 0; k < 8; k++) sums[i][j][k / 4][k % 4] = 0.0f;
    }

    __device__ __forceinline__ static void add(float (&totals)[ROW_TILES][TILES][2][4],
                                               float (&sums)[ROW_TILES][TILES][2][4]) {
#pragma unroll
        for (int i = 0; i < ROW_TILES; i++)
#pragma unroll
            for (int j = 0; j < TILES; j++)
#pragma unroll
                for (int k = 0; k < 8; k++) totals[i][j][k / 4][k % 4] += sums[i][j][k / 4][k % 4];
    }
};
