//! The installed program, and each of its ranks.

use std::process::ExitCode;

fn main() -> ExitCode {
    match goldlap::harness::rank_role() {
        Some(code) => code,
        None => goldlap::command::main_with(std::env::args_os()),
    }
}
