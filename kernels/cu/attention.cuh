// Where keys and values lie: [layers][blocks][kv_heads][keys, values][slots][width] bf16, width = the head's width rounded up to
// one that an attention kernel exists for, zeros after the head. A block's slots of one head are contiguous, so a tile of
// 64 keys is a few runs of whole 16-byte chunks.
#pragma once
#include "numerics.cuh"

struct KvLayout {
    u32 num_blocks;
    u32 kv_heads;
    u32 block_size;
    u32 width;

    // Elements before the keys (0) or values (1) of a head of a block.
    __device__ __forceinline__ u64 head(u32 layer, u32 block, u32 kv_head, u32 values) const {
        return ((((u64)layer * num_blocks + block) * kv_heads + kv_head) * 2 + values) * block_size * width;
    }
};

#define KEY_TILE 64      // keys that share one softmax maximum
#define KEY_SPLIT 512    // keys of one split
#define FEW_VECTORS 16   // query vectors of a block of the few-kernels

// Adds split (m, l, x) to (max, sum, value): both relative to their own maximum. A split without keys changes nothing.
struct Merge {
    float keep;
    float add;

    // Factors for the values; updates maximum and sum.
    __device__ __forceinline__ Merge(float &max, float &sum, float split_max, float split_sum) {
        if (split_sum == 0.0f) {
            keep = 1.0f;
            add = 0.0f;
            return;
        }
        float larger = split_max > max ? split_max : max;
        keep = exponential(max - larger);
        add = exponential(split_max - larger);
        max = larger;
        sum = fmaf(sum, keep, split_sum * add);
    }

    __device__ __forceinline__ float value(float total, float split) const { return fmaf(total, keep, split * add); }
};
