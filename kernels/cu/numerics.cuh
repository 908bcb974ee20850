// Arithmetic of the operator contract (src/ops/mod.rs): bf16 operands inside their window, elementary functions and the
// counter-based generator. Every function is made of IEEE operations in a fixed order, the same as in src/cpu/elementary.rs and
// src/cpu/elementary64.rs, so that its bits are the same on every device. Compiled with --fmad=false: a fused
// multiply-add is where `fmaf` or `fma` is written and nowhere else.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define NEGATIVE_INFINITY __int_as_float(0xff800000)

// Magnitudes below 2^-50 are zero, magnitudes above 2^50 are 2^50.
#define OPERAND_FLOOR __int_as_float(0x26800000)
#define OPERAND_CEILING __int_as_float(0x58800000)

__device__ __forceinline__ float widen(u16 bits) { return __uint_as_float((u32)bits << 16); }

// Clamps to the operand window and rounds to bf16, nearest, ties to even; zeros are positive.
__device__ __forceinline__ u16 round_to_operand(float value) {
    float above = value > -OPERAND_CEILING ? value : -OPERAND_CEILING;
    float clamped = above < OPERAND_CEILING ? above : OPERAND_CEILING;
    float windowed = fabsf(clamped) < OPERAND_FLOOR ? 0.0f : clamped;
    u32 bits = __float_as_uint(windowed);
    return (u16)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// Two operands in a register, the first in the low half.
__device__ __forceinline__ u32 pack_operands(float low, float high) {
    return (u32)round_to_operand(low) | (u32)round_to_operand(high) << 16;
}

// e^x: 0 below -87 (also at minus infinity), e^88 above 88, exactly 1 at 0. Cephes `expf`: x = n ln 2 + r, a polynomial in r.
// Not `ex2.approx`, whose last bits NVIDIA does not define.
__device__ __forceinline__ float exponential(float x) {
    const float rounder = 12582912.0f;
    float clamped = fminf(fmaxf(x, -87.0f), 88.0f);
    float shifted = fmaf(clamped, 1.44269504f, rounder);
    float n = shifted - rounder;
    float r = fmaf(n, -0.693359375f, clamped);
    r = fmaf(n, 2.12194440e-4f, r);
    float p = 1.9875691500e-4f;
    p = fmaf(p, r, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 0.5f);
    float y = fmaf(p, r * r, r) + 1.0f;
    float scaled = __uint_as_float(__float_as_uint(y) + (__float_as_uint(shifted) << 23));
    return x < -87.0f ? 0.0f : scaled;
}

// x / (1 + e^-x)
__device__ __forceinline__ float silu(float x) { return x / (1.0f + exponential(0.0f - x)); }

// 0.5 x (1 + tanh(u)) = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3)
__device__ __forceinline__ float gelu_tanh(float x) {
    float cubic = fmaf((x * x) * 0.044715f, x, x);
    return x / (1.0f + exponential(cubic * -1.5957692f));
}

// x Phi(x); erfc by the Chebyshev fit of Press et al., Numerical Recipes.
__device__ __forceinline__ float gelu(float x) {
    float z = fabsf(x) * 0.70710678118f;
    float t = 1.0f / fmaf(z, 0.5f, 1.0f);
    float p = 0.17087277f;
    p = fmaf(p, t, -0.82215223f);
    p = fmaf(p, t, 1.48851587f);
    p = fmaf(p, t, -1.13520398f);
    p = fmaf(p, t, 0.27886807f);
    p = fmaf(p, t, -0.18628806f);
    p = fmaf(p, t, 0.09678418f);
    p = fmaf(p, t, 0.37409196f);
    p = fmaf(p, t, 1.00002368f);
    p = fmaf(p, t, -1.26551223f);
    float half_erfc = (t * 0.5f) * exponential(fmaf(0.0f - z, z, p));
    return x * (x < 0.0f ? half_erfc : 1.0f - half_erfc);
}

// max(x, 0)^2
__device__ __forceinline__ float squared_relu(float x) {
    float positive = x > 0.0f ? x : 0.0f;
    return positive * positive;
}

// Natural logarithm of a positive normal number: m 2^e with m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh((m-1)/(m+1)).
__device__ __forceinline__ double logarithm(double x) {
    long long bits = __double_as_longlong(x);
    int exponent = (int)((bits >> 52) & 0x7ff) - 1023;
    double m = __longlong_as_double((bits & 0x000fffffffffffffLL) | 0x3ff0000000000000LL);
    if (m >= 1.4142135623730951) {
        m *= 0.5;
        exponent += 1;
    }
    double s = (m - 1.0) / (m + 1.0);
    double s2 = s * s;
    double series = 0.0;
#pragma unroll 1
    for (int k = 11; k >= 0; k--) series = series * s2 + 1.0 / (double)(2 * k + 1);
    return (double)exponent * 0.6931471805599453 + 2.0 * s * series;
}

// Cosine and sine of a non-negative angle: reduction by multiples of pi/2 in four parts (fdlibm), Taylor series.
__device__ __forceinline__ void cosine_and_sine(double angle, double &cosine, double &sine) {
    const double rounder = 6755399441055744.0;
    double n = (angle * 0.6366197723675814 + rounder) - rounder;
    double r = ((angle - n * 1.5707963267341256) - n * 6.077100506303966e-11) - n * 2.0222662487111665e-21;
    r = r - n * 8.4784276603689e-32;
    double r2 = r * r;
    double even_series = 1.0, odd_series = 1.0;
#pragma unroll 1
    for (int k = 9; k >= 1; k--) {
        double even = (double)(2 * k);
        even_series = 1.0 - even_series * r2 / (even * (even - 1.0));
        odd_series = 1.0 - odd_series * r2 / (even * (even + 1.0));
    }
    odd_series = odd_series * r;
    int quadrant = (int)((long long)n & 3);
    cosine = quadrant == 0 ? even_series : quadrant == 1 ? -odd_series : quadrant == 2 ? -even_series : odd_series;
    sine = quadrant == 0 ? odd_series : quadrant == 1 ? even_series : quadrant == 2 ? -odd_series : -even_series;
}

// First two words of Philox4x32-10 (Salmon et al., SC 2011) as one number.
__device__ __forceinline__ u64 philox(u64 seed, u64 low_counter, u64 high_counter) {
    u32 c0 = (u32)low_counter, c1 = (u32)(low_counter >> 32), c2 = (u32)high_counter, c3 = (u32)(high_counter >> 32);
    u32 k0 = (u32)seed, k1 = (u32)(seed >> 32);
#pragma unroll 1
    for (int round = 0; round < 10; round++) {
        u64 product_0 = (u64)0xD2511F53u * c0, product_1 = (u64)0xCD9E8D57u * c2;
        c0 = (u32)(product_1 >> 32) ^ c1 ^ k0;
        c1 = (u32)product_1;
        c2 = (u32)(product_0 >> 32) ^ c3 ^ k1;
        c3 = (u32)product_0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (u64)c0 << 32 | c1;
}
