//! Whole cases, from folder to verdict, on a tiny model and real rank processes: through the library, through the
//! installed program and through the generated suite; with goldens that were changed and with ranks that fail.

mod case_text;
mod faults;
mod folders;
mod interrupts;
mod processes;
mod program;
mod scene;
mod shipped;
mod suite;
mod vcuda;
mod verdicts;

use std::path::Path;
use std::process::ExitCode;

use goldlap::harness::{rank_role, suite_main};
use libtest_mimic::{Arguments, Failed, Trial};

/// Set for a child of this executable that is to be the generated suite.
const SUITE_VARIABLE: &str = "GOLDLAP_TEST_SUITE";

/// Most of these tests wait for processes and heartbeats.
const THREADS: usize = 4;

fn main() -> ExitCode {
    if let Some(code) = rank_role() {
        return code;
    }
    if let Some(workspace) = std::env::var_os(SUITE_VARIABLE) {
        return suite_main(Path::new(&workspace));
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let rooms: [(&str, &[Test]); 8] = [
        ("faults", faults::TESTS),
        ("interrupts", interrupts::TESTS),
        ("folders", folders::TESTS),
        ("program", program::TESTS),
        ("shipped", shipped::TESTS),
        ("suite", suite::TESTS),
        ("vcuda", vcuda::TESTS),
        ("verdicts", verdicts::TESTS),
    ];
    let named = |(room, tests): (&str, &[Test])| -> Vec<Trial> {
        tests.iter().map(|(name, test)| Trial::test(format!("{room}::{name}"), *test)).collect()
    };
    libtest_mimic::run(&arguments, rooms.into_iter().flat_map(named).collect()).exit_code()
}

type Test = (&'static str, fn() -> Result<(), Failed>);
