//! What a run leaves behind for people and machines: texts and files. Nothing here prints.

mod atomic_file;
mod case_text;
mod megatron_output;
mod progress;
mod record_file;
mod results_file;
mod run_id;

pub(crate) use atomic_file::hold_writers;
pub use atomic_file::write_atomically;
pub use case_text::{CaseReport, RankLogTail, verdict_text};
pub use megatron_output::{DirectRun, MegatronLayout, megatron_output};
pub use progress::RunProgress;
pub use record_file::{run_folder, write_record};
pub use results_file::{CaseOutcome, CaseResult, RESULTS_SCHEMA_VERSION, Results};
pub use run_id::RunId;
