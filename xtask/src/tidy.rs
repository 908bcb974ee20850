//! House rules that no compiler checks: layout, file heads, sizes, and which room may name what.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use walkdir::WalkDir;

mod functions;
mod rooms;

/// `cargo xtask tidy`.
#[derive(Args)]
pub(crate) struct Tidy {}

/// Longest file, tests included.
const MAX_FILE_LINES: usize = 400;
/// Longest function body, first line to closing brace.
const MAX_FUNCTION_LINES: usize = 60;

/// Files over the limit, each with the reason why splitting would hurt.
const LONG_FILES: &[(&str, &str)] = &[];

/// Functions over the limit, each with the reason why splitting would hurt.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[
    ("kernels/virtual_driver/src/isa/operands.rs", "op", "one arm per instruction of the table"),
    ("kernels/virtual_driver/src/lower/select/mod.rs", "family", "one arm per mnemonic"),
    ("kernels/virtual_driver/src/machine/builtins.rs", "format", "one arm per conversion of printf"),
    (
        "kernels/virtual_driver/src/machine/copy_async.rs",
        "copy_async",
        "one arm per instruction of the family",
    ),
    ("kernels/virtual_driver/src/machine/operate.rs", "other", "one arm per instruction"),
    ("kernels/virtual_driver/src/machine/step.rs", "step", "one arm per instruction"),
    ("kernels/virtual_driver/src/machine/transfer.rs", "transfer", "one arm per instruction of the family"),
    ("kernels/virtual_driver/tests/kernels/instructions/float.rs", "single_precision", "a table of cases"),
    ("kernels/virtual_driver/tests/kernels/instructions/other.rs", "spaces_and_widths", "a table of cases"),
    ("kernels/virtual_driver/tests/kernels/instructions/other.rs", "lanes_together", "a table of cases"),
];

/// What may stand at the top of the repository.
const TOP_LEVEL: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "PERFORMANCE.md",
    "README.md",
    "golden_values",
    "kernels",
    "runner",
    "test_cases",
    "xtask",
];

/// One source file, read once and handed to every rule.
struct Source {
    path: PathBuf, // relative to the workspace root
    text: String,
}

impl Tidy {
    /// Runs every rule and prints every breach; fails if there was one.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let root = crate::workspace_root();
        let sources = read_sources(&root)?;
        let mut breaches = check_top_level(&root)?;
        for source in &sources {
            check_head(source, &mut breaches);
            check_length(source, &mut breaches);
            check_words(source, &mut breaches);
            functions::check(source, MAX_FUNCTION_LINES, LONG_FUNCTIONS, &mut breaches);
            rooms::check(source, &mut breaches);
        }
        check_exceptions(&sources, &mut breaches);
        for breach in &breaches {
            eprintln!("tidy: {breach}");
        }
        println!("tidy: {} files, {} breaches", sources.len(), breaches.len());
        Ok(if breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn read_sources(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for package in ["runner", "kernels", "xtask"] {
        let walk = WalkDir::new(root.join(package)).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(|entry| entry.file_name() != "target") {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(entry.path())
                    .with_context(|| format!("reading {}", entry.path().display()))?;
                let path = entry.path().strip_prefix(root)?.to_path_buf();
                sources.push(Source { path, text });
            }
        }
    }
    Ok(sources)
}

fn check_top_level(root: &Path) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && name != "target" && !TOP_LEVEL.contains(&name.as_str()) {
            breaches.push(format!("{name}: not one of the top-level entries ({})", TOP_LEVEL.join(", ")));
        }
    }
    Ok(breaches)
}

fn check_head(source: &Source, breaches: &mut Vec<String>) {
    if !source.text.starts_with("//! ") && !source.text.starts_with("#![no_main]") {
        breaches.push(format!(
            "{}:1: the first line must be a `//!` that says what the file is for",
            source.path.display()
        ));
    }
}

fn check_length(source: &Source, breaches: &mut Vec<String>) {
    let lines = source.text.lines().count();
    if lines > MAX_FILE_LINES && !LONG_FILES.iter().any(|(path, _)| source.path == Path::new(path)) {
        breaches.push(format!(
            "{}: {lines} lines, at most {MAX_FILE_LINES}: split it by concept",
            source.path.display()
        ));
    }
}

fn check_exceptions(sources: &[Source], breaches: &mut Vec<String>) {
    for (path, reason) in LONG_FILES {
        let still_long = sources
            .iter()
            .any(|source| source.path == Path::new(path) && source.text.lines().count() > MAX_FILE_LINES);
        if !still_long {
            breaches.push(format!("xtask/src/tidy.rs: {path} no longer needs its exception ({reason})"));
        }
    }
}

/// Words that mean unfinished work, or names that mean no concept.
fn check_words(source: &Source, breaches: &mut Vec<String>) {
    let unfinished = ["TO", "DO"].concat();
    let broken = ["FIX", "ME"].concat();
    for (number, line) in source.text.lines().enumerate() {
        for word in [&unfinished, &broken] {
            if line.contains(word.as_str()) {
                breaches.push(format!(
                    "{}:{}: {word}: finish it or file it",
                    source.path.display(),
                    number + 1
                ));
            }
        }
        if line.trim_start().starts_with("#[allow(") {
            breaches.push(format!(
                "{}:{}: use #[expect(.., reason = \"..\")] instead of #[allow]",
                source.path.display(),
                number + 1
            ));
        }
    }
    let stem = source.path.file_stem().unwrap_or_default().to_string_lossy();
    if ["utils", "util", "types", "helpers", "helper", "manager", "common", "misc"].contains(&stem.as_ref()) {
        breaches.push(format!("{}: a file is named for its concept, not `{stem}`", source.path.display()));
    }
}
