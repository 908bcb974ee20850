//! A number that was measured, or the reason why there is none. Keeps NaN and made-up zeros out of reports.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One summary number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// Finite, in the unit that the metric's name says.
    Value(f64),
    /// There was nothing to measure; why.
    NotMeasurable(String),
}

impl Measured {
    /// `value`, unless it is not finite.
    pub fn finite(value: f64, what: &str) -> Self {
        if value.is_finite() {
            Self::Value(value)
        } else {
            Self::NotMeasurable(format!("{what} is not a finite number"))
        }
    }

    /// `numerator / seconds`, where the time is positive.
    pub fn rate(numerator: f64, seconds: f64) -> Self {
        if seconds > 0.0 {
            Self::finite(numerator / seconds, "the rate")
        } else {
            Self::NotMeasurable("no time passed".to_owned())
        }
    }

    /// The reason form.
    pub fn not(reason: impl Into<String>) -> Self {
        Self::NotMeasurable(reason.into())
    }

    /// The number, if there is one.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(*value),
            Self::NotMeasurable(_) => None,
        }
    }
}

/// With four significant digits, or `not measurable (reason)`.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => f.write_str(&significant(*value)),
            Self::NotMeasurable(reason) => write!(f, "not measurable ({reason})"),
        }
    }
}

/// `value` for a reader: four significant digits, whole from 1,000 up, no exponent in the usual ranges.
pub fn significant(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    if !(1e-4..1e12).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    // Digits before the point, from the exponent that the rounding formatter chose.
    let exponent =
        format!("{magnitude:.3e}").split_once('e').and_then(|(_, e)| e.parse::<i32>().ok()).unwrap_or(0);
    let decimals = usize::try_from(3 - exponent).unwrap_or(0);
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_gives_a_reason_not_an_infinity() {
        assert_eq!(Measured::rate(3.0, 0.0), Measured::not("no time passed"));
        assert_eq!(Measured::rate(3.0, 1.5), Measured::Value(2.0));
        assert_eq!(Measured::rate(3.0, f64::NAN).value(), None);
        assert_eq!(Measured::finite(f64::INFINITY, "x").value(), None);
    }

    #[test]
    fn numbers_read_well() {
        for (value, text) in [
            (0.0, "0"),
            (0.43219, "0.4322"),
            (9.99996, "10.00"),
            (123.456, "123.5"),
            (5414.4, "5414"),
            (1e-7, "1.000e-7"),
        ] {
            assert_eq!(significant(value), text);
        }
    }
}
