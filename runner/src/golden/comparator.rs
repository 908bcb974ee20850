//! How a value is compared with its golden: a closed set of named rules.

use std::fmt;

use super::provenance::Band;
use crate::metrics::{median, significant};

/// A rule. Numbers that are not finite satisfy none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Comparator {
    /// Equal. For what is right or wrong: token ids, counts, text of our own.
    Exact,
    /// Both are 0, or both are above. For what must happen, where how often depends on timing.
    Occurrence,
    /// The same f32 bits. For logprobs on platforms whose arithmetic is ours to the last bit.
    SameBits,
    /// Equal on the shorter text's length, which must be above 0 (Megatron's rule for text, whose goldens may
    /// come from runs of another length).
    CommonPrefix,
    /// |a - b| <= max(tolerance, 1e-9 * max(|a|, |b|)), as Python's `math.isclose` has it in Megatron's check.
    Within(f64),
    /// The median of a list without its first element (which warms up) lies in `[low, high)` times the
    /// golden's. A list of one element is its own median, where Megatron's check breaks off.
    MedianBand(Band),
    /// The number lies in `[low, high]` times the golden's.
    RatioBand(Band),
    /// The number is at most so many times the golden's.
    AtMost(f64),
}

impl Comparator {
    /// Compares two numbers under this rule. For lists see [`settled`].
    pub fn holds(self, golden: f64, current: f64) -> bool {
        if !golden.is_finite() || !current.is_finite() {
            return false;
        }
        match self {
            Self::Exact | Self::CommonPrefix => golden == current,
            Self::Occurrence => (golden > 0.0) == (current > 0.0),
            // Both come from f32, and f64 keeps the sign of zero.
            Self::SameBits => (golden as f32).to_bits() == (current as f32).to_bits(),
            Self::Within(tolerance) => {
                (golden - current).abs() <= tolerance.max(1e-9 * golden.abs().max(current.abs()))
            }
            Self::MedianBand(band) => current >= band.low * golden && current < band.high * golden,
            Self::RatioBand(band) => {
                // Written back from a recorded spread, a bound may round to just inside its own value.
                let slack = 1e-12 * golden.abs();
                current >= band.low * golden - slack && current <= band.high * golden + slack
            }
            Self::AtMost(factor) => current <= factor * golden,
        }
    }

    /// The range that [`Self::holds`] allows around `golden`, where the rule is a band.
    pub fn allowed(self, golden: f64) -> Option<(f64, f64)> {
        match self {
            Self::MedianBand(band) | Self::RatioBand(band) => Some((band.low * golden, band.high * golden)),
            Self::AtMost(factor) => Some((0.0, factor * golden)),
            Self::Exact | Self::Occurrence | Self::SameBits | Self::CommonPrefix | Self::Within(_) => None,
        }
    }
}

/// The number that stands for a list: the median of all but its first element, of a single element itself.
/// `None` for an empty list.
pub fn settled(list: &[f64]) -> Option<f64> {
    match list {
        [] => None,
        [only] => Some(*only),
        [_, rest @ ..] => median(rest),
    }
}

/// The rule in words, for verdicts.
impl fmt::Display for Comparator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("exactly equal"),
            Self::Occurrence => f.write_str("happens where it happens in the golden"),
            Self::SameBits => f.write_str("equal to the last bit"),
            Self::CommonPrefix => f.write_str("equal on the common prefix"),
            Self::Within(tolerance) => write!(f, "within {tolerance}"),
            Self::MedianBand(band) => write!(f, "median of all but the first within {band} of the golden's"),
            Self::RatioBand(band) => write!(f, "within {band} of the golden"),
            Self::AtMost(factor) => write!(f, "at most {} times the golden's", significant(*factor)),
        }
    }
}

impl fmt::Display for Band {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |factor: f64| significant(((factor - 1.0) * 1000.0).round() / 10.0);
        write!(f, "{} % / +{} %", percent(self.low), percent(self.high))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const THROUGHPUT: Comparator = Comparator::MedianBand(Band { low: 0.9, high: 1.2 });
    const MEMORY: Comparator = Comparator::RatioBand(Band { low: 0.95, high: 1.05 });

    #[test]
    fn bands_have_megatrons_edges() {
        for (current, holds) in
            [(89.9, false), (90.0, true), (119.9, true), (120.0, false), (50.0, false), (200.0, false)]
        {
            assert_eq!(THROUGHPUT.holds(100.0, current), holds, "{current}");
        }
        for (current, holds) in [(94.9, false), (95.0, true), (105.0, true), (105.1, false)] {
            assert_eq!(MEMORY.holds(100.0, current), holds, "{current}");
        }
    }

    #[test]
    fn closeness_is_absolute_with_a_tiny_relative_part() {
        let rule = Comparator::Within(0.001);
        assert!(rule.holds(-1.5, -1.5009));
        assert!(!rule.holds(-1.5, -1.502));
        assert!(rule.holds(1e9, 1e9 + 0.9));
    }

    #[test]
    fn settled_drops_the_first_of_many() {
        assert_eq!(settled(&[]), None);
        assert_eq!(settled(&[7.0]), Some(7.0));
        assert_eq!(settled(&[1000.0, 3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(settled(&[1000.0, 1.0, 2.0]), Some(1.5));
    }

    #[test]
    fn bits_tell_zeros_apart() {
        assert!(!Comparator::SameBits.holds(0.0, -0.0));
        assert!(Comparator::Exact.holds(0.0, -0.0));
    }

    #[test]
    fn an_occurrence_is_told_from_none() {
        assert!(Comparator::Occurrence.holds(3.0, 70.0) && Comparator::Occurrence.holds(0.0, 0.0));
        assert!(!Comparator::Occurrence.holds(3.0, 0.0) && !Comparator::Occurrence.holds(0.0, 1.0));
    }

    #[test]
    fn rules_read_as_words() {
        assert_eq!(
            THROUGHPUT.to_string(),
            "median of all but the first within -10.00 % / +20.00 % of the golden's"
        );
        assert_eq!(Comparator::Within(0.001).to_string(), "within 0.001");
    }

    fn rules() -> [Comparator; 7] {
        [
            Comparator::Exact,
            Comparator::Occurrence,
            Comparator::SameBits,
            Comparator::CommonPrefix,
            Comparator::Within(0.0),
            THROUGHPUT,
            MEMORY,
        ]
    }

    proptest! {
        #[test]
        fn every_rule_accepts_a_value_itself_unless_it_is_not_finite(value in any::<f32>()) {
            let value = f64::from(value);
            for rule in rules() {
                // Bands are for positive quantities.
                let applies = rule.allowed(value).is_none() || value > 0.0;
                if applies {
                    prop_assert_eq!(rule.holds(value, value), value.is_finite(), "{:?}", rule);
                }
            }
        }

        #[test]
        fn nothing_equals_nan(value in any::<f64>()) {
            for rule in rules() {
                prop_assert!(!rule.holds(f64::NAN, value) && !rule.holds(value, f64::NAN));
            }
        }
    }
}
