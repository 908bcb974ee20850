//! Raw timestamped events to summary numbers. Pure; one clock.

mod clock;
mod distribution;
mod efficiency;
mod measured;
mod overhead;
mod performance;
mod record;
mod summary;

pub use clock::{Clock, CpuTime, WallTime};
pub use distribution::{Distribution, Percentile, Statistic, median, min_samples};
pub use efficiency::{efficiency, roofline_seconds};
pub use measured::{Measured, significant};
pub use overhead::{COORDINATOR_THREAD, ParentCpu, ParentCpuMeter, RankCpu, RankCpuMeter, overhead};
pub use performance::{BatchMetric, BatchSummary, batch_faults};
pub use record::*;
pub use summary::{Metrics, Objectives};
