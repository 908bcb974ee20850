//! The `.approx` functions.
//!
//! Hardware looks them up with a few bits of error; its bits are not documented. Here they are computed in f64 with
//! polynomials whose error is far below half a unit of f32, then rounded: nearly always the correctly rounded result,
//! and the same on every host, because only additions, multiplications and divisions are used.

/// 2^x. Below the range 0, above it infinity.
#[inline(always)]
pub(crate) fn ex2(x: f32) -> f32 {
    let clamped = f64::from(x).clamp(-160.0, 160.0);
    // Adding 1.5 * 2^52 rounds to an integer in the low bits.
    let shifted = clamped + 6_755_399_441_055_744.0;
    let whole = shifted - 6_755_399_441_055_744.0;
    let f = (clamped - whole) * std::f64::consts::LN_2;
    let series = 1.0 / 3_628_800.0;
    let series = series * f + 1.0 / 362_880.0;
    let series = series * f + 1.0 / 40_320.0;
    let series = series * f + 1.0 / 5_040.0;
    let series = series * f + 1.0 / 720.0;
    let series = series * f + 1.0 / 120.0;
    let series = series * f + 1.0 / 24.0;
    let series = series * f + 1.0 / 6.0;
    let series = series * f + 0.5;
    let series = series * f + 1.0;
    let series = series * f + 1.0;
    let exponent = (shifted.to_bits() << 52).wrapping_add(1023_u64 << 52);
    let result = (series * f64::from_bits(exponent)) as f32;
    if x.is_nan() { x } else { result }
}

/// log2(x); of zero minus infinity, of negatives NaN.
#[inline(always)]
pub(crate) fn lg2(x: f32) -> f32 {
    let bits = f64::from(x).to_bits();
    // Cut so that the mantissa lies in [sqrt(1/2), sqrt(2)).
    let offset = bits.wrapping_sub(0x3FE6_A09E_667F_3BCD);
    let exponent = (offset as i64) >> 52;
    let mantissa = f64::from_bits(bits.wrapping_sub((exponent as u64) << 52));
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let s = t * t;
    let series = 1.0 / 19.0;
    let series = series * s + 1.0 / 17.0;
    let series = series * s + 1.0 / 15.0;
    let series = series * s + 1.0 / 13.0;
    let series = series * s + 1.0 / 11.0;
    let series = series * s + 1.0 / 9.0;
    let series = series * s + 1.0 / 7.0;
    let series = series * s + 0.2;
    let series = series * s + 1.0 / 3.0;
    let series = series * s + 1.0;
    let result = (exponent as i32 as f64 + series * t * (2.0 / std::f64::consts::LN_2)) as f32;
    let result = if x == 0.0 { f32::NEG_INFINITY } else { result };
    let result = if x == f32::INFINITY { x } else { result };
    if x < 0.0 || x.is_nan() { f32::NAN } else { result }
}

/// Sine and cosine of the same reduced angle: quadrant, sine and cosine in it.
#[inline(always)]
fn reduced(x: f32) -> (u64, f64, f64) {
    let wide = f64::from(x);
    let shifted = wide * std::f64::consts::FRAC_2_PI + 6_755_399_441_055_744.0;
    let k = shifted - 6_755_399_441_055_744.0;
    // pi/2 in two parts, the first with 33 bits, so that k * first is exact for |k| < 2^20.
    let r = (wide - k * 1.570_796_326_734_125_6) - k * 6.077_100_506_506_192e-11;
    let s = r * r;
    let sine = -1.0 / 39_916_800.0;
    let sine = sine * s + 1.0 / 362_880.0;
    let sine = sine * s - 1.0 / 5_040.0;
    let sine = sine * s + 1.0 / 120.0;
    let sine = sine * s - 1.0 / 6.0;
    let sine = r + r * s * sine;
    let cosine = 1.0 / 479_001_600.0;
    let cosine = cosine * s - 1.0 / 3_628_800.0;
    let cosine = cosine * s + 1.0 / 40_320.0;
    let cosine = cosine * s - 1.0 / 720.0;
    let cosine = cosine * s + 1.0 / 24.0;
    let cosine = cosine * s - 0.5;
    (shifted.to_bits(), sine, 1.0 + s * cosine)
}

#[inline(always)]
fn by_quadrant(x: f32, quadrant: u64, sine: f64, cosine: f64) -> f32 {
    let value = if quadrant & 1 == 0 { sine } else { cosine };
    let value = if quadrant & 2 == 0 { value } else { -value };
    if x.is_finite() { value as f32 } else { f32::NAN }
}

/// sin(x); the angle is reduced with 85 bits of pi, good to |x| < 10^6.
#[inline(always)]
pub(crate) fn sin(x: f32) -> f32 {
    let (quadrant, sine, cosine) = reduced(x);
    let result = by_quadrant(x, quadrant, sine, cosine);
    if x == 0.0 { x } else { result }
}

/// cos(x)
#[inline(always)]
pub(crate) fn cos(x: f32) -> f32 {
    let (quadrant, sine, cosine) = reduced(x);
    by_quadrant(x, quadrant.wrapping_add(1), sine, cosine)
}

/// tanh(x)
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let magnitude = f64::from(x).abs().min(20.0);
    // (e - 1) / (e + 1) with e = exp(2x); e - 1 by its series, so that small x lose nothing.
    let y = magnitude * 2.0;
    let shifted = y * std::f64::consts::LOG2_E + 6_755_399_441_055_744.0;
    let k = shifted - 6_755_399_441_055_744.0;
    let f = y - k * std::f64::consts::LN_2;
    let series = 1.0 / 479_001_600.0;
    let series = series * f + 1.0 / 39_916_800.0;
    let series = series * f + 1.0 / 3_628_800.0;
    let series = series * f + 1.0 / 362_880.0;
    let series = series * f + 1.0 / 40_320.0;
    let series = series * f + 1.0 / 5_040.0;
    let series = series * f + 1.0 / 720.0;
    let series = series * f + 1.0 / 120.0;
    let series = series * f + 1.0 / 24.0;
    let series = series * f + 1.0 / 6.0;
    let series = series * f + 0.5;
    let minus_one = f + f * f * series;
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023_u64 << 52));
    let e_minus_one = power * minus_one + (power - 1.0);
    let result = (e_minus_one / (e_minus_one + 2.0)) as f32;
    if x.is_nan() { x } else { result.copysign(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest distance in units of the last place to a result computed by the host's library in f64.
    fn worst(ours: fn(f32) -> f32, theirs: fn(f64) -> f64, inputs: impl Iterator<Item = f32>) -> f64 {
        inputs
            .map(|x| {
                let (got, want) = (f64::from(ours(x)), theirs(f64::from(x)));
                let nearest = want as f32;
                let unit = f64::from(f32::from_bits(nearest.abs().to_bits() + 1)) - f64::from(nearest.abs());
                if got == want || nearest.is_infinite() && got == f64::from(nearest) {
                    0.0
                } else {
                    (got - want).abs() / unit
                }
            })
            .fold(0.0, f64::max)
    }

    fn spread(from: f32, to: f32) -> impl Iterator<Item = f32> {
        (0..200_000_u32).map(move |i| from + (to - from) * (i as f32 / 200_000.0))
    }

    #[test]
    fn errors_stay_at_half_a_unit() {
        assert!(worst(ex2, f64::exp2, spread(-149.0, 128.5)) < 0.501);
        assert!(worst(lg2, f64::log2, spread(1e-38, 8.0)) < 0.501);
        assert!(worst(lg2, f64::log2, spread(0.9999, 1.0001)) < 0.501);
        assert!(worst(tanh, f64::tanh, spread(-9.5, 9.5)) < 0.501);
        assert!(worst(tanh, f64::tanh, spread(-1e-4, 1e-4)) < 0.501);
        assert!(worst(sin, f64::sin, spread(-100.0, 100.0)) < 0.501);
        assert!(worst(cos, f64::cos, spread(-100.0, 100.0)) < 0.501);
    }

    #[test]
    fn limits_are_ieee() {
        assert_eq!((ex2(f32::NEG_INFINITY), ex2(f32::INFINITY), ex2(0.0)), (0.0, f32::INFINITY, 1.0));
        assert_eq!((lg2(0.0), lg2(f32::INFINITY), lg2(1.0)), (f32::NEG_INFINITY, f32::INFINITY, 0.0));
        assert!(lg2(-1.0).is_nan() && ex2(f32::NAN).is_nan() && sin(f32::INFINITY).is_nan());
        assert_eq!(
            (tanh(f32::INFINITY), tanh(f32::NEG_INFINITY), tanh(-0.0).to_bits()),
            (1.0, -1.0, 0x8000_0000)
        );
        assert_eq!(lg2(f32::from_bits(1)), -149.0);
    }
}
