//! How a backend with captured graphs ran its steps: which were replayed, which were launched operator by operator.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Totals since they were last reset. A step is counted once, by the sequence of launches from its embedding to its drawn tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphCounts {
    /// Graphs made.
    pub captured: u64,
    /// Passes of the model that ran as a graph, by the token rows that the graph has room for. A step is one pass, or several
    /// where every logit of a long prompt is looked at.
    pub replays: BTreeMap<usize, u64>,
    /// The same by the requests that the graph has room for.
    #[serde(default)]
    pub replays_by_requests: BTreeMap<usize, u64>,
    /// Passes that ran launch by launch.
    pub eager_steps: u64,
    /// Allocations of device memory, and of pinned host memory, over all steps.
    pub allocations: u64,
    /// Those of them that fell into replayed steps: none, once buffers have grown.
    pub allocations_in_replays: u64,
}

impl GraphCounts {
    /// Steps that ran as a graph.
    pub fn num_replays(&self) -> u64 {
        self.replays.values().sum()
    }
}
