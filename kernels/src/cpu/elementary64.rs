//! ln, exp, powers, sine and cosine in f64 from IEEE operations in a fixed order, for the few values that need them:
//! rotary angles and the logarithm of log-softmax.
//!
//! Largest errors found against the system library (see the tests): ln, exp 2e-15 relative; sine and cosine 1e-15
//! absolute up to a million radians.

const LN_2: f64 = std::f64::consts::LN_2;

/// Natural logarithm of a positive normal number: m 2^e with m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh((m-1)/(m+1)).
pub(crate) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if m >= std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let mut series = 0.0;
    for k in (0..12).rev() {
        series = series * s2 + 1.0 / (2 * k + 1) as f64;
    }
    exponent as f64 * LN_2 + 2.0 * s * series
}

/// e^x for |x| < 700: x = n ln 2 + r, Taylor series in r.
pub(crate) fn exp(x: f64) -> f64 {
    /// ln(2) in two parts (fdlibm); products of the first with small integers are exact.
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let n = round(x * std::f64::consts::LOG2_E);
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut series = 1.0;
    for k in (1..15).rev() {
        series = series * r / f64::from(k) + 1.0;
    }
    series * f64::from_bits(((n as i64 + 1023) as u64) << 52)
}

/// base^exponent for a positive base.
pub(crate) fn pow(base: f64, exponent: f64) -> f64 {
    exp(exponent * ln(base))
}

/// Nearest integer, ties to even, for |x| < 2^51.
fn round(x: f64) -> f64 {
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    (x + ROUNDER) - ROUNDER
}

/// (cosine, sine) of a non-negative angle: reduction by multiples of pi/2 in three parts (fdlibm), Taylor series.
pub(crate) fn cos_sin(angle: f64) -> (f64, f64) {
    const PIO2_1: f64 = 1.570_796_326_734_125_6;
    const PIO2_2: f64 = 6.077_100_506_303_966e-11;
    const PIO2_3: f64 = 2.022_266_248_711_166_5e-21;
    const PIO2_3_TAIL: f64 = 8.478_427_660_368_9e-32;
    let n = round(angle * std::f64::consts::FRAC_2_PI);
    let r = ((angle - n * PIO2_1) - n * PIO2_2) - n * PIO2_3;
    let r = r - n * PIO2_3_TAIL;
    let (cosine, sine) = series(r);
    match n as i64 & 3 {
        0 => (cosine, sine),
        1 => (-sine, cosine),
        2 => (-cosine, -sine),
        _ => (sine, -cosine),
    }
}

/// (cosine, sine) for |r| <= pi/4.
fn series(r: f64) -> (f64, f64) {
    let r2 = r * r;
    let (mut cosine, mut sine) = (1.0, 1.0);
    for k in (1..10).rev() {
        let even = f64::from(2 * k);
        cosine = 1.0 - cosine * r2 / (even * (even - 1.0));
        sine = 1.0 - sine * r2 / (even * (even + 1.0));
    }
    (cosine, sine * r)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(values: impl Iterator<Item = f64>, error: impl Fn(f64) -> f64) -> f64 {
        values.map(error).fold(0.0, f64::max)
    }

    #[test]
    fn logarithm_and_exponential() {
        let grid = || (1..20_000).map(|i| 1e-9 * 1.002f64.powi(i));
        assert!(worst(grid(), |x| ((ln(x) - x.ln()) / x.ln().abs().max(1e-3)).abs()) < 2e-15);
        let grid = || (-20_000..20_000).map(|i| f64::from(i) * 0.0313);
        assert!(worst(grid(), |x| (exp(x) / x.exp() - 1.0).abs()) < 2e-15);
        assert_eq!((ln(1.0), exp(0.0)), (0.0, 1.0));
    }

    #[test]
    fn powers() {
        let worst =
            worst((0..256).map(|i| -f64::from(i) / 128.0), |x| (pow(1e6, x) / 1e6f64.powf(x) - 1.0).abs());
        assert!(worst < 1e-14, "{worst:e}");
    }

    #[test]
    fn cosine_and_sine() {
        let grid = (0..200_000).map(|i| f64::from(i) * 5.123_456_789);
        let worst = worst(grid, |x| {
            let (cosine, sine) = cos_sin(x);
            (cosine - x.cos()).abs().max((sine - x.sin()).abs())
        });
        assert!(worst < 1e-15, "{worst:e}");
        assert_eq!(cos_sin(0.0), (1.0, 0.0));
    }
}
