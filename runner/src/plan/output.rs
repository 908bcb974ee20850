//! The original's output JSON: where it goes, and in whose layout.

use std::path::PathBuf;

use serde::Serialize;

use super::resolution::{PathArgument, Resolution};

/// The file that `--output-path` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutputPlan {
    /// Where it is written.
    pub path: PathBuf,
    /// Which of the original's scripts would have written it.
    pub script: OutputScript,
    /// Every so many requests are written, and the last (`--output-every-n-results`).
    pub every_n_results: usize,
    /// Consecutive runs of the case whose throughputs one file holds (`--inference-repeat-n`).
    pub num_repeats: usize,
}

/// Whose layout a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum OutputScript {
    /// `gpt_dynamic_inference_with_coordinator.py`: requests only. A case whose folder's name has the word `zmq`, as in the
    /// original's recipes.
    Coordinator,
    /// The same with `--throughput-check-only`: tokens / latency of each request, and nothing else.
    ThroughputOnly,
    /// `gpt_dynamic_inference.py`: requests, then what was measured over the run.
    Direct {
        /// With the throughput of each repeat (without `--no-record-throughput`).
        throughput: bool,
    },
}

const EVERY_N: &str = "--output-every-n-results";
const NO_THROUGHPUT: &str = "--no-record-throughput";

impl Resolution<'_> {
    /// `num_repeats`: of `--inference-repeat-n`.
    pub(super) fn output(&mut self, num_repeats: usize) -> Option<OutputPlan> {
        let path = match self.path("--output-path") {
            PathArgument::Absent => None,
            PathArgument::Unset(variable) => {
                let reason =
                    format!("{variable} is not set: the record under target/goldlap/runs has everything");
                self.ignore("--output-path", reason);
                None
            }
            PathArgument::Given { path, .. } => Some(path),
        };
        let script = self.output_script();
        let is_direct = matches!(script, OutputScript::Direct { .. });
        let every_n_results = if is_direct { self.count(EVERY_N)? } else { 1 };
        Some(OutputPlan { path: path?, script, every_n_results, num_repeats })
    }

    fn output_script(&mut self) -> OutputScript {
        let folder = self.inputs.name.rsplit("::").next().unwrap_or_default();
        let throughput_only = self.switch("--throughput-check-only");
        if throughput_only || folder.split('_').any(|word| word == "zmq") {
            for flag in [EVERY_N, NO_THROUGHPUT] {
                self.ignore(
                    flag,
                    "read by the original's direct script; this case is one of its coordinator's",
                );
            }
            return if throughput_only { OutputScript::ThroughputOnly } else { OutputScript::Coordinator };
        }
        OutputScript::Direct { throughput: !self.switch(NO_THROUGHPUT) }
    }
}
