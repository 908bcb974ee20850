//! exp and the activations on 16 lanes, from IEEE operations in a fixed order.
//!
//! Largest errors found against f64 (see the tests): exp 0.98 ulp on [-87, 88]; the activations 1.1e-7, relative to
//! the larger of 1, |x| and the result, for |x| <= 5.

use super::simd::{Kernel, Simd};

/// Adding it to a small f32 leaves the nearest integer in the low bits: 1.5 * 2^23.
const ROUNDER: f32 = 12_582_912.0;
/// Below this exp is 0: no result is ever denormal.
const EXP_UNDERFLOW: f32 = -87.0;
/// Above this exp stays what it is here.
const EXP_OVERFLOW: f32 = 88.0;

/// Coefficients 1/2!, 1/3!, ... of e^r on |r| <= ln(2)/2, highest first (Cephes `expf`).
const EXP_POLYNOMIAL: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
/// ln(2) in two parts; the first has few bits, so that its product with an integer exponent is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// e^x; 0 below -87 (also at minus infinity), e^88 above 88. Exactly 1 at 0.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let clamped = s.min(s.max(x, s.splat(EXP_UNDERFLOW)), s.splat(EXP_OVERFLOW));
    let shifted = s.mul_add(clamped, s.splat(std::f32::consts::LOG2_E), s.splat(ROUNDER));
    let n = s.sub(shifted, s.splat(ROUNDER));
    let r = s.mul_add(n, s.splat(-LN2_HIGH), clamped);
    let r = s.mul_add(n, s.splat(-LN2_LOW), r);
    let mut p = s.splat(EXP_POLYNOMIAL[0]);
    for coefficient in &EXP_POLYNOMIAL[1..] {
        p = s.mul_add(p, r, s.splat(*coefficient));
    }
    let y = s.add(s.mul_add(p, s.mul(r, r), r), s.splat(1.0));
    let scaled = s.scale_by_exponent(y, shifted);
    s.select_less(x, s.splat(EXP_UNDERFLOW), s.splat(0.0), scaled)
}

/// x / (1 + e^-x)
#[inline(always)]
pub(crate) fn silu<S: Simd>(s: S, x: S::F) -> S::F {
    let e = exp(s, s.sub(s.splat(0.0), x));
    s.div(x, s.add(s.splat(1.0), e))
}

/// 0.5 x (1 + tanh(u)) = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3)
#[inline(always)]
pub(crate) fn gelu_tanh<S: Simd>(s: S, x: S::F) -> S::F {
    const TWO_SQRT_2_OVER_PI: f32 = 1.595_769_2;
    let cubic = s.mul_add(s.mul(s.mul(x, x), s.splat(0.044_715)), x, x);
    let e = exp(s, s.mul(cubic, s.splat(-TWO_SQRT_2_OVER_PI)));
    s.div(x, s.add(s.splat(1.0), e))
}

/// Coefficients of the Chebyshev fit of erfc (Press et al., Numerical Recipes, `erfcc`), highest first.
const ERFC_POLYNOMIAL: [f32; 10] = [
    0.170_872_77,
    -0.822_152_23,
    1.488_515_9,
    -1.135_204,
    0.278_868_07,
    -0.186_288_06,
    0.096_784_18,
    0.374_091_96,
    1.000_023_7,
    -1.265_512_2,
];

/// x Phi(x): with z = |x| / sqrt(2), Phi(-|x|) = erfc(z) / 2 and Phi(|x|) = 1 - erfc(z) / 2.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(s: S, x: S::F) -> S::F {
    let z = s.mul(s.abs(x), s.splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = s.div(s.splat(1.0), s.mul_add(z, s.splat(0.5), s.splat(1.0)));
    let mut p = s.splat(ERFC_POLYNOMIAL[0]);
    for coefficient in &ERFC_POLYNOMIAL[1..] {
        p = s.mul_add(p, t, s.splat(*coefficient));
    }
    let negative_z = s.sub(s.splat(0.0), z);
    let half_erfc = s.mul(s.mul(t, s.splat(0.5)), exp(s, s.mul_add(negative_z, z, p)));
    let phi = s.select_less(x, s.splat(0.0), half_erfc, s.sub(s.splat(1.0), half_erfc));
    s.mul(x, phi)
}

/// max(x, 0)^2
#[inline(always)]
pub(crate) fn squared_relu<S: Simd>(s: S, x: S::F) -> S::F {
    let positive = s.max(x, s.splat(0.0));
    s.mul(positive, positive)
}

/// exp of one number, the very bits of the vector version.
pub(crate) fn exp_one(x: f32) -> f32 {
    struct One(f32);
    impl Kernel for One {
        type Output = f32;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> f32 {
            s.to_array(exp(s, s.splat(self.0)))[0]
        }
    }
    super::simd::Scalar.vectorize(One(x))
}
