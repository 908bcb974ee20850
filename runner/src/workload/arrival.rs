//! When requests arrive: offsets in seconds after the start of a run.

use super::random::PythonRandom;
use crate::plan::Arrival;

/// Offset of a request that does not wait: it arrived before the run began (Megatron's own value).
pub const AT_ONCE_S: f64 = -1.0;

/// The arrival process gave fewer arrivals than there are requests.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ArrivalError {
    /// Too few arrivals in the time that was given to the process.
    #[error(
        "the Poisson process of seed {seed} gave {got} arrivals in {duration_s} s (2 x requests / rate), \
         {expected} are needed: change --seed or the number of requests"
    )]
    TooFew {
        /// `--seed`.
        seed: u64,
        /// Arrivals needed.
        expected: usize,
        /// Arrivals drawn.
        got: usize,
        /// Simulated time.
        duration_s: f64,
    },
    /// The rate cannot be simulated.
    #[error(
        "requests per second must be a finite number above 0, got {0}: check --incoming-requests-per-sec"
    )]
    Rate(f64),
}

/// Offsets of `num_requests` requests, in order. For a Poisson process also the generator, in the state in
/// which the original goes on to draw the lengths of synthetic prompts.
pub(super) fn offsets(
    arrival: Arrival,
    num_requests: usize,
) -> Result<(Vec<f64>, Option<PythonRandom>), ArrivalError> {
    match arrival {
        Arrival::AllAtOnce | Arrival::PerStep { .. } => Ok((vec![AT_ONCE_S; num_requests], None)),
        Arrival::Poisson { requests_per_second, seed } => {
            let (offsets, random) = poisson(requests_per_second, seed, num_requests)?;
            Ok((offsets, Some(random)))
        }
    }
}

/// Cumulative sums of exponential gaps below `2 * num_requests / rate`, shifted so that the first is 0, cut
/// to `num_requests`. The draw that passes the end is made too, as in the original's event loop.
fn poisson(rate: f64, seed: u64, num_requests: usize) -> Result<(Vec<f64>, PythonRandom), ArrivalError> {
    if !(rate.is_finite() && rate > 0.0) {
        return Err(ArrivalError::Rate(rate));
    }
    let mut random = PythonRandom::new(seed);
    let duration_s = num_requests as f64 / rate * 2.0;
    let mut arrivals = Vec::with_capacity(num_requests);
    let mut now = random.expovariate(rate);
    let mut num_arrivals = 0;
    while now < duration_s {
        num_arrivals += 1;
        if arrivals.len() < num_requests {
            arrivals.push(now);
        }
        now += random.expovariate(rate);
    }
    if num_arrivals == 0 && num_requests > 0 {
        // The original makes sure of one request at least.
        (num_arrivals, arrivals) = (1, vec![0.0]);
    }
    if num_arrivals < num_requests {
        return Err(ArrivalError::TooFew { seed, expected: num_requests, got: num_arrivals, duration_s });
    }
    let first = arrivals.first().copied().unwrap_or(0.0);
    Ok((arrivals.into_iter().map(|arrival| arrival - first).collect(), random))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(left: &[f64], right: &[f64]) {
        assert_eq!(left.len(), right.len());
        for (l, r) in left.iter().zip(right) {
            assert!((l - r).abs() <= 1e-12, "{l} is not {r}");
        }
    }

    /// Printed by CPython 3.11.7 with the original's procedure, eight requests at 100 per second.
    const SEED_1234: [f64; 8] = [
        0.0,
        0.005811275645234877,
        0.005886472365818025,
        0.03007496097456843,
        0.05808797056930296,
        0.06681615484800602,
        0.07795027191071358,
        0.0788269866970242,
    ];

    #[test]
    fn poisson_offsets_and_what_is_drawn_after_them_equal_the_original() {
        let arrival = Arrival::Poisson { requests_per_second: 100.0, seed: 1234 };
        let (offsets, random) = offsets(arrival, 8).unwrap();
        close(&offsets, &SEED_1234);
        let mut random = random.unwrap();
        assert_eq!(std::array::from_fn(|_| random.randint(4, 16)), [6, 5, 6, 15, 5, 4, 12, 11]);
    }

    #[test]
    fn others_arrive_at_once() {
        for arrival in [Arrival::AllAtOnce, Arrival::PerStep { num_requests: 2 }] {
            assert_eq!(offsets(arrival, 3).unwrap().0, [AT_ONCE_S; 3]);
        }
    }

    #[test]
    fn too_few_arrivals_are_an_error_and_one_request_never_is() {
        let mut refused = 0;
        for seed in 0..200 {
            let arrival = Arrival::Poisson { requests_per_second: 10.0, seed };
            assert_eq!(offsets(arrival, 1).unwrap().0, [0.0]);
            refused += usize::from(offsets(arrival, 2).is_err());
        }
        assert!(refused > 0, "with two requests some seeds fall short");
    }

    #[test]
    fn a_rate_that_is_no_rate_is_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = offsets(Arrival::Poisson { requests_per_second: rate, seed: 1 }, 4);
            assert!(matches!(error, Err(ArrivalError::Rate(_))));
        }
    }

    proptest! {
        #[test]
        fn offsets_start_at_zero_and_never_go_back(seed: u64, n in 0_usize..200, rate in 0.01_f64..1e6) {
            let arrival = Arrival::Poisson { requests_per_second: rate, seed };
            if let Ok((offsets, _)) = offsets(arrival, n) {
                prop_assert_eq!(offsets.len(), n);
                prop_assert!(offsets.first().is_none_or(|first| *first == 0.0));
                prop_assert!(offsets.windows(2).all(|pair| pair[0] <= pair[1]));
            }
        }
    }
}
