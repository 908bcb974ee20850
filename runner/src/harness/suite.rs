//! `main` of the generated test suite: what `cargo test` starts.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use goldlap_kernels::cuda;
use goldlap_kernels::model::store::{Store as Cache, abandon_unfinished};
use libtest_mimic::Arguments;

use super::{
    CaseContext, CollectedResults, PLATFORM_VARIABLE, Roots, Setting, choose_platform, rank_role, run_trials,
};
use crate::golden::Policy;
use crate::plan::AbsentModel;
use crate::report::hold_writers;
use crate::topology::install_interrupt_handler;

/// Runs the cases of `workspace` with the process's arguments, or acts as one of their ranks.
pub fn suite_main(workspace: &Path) -> ExitCode {
    if let Some(code) = rank_role() {
        return code;
    }
    let arguments = Arguments::from_args();
    match run(workspace, arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(workspace: &Path, arguments: Arguments) -> Result<ExitCode, String> {
    let asked = std::env::var(PLATFORM_VARIABLE).ok();
    let choice = choose_platform(asked.as_deref(), cuda::devices).map_err(|error| error.to_string())?;
    let cache = Cache::open().map_err(|error| error.to_string())?;
    let roots = Roots::from_environment(workspace);
    let context = CaseContext::new(&roots, cache.clone()).map_err(|error| error.to_string())?;
    let cache_root = cache.root().to_path_buf();
    let setting = Setting { roots, platforms: choice.platforms, cache_root, absent: AbsentModel::Skips };
    install_interrupts().map_err(|error| error.to_string())?;
    let results = CollectedResults::default();
    let conclusion =
        run_trials(&setting, &Arc::new(context), arguments, &results).map_err(|error| error.to_string())?;
    Ok(conclusion.exit_code())
}

/// From now on Ctrl-C and TERM end this process with all its ranks, and leave no unfinished file.
pub fn install_interrupts() -> std::io::Result<()> {
    install_interrupt_handler(|| {
        abandon_unfinished();
        // Kept until the process has ended.
        std::mem::forget(hold_writers());
    })
}

impl CaseContext {
    /// Goldens and output where `roots` say; ranks are this very executable.
    pub fn new(roots: &Roots, cache: Cache) -> std::io::Result<Self> {
        Ok(Self {
            goldens: roots.golden_store(),
            output: roots.output.clone(),
            cache,
            executable: std::env::current_exe()?,
            policy: Policy::Pend,
            faults: Vec::new(),
            turn: Mutex::new(()),
            endpoint: None,
        })
    }
}
