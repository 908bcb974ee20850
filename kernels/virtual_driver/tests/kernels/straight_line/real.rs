//! Binary floats as exact numbers: decoding, exact arithmetic, and one rounding at the end.

use std::cmp::Ordering;

use super::natural::Natural;

/// A format by its bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) exponent: u32,
    pub(crate) fraction: u32,
}

pub(crate) const F16: Format = Format { exponent: 5, fraction: 10 };
pub(crate) const BF16: Format = Format { exponent: 8, fraction: 7 };
pub(crate) const F32: Format = Format { exponent: 8, fraction: 23 };
pub(crate) const F64: Format = Format { exponent: 11, fraction: 52 };
/// Without the 13 zero bits at its end.
pub(crate) const TF32: Format = Format { exponent: 8, fraction: 10 };

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    NearestEven,
    NearestAway,
    Zero,
    Down,
    Up,
}

/// A number with a sign; of zero too.
#[derive(Clone, Debug)]
pub(crate) enum Real {
    Nan,
    Infinite(bool),
    /// negative, magnitude, power of two
    Finite(bool, Natural, i64),
}

impl Format {
    pub(crate) fn sign(self) -> u64 {
        1 << (self.exponent + self.fraction)
    }

    fn bias(self) -> i64 {
        (1 << (self.exponent - 1)) - 1
    }

    pub(crate) fn infinity(self) -> u64 {
        ((1 << self.exponent) - 1) << self.fraction
    }

    /// PTX: "0x7fffffff" for f32, all ones for 16 bits; f64 results are quiet NaNs.
    pub(crate) fn nan(self) -> u64 {
        if self == F64 { 0x7FF8 << 48 } else { self.sign() - 1 }
    }

    pub(crate) fn one(self) -> u64 {
        (self.bias() as u64) << self.fraction
    }

    pub(crate) fn is_nan(self, bits: u64) -> bool {
        bits & (self.sign() - 1) > self.infinity()
    }

    pub(crate) fn is_subnormal(self, bits: u64) -> bool {
        let magnitude = bits & (self.sign() - 1);
        magnitude != 0 && magnitude >> self.fraction == 0
    }

    /// A subnormal number becomes a zero of its sign.
    pub(crate) fn flushed(self, bits: u64) -> u64 {
        if self.is_subnormal(bits) { bits & self.sign() } else { bits }
    }

    pub(crate) fn read(self, bits: u64) -> Real {
        let negative = bits & self.sign() != 0;
        let exponent = (bits >> self.fraction & ((1 << self.exponent) - 1)) as i64;
        let fraction = bits & ((1 << self.fraction) - 1);
        if exponent == (1 << self.exponent) - 1 {
            return if fraction == 0 { Real::Infinite(negative) } else { Real::Nan };
        }
        let hidden = if exponent == 0 { 0 } else { 1 << self.fraction };
        let power = exponent.max(1) - self.bias() - i64::from(self.fraction);
        Real::Finite(negative, Natural::from(fraction | hidden), power)
    }

    /// The nearest number of the format in the direction asked for.
    pub(crate) fn write(self, real: &Real, rounding: Rounding) -> u64 {
        let (negative, magnitude, power) = match real {
            Real::Nan => return self.nan(),
            Real::Infinite(negative) => return self.infinity() | if *negative { self.sign() } else { 0 },
            Real::Finite(negative, magnitude, power) => (*negative, magnitude, *power),
        };
        let sign = if negative { self.sign() } else { 0 };
        if magnitude.is_zero() {
            return sign;
        }
        let smallest = 1 - self.bias();
        let exponent = (magnitude.bits() as i64 - 1 + power).max(smallest);
        let unit = exponent - i64::from(self.fraction);
        let scaled = round_to(magnitude, power - unit, negative, rounding).to_u64();
        // `scaled` counts units; a carry into the next exponent works out by itself in this sum.
        let bits = ((exponent - smallest) as u64) * (1 << self.fraction) + scaled;
        if bits < self.infinity() {
            return sign | bits;
        }
        let stays_finite = match rounding {
            Rounding::NearestEven | Rounding::NearestAway => false,
            Rounding::Zero => true,
            Rounding::Down => !negative,
            Rounding::Up => negative,
        };
        sign | (self.infinity() - u64::from(stays_finite))
    }
}

/// magnitude * 2^by as a whole number.
pub(crate) fn round_to(magnitude: &Natural, by: i64, negative: bool, rounding: Rounding) -> Natural {
    if by >= 0 {
        return magnitude.up(by as usize);
    }
    let places = -by as usize;
    let (whole, rest) = (magnitude.down(places), magnitude.low(places));
    let half = rest.compare(&Natural::from(1).up(places - 1));
    let up = match rounding {
        Rounding::NearestEven => half == Ordering::Greater || half == Ordering::Equal && whole.bit(0),
        Rounding::NearestAway => half != Ordering::Less,
        Rounding::Zero => false,
        Rounding::Down => negative && !rest.is_zero(),
        Rounding::Up => !negative && !rest.is_zero(),
    };
    whole.plus(&Natural::from(u64::from(up)))
}

impl Real {
    pub(crate) fn is_negative(&self) -> bool {
        matches!(self, Real::Infinite(true) | Real::Finite(true, ..))
    }

    fn is_zero(&self) -> bool {
        matches!(self, Real::Finite(_, magnitude, _) if magnitude.is_zero())
    }

    pub(crate) fn negated(self) -> Real {
        match self {
            Real::Nan => Real::Nan,
            Real::Infinite(negative) => Real::Infinite(!negative),
            Real::Finite(negative, magnitude, power) => Real::Finite(!negative, magnitude, power),
        }
    }

    pub(crate) fn times(&self, other: &Real) -> Real {
        let negative = self.is_negative() != other.is_negative();
        match (self, other) {
            (Real::Nan, _) | (_, Real::Nan) => Real::Nan,
            (Real::Finite(_, a, p), Real::Finite(_, b, q)) => Real::Finite(negative, a.times(b), p + q),
            (finite, Real::Infinite(_)) | (Real::Infinite(_), finite) => {
                if finite.is_zero() {
                    Real::Nan
                } else {
                    Real::Infinite(negative)
                }
            }
        }
    }

    /// The sum; an exact zero of unlike signs is positive except when rounding down.
    pub(crate) fn plus(&self, other: &Real, rounding: Rounding) -> Real {
        match (self, other) {
            (Real::Nan, _) | (_, Real::Nan) => Real::Nan,
            (Real::Infinite(a), Real::Infinite(b)) if a != b => Real::Nan,
            (Real::Infinite(a), _) | (_, Real::Infinite(a)) => Real::Infinite(*a),
            (Real::Finite(s, a, p), Real::Finite(t, b, q)) => {
                let power = *p.min(q);
                let (a, b) = (a.up((p - power) as usize), b.up((q - power) as usize));
                if s == t {
                    return Real::Finite(*s, a.plus(&b), power);
                }
                match a.compare(&b) {
                    Ordering::Greater => Real::Finite(*s, a.minus(&b), power),
                    Ordering::Less => Real::Finite(*t, b.minus(&a), power),
                    Ordering::Equal => Real::Finite(rounding == Rounding::Down, Natural::default(), power),
                }
            }
        }
    }

    /// The quotient to 80 bits and more, the last of which stands for all that follow.
    pub(crate) fn over(&self, other: &Real) -> Real {
        let negative = self.is_negative() != other.is_negative();
        match (self, other) {
            (Real::Nan, _) | (_, Real::Nan) | (Real::Infinite(_), Real::Infinite(_)) => Real::Nan,
            (Real::Infinite(_), Real::Finite(..)) => Real::Infinite(negative),
            (Real::Finite(..), Real::Infinite(_)) => Real::Finite(negative, Natural::default(), 0),
            (Real::Finite(_, a, _), Real::Finite(_, b, _)) if b.is_zero() => {
                if a.is_zero() {
                    Real::Nan
                } else {
                    Real::Infinite(negative)
                }
            }
            (Real::Finite(_, a, p), Real::Finite(_, b, q)) => {
                let places = 80 + b.bits();
                let (quotient, remains) = a.up(places).over(b);
                let sticky = quotient.up(1).plus(&Natural::from(u64::from(remains)));
                Real::Finite(negative, sticky, p - q - places as i64 - 1)
            }
        }
    }

    /// The square root, with a last bit as in `over`.
    pub(crate) fn root(&self) -> Real {
        match self {
            Real::Finite(negative, a, _) if a.is_zero() => Real::Finite(*negative, Natural::default(), 0),
            Real::Nan | Real::Infinite(true) | Real::Finite(true, ..) => Real::Nan,
            Real::Infinite(false) => Real::Infinite(false),
            Real::Finite(false, a, p) => {
                let places = 160 + p.rem_euclid(2);
                let (root, remains) = a.up(places as usize).root();
                let sticky = root.up(1).plus(&Natural::from(u64::from(remains)));
                Real::Finite(false, sticky, (p - places) / 2 - 1)
            }
        }
    }

    /// Order of two numbers; none if one is NaN. Zeros are equal.
    pub(crate) fn compare(&self, other: &Real) -> Option<Ordering> {
        let sign = |real: &Real| -> Option<i32> {
            match real {
                _ if real.is_zero() => Some(0),
                Real::Nan => None,
                Real::Infinite(negative) => Some(if *negative { -2 } else { 2 }),
                Real::Finite(negative, ..) => Some(if *negative { -1 } else { 1 }),
            }
        };
        let (a, b) = (sign(self)?, sign(other)?);
        if a != b || a.abs() != 1 {
            return Some(a.cmp(&b));
        }
        let difference = self.plus(&other.clone().negated(), Rounding::NearestEven);
        sign(&difference).map(|sign| sign.cmp(&0))
    }
}
