//! Where a golden comes from: the one key that Goldlap adds to Megatron's layout.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the provenance's layout; raised when an older reader would misread it.
pub const GOLDEN_SCHEMA_VERSION: u32 = 1;

/// Who recorded a golden, where, when and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// [`GOLDEN_SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// SHA-256 of the whole file in canonical form without this field: tells a hand-made edit.
    pub content_hash: String,
    /// Fingerprint of what the case asked for; another one means that the case has changed since.
    pub case_hash: String,
    /// Platform that recorded it.
    pub platform: String,
    /// Instruction set or devices of the ranks.
    pub device: String,
    /// Commit of the code under test, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Command that accepted it.
    pub command: String,
    /// When the run started, RFC 3339, UTC.
    pub date: String,
    /// Runs that it was made from.
    pub repeats: u32,
    /// Of each measured number, the smallest and the largest over these runs.
    #[serde(default)]
    pub spread: BTreeMap<String, Spread>,
    /// Bands that differ from the comparator's default, as shares of the golden value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bands: BTreeMap<String, Band>,
    /// Why it was accepted, where a metric moved the wrong way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The metrics taken over last, where the others were left as they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted_metrics: Vec<String>,
}

/// Smallest and largest value seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

/// A range around a golden value, as factors of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// Lowest factor, at most 1.
    pub low: f64,
    /// Highest factor, at least 1.
    pub high: f64,
}

impl Spread {
    /// Of a sample; `None` where it is empty.
    pub fn of(sample: &[f64]) -> Option<Self> {
        let min = sample.iter().copied().min_by(f64::total_cmp)?;
        let max = sample.iter().copied().max_by(f64::total_cmp)?;
        Some(Self { min, max })
    }
}

impl Band {
    /// This band, widened so that it holds the whole `spread` around `value`.
    pub fn widened(self, value: f64, spread: Spread) -> Self {
        if value > 0.0 {
            Self { low: self.low.min(spread.min / value), high: self.high.max(spread.max / value) }
        } else {
            self
        }
    }

    /// What is wrong with the factors, if anything.
    pub fn check(self) -> Result<(), String> {
        if 0.0 < self.low && self.low <= 1.0 && 1.0 <= self.high && self.high.is_finite() {
            Ok(())
        } else {
            Err(format!("a band needs 0 < low <= 1 <= high, got low {} and high {}", self.low, self.high))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_grows_to_hold_what_was_seen_and_never_shrinks() {
        let band = Band { low: 0.9, high: 1.2 };
        assert_eq!(band.widened(10.0, Spread { min: 9.5, max: 11.0 }), band);
        assert_eq!(band.widened(10.0, Spread { min: 8.0, max: 15.0 }), Band { low: 0.8, high: 1.5 });
    }

    #[test]
    fn bands_that_exclude_the_golden_itself_are_refused() {
        assert_eq!(Band { low: 0.5, high: 1.5 }.check(), Ok(()));
        for (low, high) in [(1.1, 1.5), (0.5, 0.9), (0.0, 2.0), (f64::NAN, 2.0), (0.5, f64::INFINITY)] {
            assert!(Band { low, high }.check().is_err());
        }
    }
}
