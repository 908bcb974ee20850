//! Everything a rank process is told, in one value.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::plan::{EnginePlan, Platform};

/// Handed to a rank process as JSON on its standard input; echoed in the report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RankSpec {
    /// Data-parallel rank, 0-based. The rank's ZMQ identity is `mp-coord-<rank>`.
    pub rank: u32,
    /// Number of replicas.
    pub world_size: u32,
    /// `tcp://127.0.0.1:<port>` of the coordinator.
    pub coordinator: String,
    /// Packed weights, memory-mapped read-only by every rank.
    pub packed_model: PathBuf,
    /// Platform; decides the backend.
    pub platform: Platform,
    /// CUDA device, as the process's driver counts them; nothing on `cpu`.
    pub device: usize,
    /// Engine limits; `num_threads` is resolved.
    pub engine: EnginePlan,
    /// Sampling seed; the same on all ranks, since sampling is keyed by request and position.
    pub seed: u64,
    /// Tokens that end a sequence where the request does not name one; the main one first.
    pub eods: Vec<u32>,
    /// Seconds between heartbeats.
    pub heartbeat_s: f64,
    /// Fault injection of the project's own tests: what goes wrong, and when.
    pub fault: Option<Fault>,
}

/// A planned failure of one rank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Fault {
    /// The process kills itself with SIGKILL after this many engine steps that did work.
    DieAfterSteps(u64),
    /// The process panics after this many engine steps that did work, as a bug would make it.
    PanicAfterSteps(u64),
    /// The engine loop stops responding after this many steps that did work; heartbeats stop too.
    HangAfterSteps(u64),
}
