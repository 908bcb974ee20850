//! A request as the client will submit it.

use serde::Serialize;

use crate::metrics::WorkloadRecord;
use crate::plan::SamplingPlan;

/// All requests of a case, in the order of their ids, and how they came about.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The requests.
    pub requests: Vec<TimedRequest>,
    /// What the run's record keeps of their sources.
    pub record: WorkloadRecord,
}

/// One request with its place in the timetable. Its id is its index in the workload.
#[derive(Clone, Debug, Serialize)]
pub struct TimedRequest {
    /// Seconds after the start of the run at which it is sent; 0 or less = at once.
    pub arrival_s: f64,
    /// Prompt as text, where the source had text; of a prompt that was cut, what is left.
    pub prompt: Option<String>,
    /// Prompt as tokens; not empty.
    pub prompt_tokens: Vec<u32>,
    /// Tokens to generate at most.
    pub num_tokens_to_generate: usize,
    /// Sampling.
    pub sampling: SamplingPlan,
}
