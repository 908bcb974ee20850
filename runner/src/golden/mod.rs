//! Golden records: read, compare, and the policy by which they change.

mod comparator;
mod golden_file;
mod json;
mod json_parser;
mod metric;
mod number;
mod provenance;
mod read;

pub use comparator::{Comparator, settled};
pub use golden_file::{Golden, GoldenError, GoldenRequest, Integrity, SystemValue};
pub use json::{Json, JsonError};
pub use metric::*;
pub use provenance::{Band, GOLDEN_SCHEMA_VERSION, Provenance, Spread};
