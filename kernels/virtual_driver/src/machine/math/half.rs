//! 16-bit floats to f32 and back, without branches so that lane loops become vectors.

/// IEEE half to f32, exact; NaN stays NaN.
#[inline(always)]
pub(crate) fn f16_to_f32(bits: u32) -> f32 {
    let sign = (bits & 0x8000) << 16;
    let rest = bits & 0x7FFF;
    // Shifted into place the value is 2^-112 times too small, subnormals included; infinities need their exponent back.
    let scaled = f32::from_bits(rest << 13) * f32::from_bits((127 + 112) << 23);
    let magnitude = if rest >= 0x7C00 { 0x7F80_0000 | (rest << 13) } else { scaled.to_bits() };
    f32::from_bits(sign | magnitude)
}

/// f32 to IEEE half, to nearest even; NaN becomes 0x7FFF.
#[inline(always)]
pub(crate) fn f32_to_f16(value: f32) -> u32 {
    let bits = value.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let magnitude = bits & 0x7FFF_FFFF;
    // Normal results: add half a unit, ties to even by the bit that stays last.
    let odd = (magnitude >> 13) & 1;
    let normal = magnitude.wrapping_add(0x0FFF + odd).wrapping_sub(112 << 23) >> 13;
    // Subnormal results: adding 0.5 aligns the wanted bits at the bottom and rounds them by the addition itself.
    let aligned = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5_f32.to_bits());
    let finite = if magnitude < 0x3880_0000 { aligned } else { normal };
    let result = if magnitude >= 0x477F_F000 { 0x7C00 } else { finite };
    if magnitude > 0x7F80_0000 { 0x7FFF } else { sign | result }
}

/// bfloat16 to f32, exact.
#[inline(always)]
pub(crate) fn bf16_to_f32(bits: u32) -> f32 {
    f32::from_bits(bits << 16)
}

/// f32 to bfloat16, to nearest even; NaN becomes 0x7FFF.
#[inline(always)]
pub(crate) fn f32_to_bf16(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16;
    if bits & 0x7FFF_FFFF > 0x7F80_0000 { 0x7FFF } else { rounded }
}

/// a * b + c in f64 with the last bit sticky, as an f32 with its last bit sticky: rounding it to a 16-bit float gives the
/// result of the exact sum. The product of two 16-bit floats is exact in f64.
#[inline(always)]
pub(crate) fn fma_sticky(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let virtual_c = sum - product;
    let error = (product - (sum - virtual_c)) + (c - virtual_c);
    let bits = sum.to_bits();
    // Not exact and even: step toward the exact value, which makes it odd.
    let toward_larger = (error > 0.0) == (sum > 0.0);
    let odd = if toward_larger { bits | 1 } else { bits.wrapping_sub(1) | 1 };
    let sticky = if error != 0.0 && error.is_finite() && bits & 1 == 0 { odd } else { bits };
    round_to_odd(f64::from_bits(sticky))
}

/// f64 to f32 toward zero with the last bit set where anything was lost.
#[inline(always)]
fn round_to_odd(value: f64) -> f32 {
    let nearest = value as f32;
    let lost = f64::from(nearest) != value;
    let too_large = f64::from(nearest).abs() > value.abs();
    let truncated = nearest.to_bits().wrapping_sub(u32::from(too_large));
    if lost && value.is_finite() { f32::from_bits(truncated | 1) } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::super::exact::{self, BF16, F16};
    use super::*;
    use crate::isa::arith::Rounding;
    use proptest::prelude::*;

    #[test]
    fn every_half_goes_there_and_back() {
        for bits in 0..=0xFFFF_u32 {
            let value = half::f16::from_bits(bits as u16);
            if value.is_nan() {
                assert!(f16_to_f32(bits).is_nan());
                continue;
            }
            assert_eq!(f16_to_f32(bits).to_bits(), value.to_f32().to_bits(), "{bits:x}");
            assert_eq!(f32_to_f16(f16_to_f32(bits)), bits);
        }
    }

    proptest! {
        #[test]
        fn conversions_round_to_nearest_even(bits: u32) {
            let value = f32::from_bits(bits);
            let expect = |format| exact::convert(exact::F32, format, Rounding::Nearest, u64::from(bits)) as u32;
            prop_assert_eq!(f32_to_f16(value), expect(F16));
            prop_assert_eq!(f32_to_bf16(value), expect(BF16));
        }

        #[test]
        fn a_fused_product_is_rounded_once(a: u16, b: u16, c: u16) {
            let exact = exact::fma(F16, Rounding::Nearest, a.into(), b.into(), c.into()) as u32;
            let fast = f32_to_f16(fma_sticky(f16_to_f32(a.into()), f16_to_f32(b.into()), f16_to_f32(c.into())));
            prop_assert_eq!(fast, exact);
            let exact = exact::fma(BF16, Rounding::Nearest, a.into(), b.into(), c.into()) as u32;
            let fast = f32_to_bf16(fma_sticky(bf16_to_f32(a.into()), bf16_to_f32(b.into()), bf16_to_f32(c.into())));
            prop_assert_eq!(fast, exact);
        }
    }
}
