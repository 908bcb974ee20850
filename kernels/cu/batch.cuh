// The step's batch on the device: one array of 32-bit words, uploaded in one copy (src/cuda/batch.rs writes it). The first
// words say how many rows there are and where each table starts, so that a captured launch whose grid covers a whole bucket of
// batch sizes finds the step's own numbers, and threads without work leave.
#pragma once
#include "numerics.cuh"

enum BatchWord {
    BATCH_ROWS,            // token rows
    BATCH_HEAD_ROWS,       // rows that go through the LM head
    BATCH_FEW_TASKS,       // attention: splits of sequences with few query vectors
    BATCH_MANY_TASKS,      // attention: blocks of query vectors of the others
    BATCH_COMBINES,        // attention: sequences whose splits must be combined
    BATCH_TOKENS,          // start of [rows]
    BATCH_POSITIONS,       // start of [rows]
    BATCH_PLACES,          // start of [rows][2]: block, slot
    BATCH_HEAD,            // start of [head rows][3]: row, target, logits slot (NONE = 0xffffffff)
    BATCH_SEQUENCES,       // start of [sequences][4]: first row, rows, start, first word of the block table
    BATCH_FEW,             // start of [few tasks][3]: sequence, split, partial slot (NONE: the only split)
    BATCH_MANY,            // start of [many tasks][2]: sequence, first query vector
    BATCH_COMBINE,         // start of [combines][3]: sequence, first partial slot, splits
    BATCH_WORDS            // size of this list
};

#define NONE 0xffffffffu

// Table `which` of the batch.
__device__ __forceinline__ const u32 *batch_table(const u32 *batch, BatchWord which) { return batch + batch[which]; }
