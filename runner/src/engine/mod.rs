//! One replica's life: step() = schedule -> forward -> sample -> postprocess.

mod backend;
pub(crate) mod block_hash;
mod block_pool;
mod cuda;
mod device_limits;
#[expect(clippy::module_inception, reason = "the room is named after its main noun")]
mod engine;
mod fault;
mod graph_sizes;
mod limits;
mod offline;
mod outcome;
mod prefix_cache;
mod rank;
mod request;
mod sampling;
mod scheduler;
mod sequence;
mod statistics;
#[cfg(test)]
mod tests;

pub use backend::{Backend, BackendError};
pub use device_limits::{device_limits, limits_main};
pub use engine::Engine;
pub use limits::{EngineLimits, LimitsError, kv_cache_shape};
pub use offline::{OfflineRun, generate};
pub use outcome::{FailedRequest, FinishReason, FinishedRequest, NewToken, StepSummary};
pub use prefix_cache::CacheChanges;
pub use rank::{join_as_rank, rank_main, run_rank};
pub use request::{EngineRequest, OutputLength, Rejection};
pub use sampling::{MOST_ALTERNATIVES, Sampling, SamplingError};
pub use statistics::Statistics;
