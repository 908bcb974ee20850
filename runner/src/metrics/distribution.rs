//! A sample of numbers as mean, median and percentiles, with the sample size that each needs to mean something.

use serde::{Deserialize, Serialize};

use super::measured::Measured;

/// Summary of a sample. Percentiles interpolate linearly between order statistics (NumPy's default).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Sample size.
    pub n: usize,
    /// Arithmetic mean.
    pub mean: Measured,
    /// 50th percentile.
    pub median: Measured,
    /// 90th percentile.
    pub p90: Percentile,
    /// 95th percentile.
    pub p95: Percentile,
    /// 99th percentile.
    pub p99: Percentile,
}

/// A tail percentile, marked when the sample is too small to gate on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// The interpolated value.
    pub value: Measured,
    /// Sample size from which it may gate: see [`min_samples`].
    pub min_n: usize,
    /// The sample was smaller than that: recorded, never gated.
    pub n_too_small: bool,
}

/// Which statistic of a [`Distribution`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statistic {
    /// The median.
    Median,
    /// The 90th percentile.
    P90,
    /// The 95th percentile.
    P95,
    /// The 99th percentile.
    P99,
}

impl Distribution {
    /// Summary of `sample`; `what` names it in the reason when it is empty. A non-finite element makes
    /// everything not measurable.
    pub fn of(mut sample: Vec<f64>, what: &str) -> Self {
        let n = sample.len();
        let usable = n > 0 && sample.iter().all(|x| x.is_finite());
        let reason = if n == 0 { format!("no {what}") } else { format!("a {what} is not a finite number") };
        sample.sort_by(f64::total_cmp);
        let at = |fraction: f64| {
            if usable {
                Measured::Value(interpolate(&sample, fraction))
            } else {
                Measured::not(reason.clone())
            }
        };
        let tail = |statistic: Statistic| Percentile {
            value: at(statistic.fraction()),
            min_n: min_samples(statistic),
            n_too_small: n < min_samples(statistic),
        };
        let mean = if usable {
            Measured::Value(sample.iter().sum::<f64>() / n as f64)
        } else {
            Measured::not(reason.clone())
        };
        Self {
            n,
            mean,
            median: at(Statistic::Median.fraction()),
            p90: tail(Statistic::P90),
            p95: tail(Statistic::P95),
            p99: tail(Statistic::P99),
        }
    }

    /// One statistic's value.
    pub fn get(&self, statistic: Statistic) -> &Measured {
        match statistic {
            Statistic::Median => &self.median,
            Statistic::P90 => &self.p90.value,
            Statistic::P95 => &self.p95.value,
            Statistic::P99 => &self.p99.value,
        }
    }
}

impl Statistic {
    /// Position in the sorted sample, 0 = smallest, 1 = largest.
    pub fn fraction(self) -> f64 {
        match self {
            Self::Median => 0.5,
            Self::P90 => 0.90,
            Self::P95 => 0.95,
            Self::P99 => 0.99,
        }
    }
}

/// Sample size from which a percentile may gate: the smallest n whose largest element lies beyond the true
/// percentile with a probability of 99 %, that is `1 - fraction^n >= 0.99`.
pub fn min_samples(statistic: Statistic) -> usize {
    match statistic {
        Statistic::Median => 1,
        Statistic::P90 => 44,
        Statistic::P95 => 90,
        Statistic::P99 => 459,
    }
}

/// The median as Python's `statistics.median` has it: the mean of the middle two of an even sample.
/// `None` for an empty sample; NaN if an element is.
pub fn median(sample: &[f64]) -> Option<f64> {
    if sample.iter().any(|x| x.is_nan()) {
        return Some(f64::NAN);
    }
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// `sorted` is ascending, finite and not empty; `fraction` in 0..=1.
fn interpolate(sorted: &[f64], fraction: f64) -> f64 {
    let position = fraction * (sorted.len() - 1) as f64;
    let low = position.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    let share = position - low as f64;
    // This form never leaves [low, high], so percentiles stay monotone.
    (sorted[low] + (sorted[high] - sorted[low]) * share).clamp(sorted[low], sorted[high])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_sample() {
        let sample = Distribution::of(vec![4.0, 1.0, 3.0, 2.0], "x");
        assert_eq!(sample.n, 4);
        assert_eq!(sample.mean, Measured::Value(2.5));
        assert_eq!(sample.median, Measured::Value(2.5));
        // numpy.percentile([1,2,3,4], 90) == 3.7
        assert!((sample.p90.value.value().unwrap() - 3.7).abs() < 1e-12);
        assert!(sample.p90.n_too_small);
    }

    #[test]
    fn sample_sizes_decide_what_may_gate() {
        for (n, too_small) in [
            (43, [true, true, true]),
            (44, [false, true, true]),
            (90, [false, false, true]),
            (459, [false; 3]),
        ] {
            let d = Distribution::of(vec![1.0; n], "x");
            assert_eq!([d.p90.n_too_small, d.p95.n_too_small, d.p99.n_too_small], too_small, "n = {n}");
        }
    }

    #[test]
    fn sample_sizes_follow_their_rule() {
        for statistic in [Statistic::P90, Statistic::P95, Statistic::P99] {
            let reach = |n: usize| 1.0 - statistic.fraction().powi(i32::try_from(n).unwrap());
            let n = min_samples(statistic);
            assert!(reach(n) >= 0.99 && reach(n - 1) < 0.99, "{statistic:?}");
        }
    }

    #[test]
    fn empty_and_non_finite_samples_are_not_measurable() {
        assert_eq!(Distribution::of(vec![], "tokens").median, Measured::not("no tokens"));
        assert_eq!(Distribution::of(vec![1.0, f64::NAN], "gap").p99.value.value(), None);
        assert_eq!(median(&[]), None);
        assert!(median(&[1.0, f64::NAN]).unwrap().is_nan());
    }

    #[test]
    fn median_is_pythons() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    proptest! {
        #[test]
        fn percentiles_are_monotone_and_inside_the_sample(sample in prop::collection::vec(-1e9f64..1e9, 1..200)) {
            let low = sample.iter().copied().fold(f64::INFINITY, f64::min);
            let high = sample.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let d = Distribution::of(sample, "x");
            let values = [&d.median, &d.p90.value, &d.p95.value, &d.p99.value].map(|m| m.value().unwrap());
            prop_assert!(values.windows(2).all(|w| w[0] <= w[1]));
            prop_assert!(low <= values[0] && values[3] <= high);
        }
    }
}
