//! Numbers as goldens keep them: the shortest text that comes back with the very bits.

use super::json::Json;

/// A logprob as JSON: the shortest decimal that reads back as the same f32, also by way of f64.
pub(crate) fn logprob_to_json(value: f32) -> Json {
    // A Display of f32 always parses as f64; if rounding twice would miss the bits, f64's own digits do not.
    let short = value.to_string().parse::<f64>().unwrap_or(f64::from(value));
    let exact = (short as f32).to_bits() == value.to_bits();
    Json::float(if exact { short } else { f64::from(value) })
}

/// A measured number as JSON, with six significant digits: more is noise, and makes diffs unreadable.
pub(super) fn measured_to_json(value: f64) -> Json {
    Json::float(rounded(value))
}

/// `value` with six significant digits.
pub(super) fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// The number in a JSON value, non-finite ones included.
pub(super) fn as_f64(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::NonFinite(value) => Some(*value),
        Json::Null | Json::Bool(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn logprobs_are_short() {
        assert_eq!(logprob_to_json(-9.358_587).to_string(), "-9.358587");
        assert_eq!(logprob_to_json(-0.0).to_string(), "-0.0");
        assert_eq!(logprob_to_json(f32::NAN).to_string(), "NaN");
    }

    #[test]
    fn measured_numbers_have_six_digits() {
        assert_eq!(rounded(123.456_789), 123.457);
        assert_eq!(rounded(0.000_123_456_789), 0.000_123_457);
        assert_eq!(rounded(0.0), 0.0);
    }

    proptest! {
        #[test]
        fn every_finite_f32_comes_back_bit_for_bit(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = logprob_to_json(value).to_string();
            let back = as_f64(&Json::parse(&text).unwrap()).unwrap() as f32;
            prop_assert_eq!(back.to_bits(), bits, "{}", text);
        }
    }
}
