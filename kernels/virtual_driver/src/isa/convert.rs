//! Conversions between number types.

use super::Scalar;
use super::arith::Rounding;

/// One conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conversion {
    /// Type of the source.
    pub from: Scalar,
    /// Type of the result; a pair (`.f16x2`) takes two sources, the first becomes the high half.
    pub to: Scalar,
    /// Rounding, of the float result or to an integer.
    pub rounding: Rounding,
    /// The result is rounded to an integral value although its type is a float.
    pub integral: bool,
    /// Subnormal f32 become zero.
    pub ftz: bool,
    /// Clamped to the range of an integer, or to [0, 1] for a float.
    pub sat: bool,
    /// Infinite results become the largest finite number of their sign.
    pub finite: bool,
    /// Negative results become zero.
    pub relu: bool,
}
