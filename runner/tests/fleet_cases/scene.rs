//! A temporary workspace with cases, goldens, output, cache and temporary folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use clap::Parser;
use goldlap::golden::{Golden, GoldenId, Policy, UpdateGoldens};
use goldlap::harness::{
    CASES_VARIABLE, CaseContext, Fate, GOLDENS_VARIABLE, ListedCase, OUTPUT_VARIABLE, PLATFORM_VARIABLE,
    Roots, Setting, run_case,
};
use goldlap::metrics::RunRecord;
use goldlap::plan::{AbsentModel, CasePlan, Platform, Platforms};
use goldlap::report::{CaseOutcome, CaseResult};
use goldlap::topology::Fault;
use goldlap_kernels::model::store::Store as Cache;
use libtest_mimic::Failed;
use tempfile::TempDir;

use super::SUITE_VARIABLE;
use super::case_text::{CaseText, prompts};

/// The case that most tests run.
pub(super) const CASE: &str = "gpt_dynamic_inference_tp1_pp1_dp2_tiny";

pub(super) struct Scene {
    root: TempDir,
}

#[derive(Parser)]
struct Update {
    #[command(flatten)]
    goldens: UpdateGoldens,
}

impl Scene {
    /// Nothing but a case's folder.
    pub(super) fn with_case(folder: &str, case: &CaseText) -> Result<Self, Failed> {
        let scene = Self { root: TempDir::new()? };
        fs::create_dir(scene.at("tmp"))?;
        scene.add_case(folder, case)?;
        Ok(scene)
    }

    /// A case whose golden was recorded and accepted.
    pub(super) fn with_golden(folder: &str, case: &CaseText) -> Result<Self, Failed> {
        let scene = Self::with_case(folder, case)?;
        failure(&scene.run(folder, &[])?);
        scene.accept(folder)?;
        Ok(scene)
    }

    pub(super) fn add_case(&self, folder: &str, case: &CaseText) -> Result<(), Failed> {
        let path = self.at("test_cases/gpt").join(folder);
        fs::create_dir_all(&path)?;
        fs::write(path.join("model_config.yaml"), case.to_string())?;
        fs::write(path.join("prompts.jsonl"), prompts())?;
        Ok(())
    }

    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(super) fn setting(&self) -> Setting {
        let roots = Roots::new(self.root(), |_| None);
        Setting {
            roots,
            platforms: Platforms::Asked(Platform::Cpu),
            cache_root: self.at("cache"),
            absent: AbsentModel::Skips,
        }
    }

    pub(super) fn context(&self) -> Result<CaseContext, Failed> {
        let roots = self.setting().roots;
        Ok(CaseContext {
            goldens: roots.golden_store(),
            output: roots.output,
            cache: Cache::at(self.at("cache"), 1 << 40),
            executable: std::env::current_exe()?,
            policy: Policy::Pend,
            faults: Vec::new(),
            turn: Mutex::new(()),
            endpoint: None,
        })
    }

    pub(super) fn list(&self) -> Result<Vec<ListedCase>, Failed> {
        Ok(self.setting().list(|_| true)?)
    }

    pub(super) fn plan(&self, folder: &str) -> Result<Box<CasePlan>, Failed> {
        let listed = self.list()?.into_iter().find(|case| case.name == name_of(folder));
        match listed.map(|case| case.fate) {
            Some(Fate::Run(plan)) => Ok(plan),
            other => Err(format!("{folder} is not to run: {other:?}").into()),
        }
    }

    /// Runs the case in this process, with ranks that fail as ordered.
    pub(super) fn run(&self, folder: &str, faults: &[(u32, Fault)]) -> Result<CaseResult, Failed> {
        let context = CaseContext { faults: faults.to_vec(), ..self.context()? };
        Ok(run_case(&*self.plan(folder)?, &context))
    }

    /// `cargo xtask update-goldens FOLDER --accept`.
    pub(super) fn accept(&self, folder: &str) -> Result<String, Failed> {
        let update = Update::try_parse_from(["update-goldens", folder, "--accept"])?;
        let mut out = Vec::new();
        let accepted = update.goldens.run(&self.setting().roots.golden_store(), &mut out, None)?;
        let text = String::from_utf8(out)?;
        if accepted { Ok(text) } else { Err(text.into()) }
    }

    pub(super) fn golden_path(&self, folder: &str) -> PathBuf {
        let id = GoldenId { case: name_of(folder), platform: Platform::Cpu };
        id.below(&self.setting().roots.goldens)
    }

    pub(super) fn golden(&self, folder: &str) -> Result<Golden, Failed> {
        Golden::load(&self.golden_path(folder))?.ok_or_else(|| "there is no golden".into())
    }

    /// The installed program, in this workspace.
    pub(super) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_goldlap"));
        command.args(arguments);
        self.housed(command)
    }

    /// The generated suite, in this workspace.
    pub(super) fn suite(&self, arguments: &[&str]) -> Result<Command, Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).env(SUITE_VARIABLE, self.root());
        Ok(self.housed(command))
    }

    fn housed(&self, mut command: Command) -> Command {
        command
            .current_dir(self.root())
            .env(PLATFORM_VARIABLE, "cpu")
            .env("GOLDLAP_CACHE_DIR", self.at("cache"));
        command.env("TMPDIR", self.at("tmp"));
        for variable in [CASES_VARIABLE, GOLDENS_VARIABLE, OUTPUT_VARIABLE, "NEXTEST"] {
            command.env_remove(variable);
        }
        command
    }
}

/// The case's name.
pub(super) fn name_of(folder: &str) -> String {
    format!("gpt::{folder}")
}

/// Why the case failed; anything else is a failure of the test.
pub(super) fn failure(result: &CaseResult) -> &str {
    let CaseOutcome::Failed { why } = &result.outcome else {
        panic!("expected a failed case, got {:?}", result.outcome);
    };
    why
}

/// The case passed, and compared something.
pub(super) fn assert_passed(result: &CaseResult) {
    assert_eq!(result.outcome, CaseOutcome::Passed);
    assert!(result.assertions > 0, "nothing was compared");
}

/// The record of each repeat, as it was written.
pub(super) fn records(result: &CaseResult) -> Result<Vec<RunRecord>, Failed> {
    let read = |path: &PathBuf| Ok(serde_json::from_slice(&fs::read(path)?)?);
    result.records.iter().map(read).collect()
}

/// The text has every one of these.
pub(super) fn assert_says(text: &str, expected: &[&str]) {
    for part in expected {
        assert!(text.contains(part), "expected {part:?} in:\n{text}");
    }
}
