//! CUDA graphs of each replica's engine: which steps are captured (`--cuda-graph-impl` and what goes with it).

use serde::{Deserialize, Serialize};

use super::platform::Platform;
use super::resolution::Resolution;

/// Which steps run as CUDA graphs. A graph spans a whole step, from the embedding to the drawn tokens; it never changes a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphPlan {
    /// Sizes of graphs at most; `None`: as many as the distribution finds right.
    pub num_sizes: Option<usize>,
    /// How the sizes are spaced.
    pub sizing: GraphSizing,
    /// Prompts in a captured step at most; 0: steps that only decode are captured.
    pub max_prefills: usize,
    /// Tokens of the largest captured step with prompts.
    pub max_mixed_tokens: usize,
}

/// How sizes of graphs are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GraphSizing {
    /// Each half of the one before.
    Exponential,
    /// By equal strides.
    Linear,
}

const IMPL: &str = "--cuda-graph-impl";
const ENABLE: &str = "--enable-cuda-graph";
const SCOPE: &str = "--inference-cuda-graph-scope";
const NUM: &str = "--inference-dynamic-batching-num-cuda-graphs";
const MIXED: &str = "--inference-dynamic-batching-cuda-graph-mixed-prefill-count";
const SIZING: &str = "--inference-dynamic-batching-cuda-graph-sizing-distribution";
const DECODE_ONLY: &str = "--decode-only-cuda-graphs";
const MAX_TOKENS: &str = "--inference-cuda-graph-max-tokens";
const FLAGS: [&str; 8] = [IMPL, ENABLE, SCOPE, NUM, MIXED, SIZING, DECODE_ONLY, MAX_TOKENS];

impl Resolution<'_> {
    /// The graphs of this platform; `None`: every step runs operator by operator.
    pub(super) fn graphs(&mut self) -> Option<GraphPlan> {
        let platform = self.inputs.platform;
        if *platform == Platform::Cpu {
            let reason = "decides what is captured into CUDA graphs, which cpu does not have; results never depend on it";
            FLAGS.into_iter().for_each(|flag| self.ignore(flag, reason));
            return None;
        }
        if self.captures() {
            return self.graph_plan();
        }
        let reason = format!("has an effect with {IMPL} local only");
        FLAGS[3..].iter().for_each(|flag| self.ignore(flag, reason.clone()));
        None
    }

    /// As in the original: `local` captures unless the scope is none, other ways only where a scope is named. Layer and block are
    /// the same here, since one graph spans the step.
    fn captures(&mut self) -> bool {
        let way = self.text(IMPL);
        let local = self.switch(ENABLE) || way.as_deref() == Some("local");
        match self.text(SCOPE).as_deref() {
            None => local,
            Some(scope) => scope != "none" && (local || way.as_deref() != Some("none")),
        }
    }

    fn graph_plan(&mut self) -> Option<GraphPlan> {
        let num = self.integer(NUM);
        let mixed = self.integer(MIXED);
        let sizing = match self.text(SIZING).as_deref() {
            Some("linear") => GraphSizing::Linear,
            Some(_) | None => GraphSizing::Exponential,
        };
        let decode_only = self.switch(DECODE_ONLY);
        let max_mixed_tokens = self.count(MAX_TOKENS)?;
        let max_prefills = if decode_only { 0 } else { usize::try_from(mixed?).unwrap_or(0) };
        match num? {
            0 => None,
            num => Some(GraphPlan {
                num_sizes: usize::try_from(num).ok(),
                sizing,
                max_prefills,
                max_mixed_tokens,
            }),
        }
    }
}
