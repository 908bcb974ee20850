//! The operand window: which values a bf16 operand of a dot product can have.
//!
//! `vdpbf16ps` flushes denormal inputs, sums and products to zero, other instructions do not, and the control
//! register that would tell them to is process-wide state. So the question never arises: every operand is
//! either zero or has a magnitude in [2^-50, 2^50]. A bf16 number has 8 significant bits, hence an operand is
//! a multiple of 2^-57, a product of two a multiple of 2^-114 below 2^100, and so is every partial sum
//! (rounding to 24 bits only makes it a coarser multiple). No denormal, no infinity and no NaN can occur, every
//! product is exact in f32, and `fma(a, b, sum)` equals `a * b + sum`: all instruction sets agree.

use half::bf16;

/// Magnitudes below this become zero (the operand floor): 2^-50.
pub const OPERAND_FLOOR: f32 = 1.0 / (1u64 << 50) as f32;
/// Magnitudes above this become this: 2^50.
pub const OPERAND_CEILING: f32 = (1u64 << 50) as f32;

/// `value` clamped to the window and rounded to bf16 (nearest, ties to even). Zeros are positive; NaN cannot
/// come from finite weights, and becomes the negative ceiling so that operands are always finite.
#[inline(always)]
pub fn round_to_operand(value: f32) -> bf16 {
    let above = if value > -OPERAND_CEILING { value } else { -OPERAND_CEILING };
    let clamped = if above < OPERAND_CEILING { above } else { OPERAND_CEILING };
    let windowed = if clamped.abs() < OPERAND_FLOOR { 0.0 } else { clamped };
    let bits = windowed.to_bits();
    bf16::from_bits(((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_nearest_even_inside_the_window() {
        for bits in (0..u32::MAX).step_by(9973) {
            let value = f32::from_bits(bits);
            if value.is_finite() && (OPERAND_FLOOR..=OPERAND_CEILING).contains(&value.abs()) {
                assert_eq!(round_to_operand(value), bf16::from_f32(value), "{value:e}");
            }
        }
    }

    #[test]
    fn nothing_leaves_the_window() {
        for value in [1e-40, -1e-40, OPERAND_FLOOR * 0.99, -0.0, 0.0] {
            assert_eq!(round_to_operand(value).to_bits(), 0, "{value:e}");
        }
        assert_eq!(round_to_operand(OPERAND_FLOOR).to_f32(), OPERAND_FLOOR);
        assert_eq!(round_to_operand(f32::MAX).to_f32(), OPERAND_CEILING);
        assert_eq!(round_to_operand(f32::NEG_INFINITY).to_f32(), -OPERAND_CEILING);
        assert_eq!(round_to_operand(f32::NAN).to_f32(), -OPERAND_CEILING);
    }
}
