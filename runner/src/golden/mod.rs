//! Golden records: read, compare, and the policy by which they change.

mod assertions;
mod batches;
mod case_hash;
mod change;
mod check;
mod comparator;
mod compare;
mod compare_batches;
mod compare_requests;
mod compare_system;
mod from_runs;
mod golden_file;
mod json;
mod json_parser;
mod megatron_baselines;
mod megatron_check;
#[cfg(test)]
mod megatron_check_tests;
mod megatron_requests;
mod megatron_system;
mod metric;
mod number;
mod provenance;
mod read;
mod request_fact;
mod review;
mod store;
#[cfg(test)]
pub(crate) mod test_plan;
#[cfg(test)]
pub(crate) mod test_run;
mod text_diff;
mod update;
mod update_command;
mod verdict;

pub use assertions::GoldenAssertions;
pub use batches::GoldenBatch;
pub use case_hash::case_hash;
pub use change::{Change, changes};
pub use check::{Finding, check};
pub use comparator::{Comparator, settled};
pub use compare::{Rules, Run, compare};
pub use golden_file::{Golden, GoldenError, GoldenRequest, Integrity, SystemValue};
pub use json::{Json, JsonError};
pub use megatron_baselines::{BaselineRules, check_baselines, is_baseline};
pub use megatron_check::{Asked, MegatronCheck, Theirs, check_as_megatron, read_megatron_json};
pub use metric::*;
pub(crate) use number::logprob_to_json;
pub use provenance::{Band, GOLDEN_SCHEMA_VERSION, Provenance, Spread};
pub use review::{Acceptance, Review, ReviewError, reject};
pub use store::{GoldenId, Store};
pub(crate) use update::shell_word;
pub use update::{Judgement, Policy, accept_command, judge};
pub use update_command::UpdateGoldens;
pub use verdict::{Difference, MetricVerdict, Outcome, Verdict};
