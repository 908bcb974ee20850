//! Raw timestamped events to summary numbers. Pure; one clock.

mod clock;
mod record;

pub use clock::{Clock, WallTime};
pub use record::*;
