//! Exact arithmetic on binary floats of any format, rounded once in any mode.
//!
//! A finite value is sign * mantissa * 2^exponent with the mantissa in 128 bits; results are computed exactly (or with a
//! sticky last bit that stands for everything below) and rounded by [`Format::round`].

use crate::isa::arith::Rounding;

/// A binary float format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Bits of the mantissa, the hidden one counted.
    precision: u32,
    /// Exponent of the smallest normal number.
    min: i32,
    /// Exponent of the largest number; also the bias.
    max: i32,
}

pub(crate) const F16: Format = Format { precision: 11, min: -14, max: 15 };
pub(crate) const BF16: Format = Format { precision: 8, min: -126, max: 127 };
/// TF32 as it is kept: the bits of an f32 whose low 13 bits are zero; these here are the bits above them.
pub(crate) const TF32: Format = Format { precision: 11, min: -126, max: 127 };
pub(crate) const F32: Format = Format { precision: 24, min: -126, max: 127 };
pub(crate) const F64: Format = Format { precision: 53, min: -1022, max: 1023 };

/// A decoded float.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    Nan,
    Infinite {
        negative: bool,
    },
    /// mantissa * 2^exponent; a zero has mantissa zero.
    Finite {
        negative: bool,
        mantissa: u128,
        exponent: i32,
    },
}

impl Format {
    fn exponent_bits(self) -> u32 {
        32 - (self.max as u32).leading_zeros() + 1
    }

    pub(crate) fn sign_bit(self) -> u64 {
        1 << (self.precision - 1 + self.exponent_bits())
    }

    pub(crate) fn infinity(self, negative: bool) -> u64 {
        let bits = ((1_u64 << self.exponent_bits()) - 1) << (self.precision - 1);
        bits | if negative { self.sign_bit() } else { 0 }
    }

    /// The NaN that operations produce: all ones below the sign for formats up to 32 bits, the quiet NaN for f64.
    pub(crate) fn nan(self) -> u64 {
        if self == F64 { 0x7FF8_0000_0000_0000 } else { self.sign_bit() - 1 }
    }

    pub(crate) fn decode(self, bits: u64) -> Value {
        let negative = bits & self.sign_bit() != 0;
        let fraction = bits & ((1 << (self.precision - 1)) - 1);
        let biased = ((bits & (self.sign_bit() - 1)) >> (self.precision - 1)) as i32;
        if biased == (1 << self.exponent_bits()) - 1 {
            return if fraction == 0 { Value::Infinite { negative } } else { Value::Nan };
        }
        let (mantissa, exponent) = if biased == 0 {
            (fraction, self.min)
        } else {
            (fraction | 1 << (self.precision - 1), biased - self.max)
        };
        Value::Finite {
            negative,
            mantissa: u128::from(mantissa),
            exponent: exponent - (self.precision as i32 - 1),
        }
    }

    /// Rounds ±mantissa * 2^exponent to the format.
    pub(crate) fn round(self, mode: Rounding, negative: bool, mantissa: u128, exponent: i32) -> u64 {
        let sign = if negative { self.sign_bit() } else { 0 };
        if mantissa == 0 {
            return sign;
        }
        let top = exponent + 127 - mantissa.leading_zeros() as i32;
        let unit = top.max(self.min) - (self.precision as i32 - 1);
        let shift = unit - exponent;
        let (mut kept, below, half) = match shift {
            ..=0 => (mantissa << (-shift).min(127), 0, 1),
            1..=127 => (mantissa >> shift, mantissa & ((1 << shift) - 1), 1_u128 << (shift - 1)),
            // All of it lies under half a unit.
            _ => (0, 1, 2),
        };
        let up = match mode {
            Rounding::Nearest => below > half || (below == half && kept & 1 == 1),
            Rounding::NearestAway => below >= half && below != 0,
            Rounding::Zero => false,
            Rounding::Down => below != 0 && negative,
            Rounding::Up => below != 0 && !negative,
        };
        kept += u128::from(up && below != 0);
        let hidden = 1_u128 << (self.precision - 1);
        if kept < hidden {
            return sign | kept as u64;
        }
        let biased = (unit + self.precision as i32 - 1 + self.max) as u64;
        let bits = ((biased - 1) << (self.precision - 1)) + kept as u64;
        if bits < self.infinity(false) { sign | bits } else { self.overflow(mode, negative) }
    }

    fn overflow(self, mode: Rounding, negative: bool) -> u64 {
        let stays_finite = match mode {
            Rounding::Nearest | Rounding::NearestAway => false,
            Rounding::Zero => true,
            Rounding::Down => !negative,
            Rounding::Up => negative,
        };
        self.infinity(negative) - u64::from(stays_finite)
    }
}

/// Shifts right, keeping in the last bit whether anything was lost.
fn shift_right_sticky(mantissa: u128, by: u32) -> u128 {
    if by == 0 {
        return mantissa;
    }
    if by >= 128 {
        return u128::from(mantissa != 0);
    }
    (mantissa >> by) | u128::from(mantissa & ((1 << by) - 1) != 0)
}

/// Left-aligns so that bit 125 is the highest set.
fn align(mantissa: u128, exponent: i32) -> (u128, i32) {
    let by = mantissa.leading_zeros() as i32 - 2;
    if by >= 0 {
        (mantissa << by, exponent - by)
    } else {
        (shift_right_sticky(mantissa, (-by) as u32), exponent - by)
    }
}

fn add_finite(format: Format, mode: Rounding, x: (bool, u128, i32), y: (bool, u128, i32)) -> u64 {
    if x.1 == 0 && y.1 == 0 {
        let negative = if x.0 == y.0 { x.0 } else { mode == Rounding::Down };
        return format.round(mode, negative, 0, 0);
    }
    if x.1 == 0 || y.1 == 0 {
        let (negative, mantissa, exponent) = if x.1 == 0 { y } else { x };
        return format.round(mode, negative, mantissa, exponent);
    }
    let (mut big, mut small) = ((x.0, align(x.1, x.2)), (y.0, align(y.1, y.2)));
    if (big.1.1, big.1.0) < (small.1.1, small.1.0) {
        std::mem::swap(&mut big, &mut small);
    }
    let ((big_mantissa, exponent), (small_mantissa, small_exponent)) = (big.1, small.1);
    let small_mantissa = shift_right_sticky(small_mantissa, (exponent - small_exponent) as u32);
    if big.0 == small.0 {
        return format.round(mode, big.0, big_mantissa + small_mantissa, exponent);
    }
    let difference = big_mantissa - small_mantissa;
    let negative = if difference == 0 { mode == Rounding::Down } else { big.0 };
    format.round(mode, negative, difference, exponent)
}

/// a * b + c, rounded once.
pub(crate) fn fma(format: Format, mode: Rounding, a: u64, b: u64, c: u64) -> u64 {
    let (a, b, c) = (format.decode(a), format.decode(b), format.decode(c));
    let product = match (a, b) {
        (Value::Nan, _) | (_, Value::Nan) => return format.nan(),
        (Value::Infinite { negative }, other) | (other, Value::Infinite { negative }) => match other {
            Value::Finite { mantissa: 0, .. } => return format.nan(),
            Value::Infinite { negative: other } | Value::Finite { negative: other, .. } => {
                Err(negative != other)
            }
            Value::Nan => return format.nan(),
        },
        (
            Value::Finite { negative: n, mantissa: m, exponent: e },
            Value::Finite { negative, mantissa, exponent },
        ) => Ok((n != negative, m * mantissa, e + exponent)),
    };
    match (product, c) {
        (_, Value::Nan) => format.nan(),
        (Err(negative), Value::Infinite { negative: other }) if negative != other => format.nan(),
        (Err(negative), _) | (Ok(_), Value::Infinite { negative }) => format.infinity(negative),
        (Ok(product), Value::Finite { negative, mantissa, exponent }) => {
            add_finite(format, mode, product, (negative, mantissa, exponent))
        }
    }
}

/// a + b
pub(crate) fn add(format: Format, mode: Rounding, a: u64, b: u64) -> u64 {
    let one = format.round(Rounding::Nearest, false, 1, 0);
    fma(format, mode, a, one, b)
}

/// a * b
pub(crate) fn mul(format: Format, mode: Rounding, a: u64, b: u64) -> u64 {
    match (format.decode(a), format.decode(b)) {
        (
            Value::Finite { negative: n, mantissa: m, exponent: e },
            Value::Finite { negative, mantissa, exponent },
        ) => format.round(mode, n != negative, m * mantissa, e + exponent),
        // With an infinity or NaN in it the sum with zero changes nothing.
        (Value::Nan | Value::Infinite { .. }, _) | (_, Value::Nan | Value::Infinite { .. }) => {
            fma(format, mode, a, b, 0)
        }
    }
}

/// a / b
pub(crate) fn div(format: Format, mode: Rounding, a: u64, b: u64) -> u64 {
    match (format.decode(a), format.decode(b)) {
        (Value::Nan, _) | (_, Value::Nan) | (Value::Infinite { .. }, Value::Infinite { .. }) => format.nan(),
        (Value::Infinite { negative }, Value::Finite { negative: other, .. }) => {
            format.infinity(negative != other)
        }
        (Value::Finite { negative, .. }, Value::Infinite { negative: other }) => {
            format.round(mode, negative != other, 0, 0)
        }
        (
            Value::Finite { negative: n, mantissa: m, exponent: e },
            Value::Finite { negative, mantissa, exponent },
        ) => {
            if mantissa == 0 {
                return if m == 0 { format.nan() } else { format.infinity(n != negative) };
            }
            // Two bits stay free: one for the last bit below, one because the divisor may be one.
            let shift = m.leading_zeros().saturating_sub(2);
            let (quotient, remainder) = ((m << shift) / mantissa, (m << shift) % mantissa);
            format.round(
                mode,
                n != negative,
                (quotient << 1) | u128::from(remainder != 0),
                e - exponent - shift as i32 - 1,
            )
        }
    }
}

/// Square root.
pub(crate) fn sqrt(format: Format, mode: Rounding, a: u64) -> u64 {
    match format.decode(a) {
        Value::Nan | Value::Infinite { negative: true } => format.nan(),
        Value::Infinite { negative: false } => format.infinity(false),
        Value::Finite { mantissa: 0, negative, .. } => format.round(mode, negative, 0, 0),
        Value::Finite { negative: true, .. } => format.nan(),
        Value::Finite { mantissa, exponent, .. } => {
            let shift = (mantissa.leading_zeros() as i32 - 2) & !1;
            let shift = if (exponent - shift) & 1 == 0 { shift } else { shift + 1 };
            let (wide, exponent) = (mantissa << shift, exponent - shift);
            let root = wide.isqrt();
            format.round(mode, false, (root << 1) | u128::from(root * root != wide), exponent / 2 - 1)
        }
    }
}

/// A float as another format.
pub(crate) fn convert(from: Format, to: Format, mode: Rounding, bits: u64) -> u64 {
    match from.decode(bits) {
        Value::Nan => to.nan(),
        Value::Infinite { negative } => to.infinity(negative),
        Value::Finite { negative, mantissa, exponent } => to.round(mode, negative, mantissa, exponent),
    }
}

/// An integer as a float.
pub(crate) fn from_int(to: Format, mode: Rounding, value: i128) -> u64 {
    if value == 0 { 0 } else { to.round(mode, value < 0, value.unsigned_abs(), 0) }
}

/// A finite float rounded to an integer, saturated at ±2^100; `None` for NaN, ±2^100 for infinities.
pub(crate) fn to_int(from: Format, mode: Rounding, bits: u64) -> Option<i128> {
    const HUGE: i128 = 1 << 100;
    let (negative, mantissa, exponent) = match from.decode(bits) {
        Value::Nan => return None,
        Value::Infinite { negative } => return Some(if negative { -HUGE } else { HUGE }),
        Value::Finite { negative, mantissa, exponent } => (negative, mantissa, exponent),
    };
    let sign = if negative { -1 } else { 1 };
    if exponent >= 0 {
        let bits = 128 - mantissa.leading_zeros() as i32;
        return Some(
            sign * if bits + exponent > 100 { HUGE } else { (mantissa << exponent.min(100)) as i128 },
        );
    }
    let shift = (-exponent) as u32;
    let (kept, below, half) = if shift >= 127 {
        (0, u128::from(mantissa != 0), 2)
    } else {
        (mantissa >> shift, mantissa & ((1 << shift) - 1), 1 << (shift - 1))
    };
    let up = match mode {
        Rounding::Nearest => below > half || (below == half && kept & 1 == 1),
        Rounding::NearestAway => below >= half,
        Rounding::Zero => false,
        Rounding::Down => below != 0 && negative,
        Rounding::Up => below != 0 && !negative,
    };
    Some(sign * (kept + u128::from(up)) as i128)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;
    use proptest::prelude::*;

    // The compiler must not reason from the host's operation to its NaNs: for `sqrt` of a signalling NaN it was seen to
    // drop the check and to keep the payload.
    fn canonical(bits: u32) -> u64 {
        if f32::from_bits(black_box(bits)).is_nan() { F32.nan() } else { u64::from(bits) }
    }

    fn canonical64(bits: u64) -> u64 {
        if f64::from_bits(black_box(bits)).is_nan() { F64.nan() } else { bits }
    }

    proptest! {
        #[test]
        fn nearest_agrees_with_the_host_in_f32(a: u32, b: u32, c: u32) {
            let (x, y, z) = (f32::from_bits(a), f32::from_bits(b), f32::from_bits(c));
            let (a, b, c) = (u64::from(a), u64::from(b), u64::from(c));
            let mode = Rounding::Nearest;
            prop_assert_eq!(fma(F32, mode, a, b, c), canonical(x.mul_add(y, z).to_bits()));
            prop_assert_eq!(add(F32, mode, a, b), canonical((x + y).to_bits()));
            prop_assert_eq!(mul(F32, mode, a, b), canonical((x * y).to_bits()));
            prop_assert_eq!(div(F32, mode, a, b), canonical((x / y).to_bits()));
            prop_assert_eq!(sqrt(F32, mode, a), canonical(x.sqrt().to_bits()));
        }

        #[test]
        fn nearest_agrees_with_the_host_in_f64(a: u64, b: u64, c: u64) {
            let (x, y, z) = (f64::from_bits(a), f64::from_bits(b), f64::from_bits(c));
            let mode = Rounding::Nearest;
            prop_assert_eq!(fma(F64, mode, a, b, c), canonical64(x.mul_add(y, z).to_bits()));
            prop_assert_eq!(div(F64, mode, a, b), canonical64((x / y).to_bits()));
            prop_assert_eq!(sqrt(F64, mode, a), canonical64(x.sqrt().to_bits()));
            prop_assert_eq!(convert(F64, F32, mode, a), canonical((x as f32).to_bits()));
        }

        #[test]
        fn directed_results_enclose_the_nearest(a in -1e30_f32..1e30, b in -1e30_f32..1e30) {
            let (x, y) = (u64::from(a.to_bits()), u64::from(b.to_bits()));
            let get = |mode| f32::from_bits(mul(F32, mode, x, y) as u32);
            let (down, near, up) = (get(Rounding::Down), get(Rounding::Nearest), get(Rounding::Up));
            let exact = f64::from(a) * f64::from(b);
            prop_assert!(f64::from(down) <= exact && exact <= f64::from(up));
            prop_assert!(near == down || near == up);
            let zero = get(Rounding::Zero);
            prop_assert_eq!(zero, if exact < 0.0 { up } else { down });
        }
    }

    #[test]
    fn integers_round_by_the_mode() {
        let bits = |x: f32| u64::from(x.to_bits());
        assert_eq!(to_int(F32, Rounding::Nearest, bits(2.5)), Some(2));
        assert_eq!(to_int(F32, Rounding::NearestAway, bits(2.5)), Some(3));
        assert_eq!(to_int(F32, Rounding::Down, bits(-0.1)), Some(-1));
        assert_eq!(to_int(F32, Rounding::Up, bits(-0.1)), Some(0));
        assert_eq!(to_int(F32, Rounding::Nearest, bits(f32::NAN)), None);
        assert_eq!(from_int(F32, Rounding::Up, 16_777_217), bits(16_777_218.0));
        assert_eq!(from_int(F32, Rounding::Zero, -16_777_217), bits(-16_777_216.0));
    }
}
