//! Golden records: read, compare, and the policy by which they change.

mod case_hash;
mod comparator;
mod compare;
mod compare_requests;
mod compare_system;
mod from_runs;
mod golden_file;
mod json;
mod json_parser;
mod metric;
mod number;
mod provenance;
mod read;
mod text_diff;
mod verdict;

pub use case_hash::case_hash;
pub use comparator::{Comparator, settled};
pub use compare::{Rules, Run, compare};
pub use golden_file::{Golden, GoldenError, GoldenRequest, Integrity, SystemValue};
pub use json::{Json, JsonError};
pub use metric::*;
pub use provenance::{Band, GOLDEN_SCHEMA_VERSION, Provenance, Spread};
pub use verdict::{Difference, MetricVerdict, Outcome, Verdict};
