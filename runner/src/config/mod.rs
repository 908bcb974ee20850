//! What the file said: a mirror of `model_config.yaml`. Unknown keys are denied, nothing is defaulted,
//! no value passes through a shell. Starts nothing and opens no device.

pub mod discovery;
pub mod flags;
pub mod schema;

mod case_file;
mod diagnostic;
mod entries;
mod locate;
mod model_args_file;
mod raw_case;
mod read_error;
mod scalar;
mod variables;
mod words;

pub use case_file::{CaseFile, PerformanceFile, RawFile};
pub use diagnostic::{ConfigError, Diagnostic, suggestion};
pub use entries::Entries;
pub use locate::{KeyPath, Location, Part};
pub use model_args_file::ModelArgs;
pub use raw_case::{RawCase, RawKnownFailure, RawOverride, RawPerformanceCase};
pub use scalar::Scalar;
pub use variables::{Environment, SubstitutionError, VARIABLES};
pub use words::Words;

#[cfg(test)]
mod tests;
