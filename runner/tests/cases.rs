//! Every folder under `test_cases/` as a test: `cargo test -- gpt_dynamic_inference`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    goldlap::harness::suite_main(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")))
}
