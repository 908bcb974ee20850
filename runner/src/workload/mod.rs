//! Prompts, data sets, tokenizer and arrival process: requests with a timetable.

pub mod arrival;
mod build;
mod iterations;
mod json_fault;
mod json_object;
pub mod prompts;
mod random;
mod request;
pub mod tokenizer;

pub use build::{WorkloadError, build};
pub(crate) use json_fault::JsonFault;
pub use request::{TimedRequest, Workload};
pub use tokenizer::{Tokenizer, TokenizerError};
