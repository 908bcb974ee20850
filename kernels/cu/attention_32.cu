// Attention for heads of up to 32 elements: shapes, thread mapping and numerics in flash_attention.cuh. A module of its own,
// since a model needs one width only.
#include "flash_attention.cuh"

ATTENTION_KERNELS(32)
