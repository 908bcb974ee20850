//! Raw timestamped events to summary numbers. Pure; one clock.

mod clock;
mod distribution;
mod efficiency;
mod measured;
mod performance;
mod record;
mod summary;

pub use clock::{Clock, WallTime};
pub use distribution::{Distribution, Percentile, Statistic, median, min_samples};
pub use efficiency::{efficiency, roofline_seconds};
pub use measured::{Measured, significant};
pub use performance::{BatchMetric, BatchSummary, batch_faults};
pub use record::*;
pub use summary::{Metrics, Objectives};
