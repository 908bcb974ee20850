//! Processes: one per data-parallel replica.

mod rank_spec;

pub use rank_spec::{Fault, RankSpec};
