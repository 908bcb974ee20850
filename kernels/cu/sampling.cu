// Draws one token a row from softmax(filter(logits / temperature)): top-k, top-p or neither; and finds a row's likeliest tokens.
//
// Shapes: logits [slots, vocabulary] f32; requests [rows] (struct Request); drawn [rows][2] words: token, its raw logit.
//   find_top: requests [rows] (struct TopRequest); found [sum of counts][2] words: token, its logit, by id within a row (few enough
//   for the host to put in order).
// Threads: one block of 512 threads a row; no sort, no scratch in global memory.
// Numerics: a token's weight is exp(x - max x) cut to a multiple of 2^-40, an integer, so sums are exact and their order is of no
//   consequence: shared-memory atomics may be used and the draw is still reproducible. The generator is Philox4x32-10 with the keys
//   of src/ops/sampling.rs; the quantile is 53 bits wide.
// How: "the token at cumulative weight m in the order (logit descending, id ascending)" is a radix descent over the bits of the
//   logits, 8 at a time, with a histogram of weights; with every weight 1 it finds the k-th largest logit, and top-p asks it
//   where the nucleus ends. Of equal logits at that end, those with the lowest ids are in. Tokens are drawn in id order.
#include "warp.cuh"

#define THREADS 512
#define WARPS (THREADS / WARP)
#define DIGITS 256

struct Request {
    u32 slot; // 0xffffffff: nothing to draw
    u32 top_k;
    float temperature;
    float top_p;
    u64 seed;
    u64 request_key;
    u64 position;
};

struct TopRequest {
    u32 slot;
    u32 count; // 1 ..= vocabulary
    u32 first; // where the row's results begin
};

struct Shared {
    u64 histogram[DIGITS];
    u64 warp_sums[WARPS];
    float warp_maxima[WARPS];
    u32 digit;
    u32 token;
    u64 before;
};

// Order of the logits as an unsigned number; -0 equals 0.
__device__ __forceinline__ u32 key_of(float x) {
    u32 bits = __float_as_uint(x + 0.0f);
    return bits ^ ((bits >> 31) ? 0xffffffffu : 0x80000000u);
}

__device__ __forceinline__ float of_key(u32 key) {
    return __uint_as_float(key ^ ((key >> 31) ? 0x80000000u : 0xffffffffu));
}

__device__ __forceinline__ u64 weight_of(float x, float largest) {
    return (u64)(exponential(x - largest) * 1099511627776.0f);
}

__device__ __forceinline__ u64 warp_sum_u64(u64 value) {
#pragma unroll
    for (int offset = WARP / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(ALL_LANES, value, offset);
    return value;
}

struct Row {
    const float *logits;
    u32 vocabulary;
    float temperature;

    __device__ __forceinline__ float at(u32 token) const { return logits[token] / temperature; }
};

__device__ __forceinline__ float largest_of(const Row &row, Shared &shared) {
    float largest = NEGATIVE_INFINITY;
    for (u32 i = threadIdx.x; i < row.vocabulary; i += THREADS) largest = fmaxf(largest, row.at(i));
#pragma unroll
    for (int offset = WARP / 2; offset > 0; offset /= 2) largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, offset));
    if (lane_index() == 0) shared.warp_maxima[warp_index()] = largest;
    __syncthreads();
    for (u32 warp = 0; warp < WARPS; warp++) largest = fmaxf(largest, shared.warp_maxima[warp]);
    return largest;
}

struct Located {
    u32 key;    // the keys above weigh at most the target, together with this one more than it
    u64 before; // weight of the keys above
};

// The key at cumulative weight `target`, largest first. `target` is less than the total.
template <class Weight>
__device__ __forceinline__ Located locate(const Row &row, Weight weight, u64 target, Shared &shared) {
    Located found = {0, 0};
#pragma unroll 1
    for (int shift = 24; shift >= 0; shift -= 8) {
        for (u32 i = threadIdx.x; i < DIGITS; i += THREADS) shared.histogram[i] = 0;
        __syncthreads();
        for (u32 i = threadIdx.x; i < row.vocabulary; i += THREADS) {
            float x = row.at(i);
            u32 key = key_of(x);
            if (shift == 24 || key >> (shift + 8) == found.key >> (shift + 8)) {
                u64 w = weight(x);
                if (w) atomicAdd(&shared.histogram[key >> shift & 255], w);
            }
        }
        __syncthreads();
        if (warp_index() == 0) {
            // Lane l holds digits 255 - 8 l - 7 ..= 255 - 8 l, largest first.
            u32 first = DIGITS - 1 - lane_index() * 8;
            u64 sum = 0;
            for (u32 i = 0; i < 8; i++) sum += shared.histogram[first - i];
            u64 through = sum;
            for (u32 offset = 1; offset < WARP; offset *= 2) {
                u64 other = __shfl_up_sync(ALL_LANES, through, offset);
                if (lane_index() >= offset) through += other;
            }
            u64 cumulative = found.before + through - sum;
            if (cumulative <= target && target < found.before + through) {
                u32 digit = first;
                while (cumulative + shared.histogram[digit] <= target) {
                    cumulative += shared.histogram[digit];
                    digit -= 1;
                }
                shared.digit = digit;
                shared.before = cumulative;
            }
        }
        __syncthreads();
        found.key |= shared.digit << shift;
        found.before = shared.before;
    }
    return found;
}

// Each warp takes a contiguous range of ids; fills shared.warp_sums and returns the total.
template <class Weight>
__device__ __forceinline__ u64 sum_ranges(const Row &row, Weight weight, u32 range, Shared &shared) {
    u32 begin = warp_index() * range, end = min(begin + range, row.vocabulary);
    u64 sum = 0;
    for (u32 i = begin + lane_index(); i < end; i += WARP) sum += weight(row.at(i), i);
    sum = warp_sum_u64(sum);
    __syncthreads();
    if (lane_index() == 0) shared.warp_sums[warp_index()] = sum;
    __syncthreads();
    u64 total = 0;
    for (u32 warp = 0; warp < WARPS; warp++) total += shared.warp_sums[warp];
    return total;
}

// The first id at which the weights summed in id order exceed `target`; `sum_ranges` of the same weights came before.
template <class Weight>
__device__ __forceinline__ u32 walk(const Row &row, Weight weight, u32 range, u64 target, Shared &shared) {
    u64 before = 0;
    for (u32 warp = 0; warp < warp_index(); warp++) before += shared.warp_sums[warp];
    if (before <= target && target < before + shared.warp_sums[warp_index()]) {
        u32 end = min((warp_index() + 1) * range, row.vocabulary);
        for (u32 base = warp_index() * range; base < end; base += WARP) {
            u32 token = base + lane_index();
            u64 through = token < end ? weight(row.at(token), token) : 0;
            for (u32 offset = 1; offset < WARP; offset *= 2) {
                u64 other = __shfl_up_sync(ALL_LANES, through, offset);
                if (lane_index() >= offset) through += other;
            }
            u32 beyond = __ballot_sync(ALL_LANES, before + through > target);
            if (beyond) {
                if (lane_index() == 0) shared.token = base + __ffs(beyond) - 1;
                break;
            }
            before += __shfl_sync(ALL_LANES, through, WARP - 1);
        }
    }
    __syncthreads();
    return shared.token;
}

// The id of token number `nth` (from 0, lowest id first) among those whose key is `key`.
__device__ __forceinline__ u32 id_of_equal(const Row &row, u32 key, u64 nth, u32 range, Shared &shared) {
    auto same = [=](float x, u32) { return (u64)(key_of(x) == key); };
    sum_ranges(row, same, range, shared);
    return walk(row, same, range, nth, shared);
}

__device__ __forceinline__ u32 range_of_warp(u32 vocabulary) { return (vocabulary + THREADS - 1) / THREADS * WARP; }

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    sample_rows(const float *logits, const Request *requests, u32 *drawn, u32 vocabulary) {
    __shared__ Shared shared;
    const Request request = requests[blockIdx.x];
    if (request.slot == 0xffffffffu) return;
    const Row row = {logits + (u64)request.slot * vocabulary, vocabulary, request.temperature};
    const u32 range = range_of_warp(vocabulary);
    float largest = largest_of(row, shared);
    u64 quantile = philox(request.seed, request.request_key, request.position) >> 11 << 11;
    auto mass = [=](float x) { return weight_of(x, largest); };
    u32 token;
    if (request.top_k == 0 && request.top_p > 0.0f && request.top_p < 1.0f) {
        u64 total = sum_ranges(row, [=](float x, u32) { return mass(x); }, range, shared);
        u64 cut = min((u64)((double)request.top_p * (double)total), total - 1);
        Located end = locate(row, mass, cut, shared);
        u64 nth = (cut - end.before) / mass(of_key(end.key));
        u32 last = id_of_equal(row, end.key, nth, range, shared);
        auto kept = [=](float x, u32 id) {
            u32 key = key_of(x);
            return key > end.key || (key == end.key && id <= last) ? mass(x) : 0;
        };
        u64 sum = sum_ranges(row, kept, range, shared);
        token = walk(row, kept, range, __umul64hi(quantile, sum), shared);
    } else {
        u32 threshold = 0;
        if (request.top_k > 0 && request.top_k < vocabulary)
            threshold = locate(row, [](float) { return (u64)1; }, request.top_k - 1, shared).key;
        auto kept = [=](float x, u32) { return key_of(x) >= threshold ? weight_of(x, largest) : 0; };
        u64 total = sum_ranges(row, kept, range, shared);
        token = walk(row, kept, range, __umul64hi(quantile, total), shared);
    }
    if (threadIdx.x == 0) {
        drawn[2 * blockIdx.x] = token;
        drawn[2 * blockIdx.x + 1] = __float_as_uint(row.logits[token]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    find_top(const float *logits, const TopRequest *requests, u32 *found, u32 vocabulary) {
    __shared__ Shared shared;
    const TopRequest request = requests[blockIdx.x];
    const Row row = {logits + (u64)request.slot * vocabulary, vocabulary, 1.0f};
    const u32 range = range_of_warp(vocabulary);
    Located end = locate(row, [](float) { return (u64)1; }, request.count - 1, shared);
    u32 last = id_of_equal(row, end.key, request.count - 1 - end.before, range, shared);
    auto kept = [=](float x, u32 id) {
        u32 key = key_of(x);
        return (u64)(key > end.key || (key == end.key && id <= last));
    };
    sum_ranges(row, kept, range, shared);
    u32 place = request.first;
    for (u32 warp = 0; warp < warp_index(); warp++) place += (u32)shared.warp_sums[warp];
    u32 stop = min((warp_index() + 1) * range, vocabulary);
    for (u32 base = warp_index() * range; base < stop; base += WARP) {
        u32 token = base + lane_index();
        bool is_kept = token < stop && kept(row.at(token), token);
        u32 members = __ballot_sync(ALL_LANES, is_kept);
        if (is_kept) {
            u32 *entry = found + 2 * (u64)(place + __popc(members & ((1u << lane_index()) - 1)));
            entry[0] = token;
            entry[1] = __float_as_uint(row.logits[token]);
        }
        place += __popc(members);
    }
}
