//! Another implementation on the same machine: what it is asked for, and what it answers.

use anyhow::Result;
use goldlap::bench::Workload;
use serde::Deserialize;

use super::kind::Kind;

/// Runs workloads with the same weights and as many threads as ours.
pub(super) trait Peer {
    /// As in `--versus`.
    fn name(&self) -> &'static str;

    /// The factor, and whatever else is to be reached: in prefill, or in decode of a batch of that size.
    fn goal(&self, kind: Kind, decode: Option<usize>) -> &'static str;

    /// Release, as it says itself.
    fn version(&self) -> Result<String>;

    /// A pass of the workload: the prefill of one context, and decode for each batch size.
    fn run(&mut self, workload: &Workload) -> Result<Vec<PeerPass>>;

    /// Logprobs of a prompt's tokens but the first; `None` from a peer that does not tell.
    fn prompt_logprobs(&mut self, tokens: &[u32]) -> Result<Option<Vec<f32>>> {
        let _ = tokens;
        Ok(None)
    }
}

/// Tokens per second of one batch size. The names are those of llama-batched-bench.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub(super) struct PeerPass {
    #[serde(rename = "pl")]
    pub(super) batch: usize,
    #[serde(rename = "speed_pp")]
    pub(super) prefill: f64,
    #[serde(rename = "speed_tg")]
    pub(super) decode: f64,
}
