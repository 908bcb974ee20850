//! Quantiles of the standard normal distribution from IEEE operations alone, so that every machine gets the
//! same bits. The system's libm is not used: its `ln` differs between versions and platforms.
//!
//! Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution", Applied Statistics 37 (1988),
//! routine PPND16: relative accuracy about 1e-16.

/// Number of quantiles in [`table`]: one for each 16-bit word.
pub(super) const TABLE_LEN: usize = 1 << 16;

/// `table()[i]` is the quantile of `(i + 1/2) / 65536`: drawing a uniform 16-bit index draws a normal number.
/// Ascending, antisymmetric, between -4.33 and 4.33.
pub(super) fn table() -> Vec<f64> {
    let mut quantiles = vec![0.0; TABLE_LEN];
    for index in 0..TABLE_LEN / 2 {
        let quantile = normal_quantile((index as f64 + 0.5) / TABLE_LEN as f64);
        quantiles[index] = quantile;
        quantiles[TABLE_LEN - 1 - index] = -quantile;
    }
    quantiles
}

const CENTRE_NUMERATOR: [f64; 8] = [
    3.387_132_872_796_366_5,
    1.331_416_678_917_843_8e2,
    1.971_590_950_306_551_3e3,
    1.373_169_376_550_946e4,
    4.592_195_393_154_987e4,
    6.726_577_092_700_87e4,
    3.343_057_558_358_813e4,
    2.509_080_928_730_122_7e3,
];
const CENTRE_DENOMINATOR: [f64; 8] = [
    1.0,
    4.231_333_070_160_091e1,
    6.871_870_074_920_579e2,
    5.394_196_021_424_751e3,
    2.121_379_430_158_659_7e4,
    3.930_789_580_009_271e4,
    2.872_908_573_572_194_3e4,
    5.226_495_278_852_545e3,
];
const TAIL_NUMERATOR: [f64; 8] = [
    1.423_437_110_749_683_5,
    4.630_337_846_156_546,
    5.769_497_221_460_691,
    3.647_848_324_763_204_5,
    1.270_458_252_452_368_4,
    2.417_807_251_774_506e-1,
    2.272_384_498_926_918_4e-2,
    7.745_450_142_783_414e-4,
];
const TAIL_DENOMINATOR: [f64; 8] = [
    1.0,
    2.053_191_626_637_759,
    1.676_384_830_183_803_8,
    6.897_673_349_851e-1,
    1.481_039_764_274_800_8e-1,
    1.519_866_656_361_645_7e-2,
    5.475_938_084_995_345e-4,
    1.050_750_071_644_416_9e-9,
];

/// The `z` with `P(Z <= z) = probability` for `probability` in [1e-11, 1/2]: as far as the table needs.
/// (AS 241 has a third region below about 1.4e-11.)
fn normal_quantile(probability: f64) -> f64 {
    debug_assert!((1e-11..=0.5).contains(&probability));
    let from_centre = probability - 0.5;
    if from_centre.abs() <= 0.425 {
        let r = 0.180_625 - from_centre * from_centre;
        return from_centre * horner(&CENTRE_NUMERATOR, r) / horner(&CENTRE_DENOMINATOR, r);
    }
    let r = (-ln(probability)).sqrt() - 1.6;
    -horner(&TAIL_NUMERATOR, r) / horner(&TAIL_DENOMINATOR, r)
}

fn horner(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, &coefficient| sum * x + coefficient)
}

/// Natural logarithm of a positive normal number: `x = m 2^e` with m in [1/sqrt 2, sqrt 2), then
/// `ln m = 2 atanh((m - 1) / (m + 1))` by its series, which converges below 1e-17 in 12 terms.
fn ln(x: f64) -> f64 {
    const MANTISSA_BITS: u32 = 52;
    const EXPONENT_OF_ONE: u64 = 1023;
    let bits = x.to_bits();
    let mut exponent = (bits >> MANTISSA_BITS) as i64 - EXPONENT_OF_ONE as i64;
    let mantissa_bits = bits & ((1 << MANTISSA_BITS) - 1);
    let mut mantissa = f64::from_bits(mantissa_bits | EXPONENT_OF_ONE << MANTISSA_BITS);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let series = (0..12).rev().fold(0.0, |sum, term| sum * square + 1.0 / f64::from(2 * term + 1));
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * t * series
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Percentage points of the standard normal, from tables (NIST/SEMATECH; to the digits given).
    #[test]
    fn agrees_with_published_percentage_points() {
        for (probability, expected) in [
            (0.5, 0.0),
            (0.25, -0.674_489_750_196_081_7),
            (0.1, -1.281_551_565_544_600_4),
            (0.05, -1.644_853_626_951_472_2),
            (0.025, -1.959_963_984_540_054),
            (0.001, -3.090_232_306_167_813_5),
            (0.00001, -4.264_890_793_922_825),
        ] {
            let got = normal_quantile(probability);
            assert!((got - expected).abs() < 1e-14, "{probability}: expected {expected}, got {got}");
        }
    }

    #[test]
    fn ln_is_accurate() {
        for x in [1e-10, 0.001, 0.5, 0.999_999, 1.0, 1.5, std::f64::consts::SQRT_2, 12_345.678] {
            assert!((ln(x) - x.ln()).abs() <= 4e-16 * x.ln().abs().max(1.0), "ln({x}) = {}", ln(x));
        }
    }

    #[test]
    fn the_table_is_a_standard_normal_distribution() {
        let table = table();
        assert!(table.windows(2).all(|pair| pair[0] < pair[1]), "ascending");
        assert!(table.iter().zip(table.iter().rev()).all(|(a, b)| a == &-b), "antisymmetric");
        let moment = |power: i32| table.iter().map(|z| z.powi(power)).sum::<f64>() / TABLE_LEN as f64;
        assert!((moment(2) - 1.0).abs() < 1e-3, "variance {}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.02, "kurtosis {}", moment(4));
    }
}
