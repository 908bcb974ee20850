//! Raw timestamped events to summary numbers. Pure; one clock.

mod record;

pub use record::*;
