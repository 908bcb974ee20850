//! The requests of a performance case: every batch size several times, each iteration a batch that is drained.

use super::request::{TimedRequest, Workload};
use crate::metrics::Iteration;
use crate::plan::{Conduct, PerformancePlan};

impl Workload {
    /// Takes these requests as a stock, used in turn and from its start in every iteration, as the original's benchmark
    /// does. `num_replicas` is the least size of a warm-up: every replica must have run before anything is measured.
    #[must_use]
    pub fn in_iterations(self, plan: &PerformancePlan, num_replicas: usize) -> Self {
        let mut iterations = Vec::new();
        let mut requests: Vec<TimedRequest> = Vec::new();
        for &batch_size in &plan.batch_sizes {
            for iteration in 0..plan.num_warm_up + plan.num_timed {
                let is_warm_up = iteration < plan.num_warm_up;
                let num_requests = if is_warm_up { batch_size.max(num_replicas) } else { batch_size };
                let first_request = requests.len();
                iterations.push(Iteration { first_request, num_requests, batch_size, is_warm_up });
                requests.extend(self.requests.iter().cycle().take(num_requests).cloned());
            }
        }
        let mut record = self.record;
        record.iterations = iterations;
        Self { requests, record }
    }

    /// How the client conducts itself: as planned, and every iteration waits until the one before it is answered.
    pub fn conduct(&self, planned: &Conduct) -> Conduct {
        let mut conduct = planned.clone();
        if !self.record.iterations.is_empty() {
            conduct.batch_starts = self.record.iterations.iter().map(|i| i.first_request).collect();
        }
        conduct
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::WorkloadRecord;
    use crate::plan::{SamplingPlan, TerminationPlan};

    use super::*;

    fn request(token: u32) -> TimedRequest {
        let sampling = SamplingPlan {
            temperature: 1.0,
            top_k: 1,
            top_p: 0.0,
            seed: 1,
            return_log_probs: false,
            skip_prompt_log_probs: false,
            top_n_logprobs: 0,
            stop_words: Vec::new(),
            termination: TerminationPlan::Never,
        };
        let (prompt, prompt_tokens) = (None, vec![token]);
        TimedRequest { arrival_s: -1.0, prompt, prompt_tokens, num_tokens_to_generate: 4, sampling }
    }

    #[test]
    fn every_batch_size_is_warmed_up_and_repeated_from_the_same_prompts() {
        let stock = Workload { requests: vec![request(7), request(8)], record: WorkloadRecord::default() };
        let plan = PerformancePlan {
            batch_sizes: vec![1, 3],
            num_warm_up: 1,
            num_timed: 2,
            ..PerformancePlan::default()
        };
        let workload = stock.in_iterations(&plan, 2);
        let shape: Vec<_> = workload
            .record
            .iterations
            .iter()
            .map(|i| (i.batch_size, i.is_warm_up, i.first_request, i.num_requests))
            .collect();
        assert_eq!(
            shape,
            [
                (1, true, 0, 2),
                (1, false, 2, 1),
                (1, false, 3, 1),
                (3, true, 4, 3),
                (3, false, 7, 3),
                (3, false, 10, 3)
            ]
        );
        let tokens: Vec<u32> = workload.requests.iter().map(|request| request.prompt_tokens[0]).collect();
        assert_eq!(tokens, [7, 8, 7, 7, 7, 8, 7, 7, 8, 7, 7, 8, 7]);
    }
}
