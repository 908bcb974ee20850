//! Every feature in the README's table is noticed: a copy of the shipped case without the flag must fail its comparison with
//! the true golden, in the metric that the feature shows in. The table and the list of switches are held against each other,
//! so that no row can be added without such a run.

mod files;
mod goldens;
mod switches;
mod table;
mod workshop;

use std::process::ExitCode;

use goldlap::harness::rank_role;
use libtest_mimic::{Arguments, Failed, Trial};

/// A case with its own file of prompts, one with data shared by all, and a performance case: that a copy passes is seen here,
/// that every case does by the suite.
const UNCHANGED: [&str; 3] = ["dp1_tiny_prefix_caching", "dp1_tiny_repeats", "gpt_tiny_perf"];

type Fixed = (&'static str, fn() -> Result<(), Failed>);

/// Ranks of a tiny model wait more than they compute.
const THREADS: usize = 4;

fn main() -> ExitCode {
    if let Some(code) = rank_role() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let fixed: [Fixed; 7] = [
        ("table::every_row_is_switched_off_somewhere", table::every_row_is_switched_off_somewhere),
        ("table::every_switch_is_in_the_table", table::every_switch_is_in_the_table),
        ("table::every_named_test_exists", table::every_named_test_exists),
        ("goldens::features_change_no_token", goldens::features_change_no_token),
        ("files::the_direct_output_has_each_repeat", files::the_direct_output_has_each_repeat),
        (
            "files::the_coordinators_output_is_the_coordinators",
            files::the_coordinators_output_is_the_coordinators,
        ),
        ("files::the_schedule_says_where_requests_went", files::the_schedule_says_where_requests_went),
    ];
    let fixed = fixed.into_iter().map(|(name, test)| Trial::test(name, test));
    let switched = switches::SWITCHES
        .iter()
        .map(|switch| Trial::test(format!("off::{}::{}", switch.case, switch.edit), || switch.is_noticed()));
    let unchanged = UNCHANGED
        .into_iter()
        .map(|case| Trial::test(format!("unchanged::{case}"), move || workshop::passes_unchanged(case)));
    libtest_mimic::run(&arguments, fixed.chain(unchanged).chain(switched).collect()).exit_code()
}
