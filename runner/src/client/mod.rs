//! Submits requests to the coordinator by a timetable and records what comes back, and when.

mod connection;
mod record;
mod run;

pub use connection::{Client, ClientError};
pub use run::Progress;
