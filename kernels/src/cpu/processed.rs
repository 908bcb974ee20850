//! Logprobs of the distribution that tokens are drawn from: after temperature and filter, which are the sampler's own.
//! Computed on the host for every backend from the logits it kept, so that equal logits give equal bits everywhere.

use super::elementary64::ln;
use super::isa::{Isa, Path};
use super::sampling::{Kept, SamplingScratch, best_first, filter};
use crate::model::step::SampleArgs;

/// The processed distribution of one row at a time.
pub(crate) struct Processed {
    path: Path,
    scratch: SamplingScratch,
    kept: Kept,
    /// Largest scaled logit, and the log of the sum of the kept ones' `exp(scaled - largest)`.
    largest: f32,
    log_sum: f64,
}

impl Default for Processed {
    fn default() -> Self {
        // Every path gives the same bits, and the scalar one is everywhere.
        let path = Path::new(Isa::best()).or_else(|| Path::new(Isa::Scalar));
        Self {
            path: path.unwrap_or_else(|| unreachable!("scalar code runs everywhere")),
            scratch: SamplingScratch::default(),
            kept: Kept::All,
            largest: 0.0,
            log_sum: 0.0,
        }
    }
}

impl Processed {
    /// Takes in a row: logits divided by the temperature, those that the filter drops at -inf, softmax over the rest. The sum is
    /// made in f64 in the order of ids.
    pub(crate) fn load(&mut self, logits: &[f32], args: &SampleArgs) {
        self.kept = filter(self.path, logits, args, &mut self.scratch);
        let SamplingScratch { scaled, weights, .. } = &self.scratch;
        self.largest = scaled.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let kept =
            (0..).zip(scaled).zip(weights).filter(|&((token, &scaled), _)| self.kept.holds(scaled, token));
        self.log_sum = ln(kept.map(|(_, &weight)| f64::from(weight)).sum());
    }

    /// Logprob of a token; -inf if the filter dropped it.
    pub(crate) fn logprob(&self, token: u32) -> f32 {
        let scaled = self.scratch.scaled[token as usize];
        if !self.kept.holds(scaled, token) {
            return f32::NEG_INFINITY;
        }
        (f64::from(scaled - self.largest) - self.log_sum) as f32
    }

    /// The `count` likeliest tokens with their logprobs, likeliest first, equal ones by id; fewer if the filter keeps fewer.
    pub(crate) fn likeliest(&self, count: usize) -> Vec<(u32, f32)> {
        let scaled = (0..).zip(&self.scratch.scaled);
        let kept = scaled.filter(|&(token, &scaled)| self.kept.holds(scaled, token));
        let mut kept: Vec<(f32, u32)> = kept.map(|(token, &scaled)| (scaled, token)).collect();
        if count < kept.len() {
            kept.select_nth_unstable_by(count, best_first);
            kept.truncate(count);
        }
        kept.sort_unstable_by(best_first);
        kept.into_iter().map(|(_, token)| (token, self.logprob(token))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGS: SampleArgs =
        SampleArgs { temperature: 1.0, top_k: 0, top_p: 0.0, seed: 0, request_key: 0, position: 0 };
    const LOGITS: [f32; 5] = [0.5, 2.0, -1.0, 2.0, 1.25];

    /// By the definition, in f64 with the system's functions.
    fn reference(temperature: f64, kept: &[usize]) -> [f64; 5] {
        let scaled = LOGITS.map(|logit| f64::from(logit) / temperature);
        let sum: f64 = kept.iter().map(|&token| scaled[token].exp()).sum();
        let logprob = |token: usize| scaled[token] - sum.ln();
        std::array::from_fn(|token| if kept.contains(&token) { logprob(token) } else { f64::NEG_INFINITY })
    }

    #[test]
    fn logprobs_are_those_of_what_is_drawn_from() {
        for (args, kept) in [
            (ARGS, &[0, 1, 2, 3, 4][..]),
            (SampleArgs { temperature: 0.5, ..ARGS }, &[0, 1, 2, 3, 4]),
            (SampleArgs { top_k: 3, temperature: 2.0, ..ARGS }, &[1, 3, 4]),
            // Ties with the k-th are kept.
            (SampleArgs { top_k: 1, ..ARGS }, &[1, 3]),
            (SampleArgs { top_p: 0.4, ..ARGS }, &[1, 3]),
            (SampleArgs { top_p: 0.85, ..ARGS }, &[1, 3, 4]),
        ] {
            let mut processed = Processed::default();
            processed.load(&LOGITS, &args);
            let expected = reference(args.temperature.into(), kept);
            for (token, expected) in expected.into_iter().enumerate() {
                let got = f64::from(processed.logprob(token as u32));
                assert!(
                    got == expected || (got - expected).abs() < 1e-6,
                    "{args:?} {token}: {got}, {expected}"
                );
            }
            let likeliest = processed.likeliest(4);
            assert_eq!(likeliest.len(), kept.len().min(4), "{args:?}");
            assert_eq!((likeliest[0].0, likeliest[1].0), (1, 3), "ties go by id");
            assert!(likeliest.is_sorted_by(|a, b| a.1 >= b.1));
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let logits: Vec<f32> =
            (0..1000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as f32 / 300.0).collect();
        let args = SampleArgs { top_p: 0.9, temperature: 0.7, ..ARGS };
        let bits = |path: Path| {
            let mut processed = Processed { path, ..Processed::default() };
            processed.load(&logits, &args);
            (0..1000).map(|token| processed.logprob(token).to_bits()).collect::<Vec<_>>()
        };
        let mut all = Isa::ALL.into_iter().filter_map(Path::new).map(bits);
        let first = all.next().expect("scalar");
        assert!(all.all(|other| other == first));
    }
}
