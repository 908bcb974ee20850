//! `cargo xtask bench instructions`: hot paths may not need more instructions than their committed counts.
//!
//! Instructions are counted because seconds are not repeatable where others use the machine; a count is, to a per cent.
//! Each path runs twice, with n and 3n iterations, and the difference is what 2n iterations take. valgrind knows no
//! AVX-512, so kernels are counted on the AVX2 and the scalar path.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;

/// Relative increase that fails: counts differ by less between machines and library versions.
const TOLERANCE: f64 = 0.05;
/// The same where another compiler was at work.
const TOLERANCE_OF_OTHER_COMPILERS: f64 = 0.25;

#[derive(Args)]
pub(super) struct Instructions {
    /// Commit to the counts as they are now
    #[arg(long)]
    update: bool,
}

/// Counts, by path and instruction set.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    compiler: String,
    by_path: BTreeMap<String, f64>,
}

impl Instructions {
    pub(super) fn run(self) -> Result<ExitCode> {
        let executable = super::built()?;
        let now = count_all(&executable)?;
        let file = file();
        if self.update {
            let fresh = file.with_extension("new");
            std::fs::write(&fresh, now.to_text()).and_then(|()| std::fs::rename(&fresh, &file))?;
            println!("{} paths written to {}", now.by_path.len(), file.display());
            return Ok(ExitCode::SUCCESS);
        }
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let committed = Counts::from_text(&text).with_context(|| format!("{} is damaged", file.display()))?;
        let (table, failed) = compare(&committed, &now);
        print!("{table}");
        if failed {
            println!(
                "more instructions than committed; where that is meant: cargo xtask bench instructions --update"
            );
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn file() -> PathBuf {
    crate::workspace_root().join("runner/benches/overhead/instructions.tsv")
}

fn count_all(executable: &Path) -> Result<Counts> {
    let output = Command::new(executable).arg("paths").output().context("cannot list the paths")?;
    let mut counts = Counts { compiler: compiler()?, ..Counts::default() };
    for line in String::from_utf8(output.stdout)?.lines() {
        let (path, iterations) = line.split_once(' ').with_context(|| format!("{line:?} is no path"))?;
        let iterations: u64 = iterations.parse().with_context(|| format!("{line:?} has no iterations"))?;
        let instruction_sets: &[&str] =
            if path.starts_with("kernels-") { &["avx2", "scalar"] } else { &["avx2"] };
        for isa in instruction_sets {
            let few = count(executable, path, isa, iterations)?;
            let many = count(executable, path, isa, 3 * iterations)?;
            let each = many.saturating_sub(few) as f64 / (2 * iterations) as f64;
            let name = if instruction_sets.len() > 1 { format!("{path}-{isa}") } else { path.to_owned() };
            counts.by_path.insert(name, each);
        }
    }
    if counts.by_path.is_empty() {
        bail!("the benchmark names no paths");
    }
    Ok(counts)
}

fn compiler() -> Result<String> {
    let output =
        Command::new("rustc").arg("--version").output().context("cannot ask rustc for its version")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Instructions of one run from its start to its end.
fn count(executable: &Path, path: &str, isa: &str, iterations: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(executable)
        .args(["count", path, &iterations.to_string()])
        .env("GOLDLAP_ISA", isa)
        .output()
        .context("cannot start valgrind; on Debian: apt-get install valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    match collected {
        Some((_, number)) if output.status.success() => Ok(number.trim().parse()?),
        Some(_) | None => bail!("valgrind did not count {path} on {isa} ({}):\n{said}", output.status),
    }
}

/// A table, and whether a path needs too many.
fn compare(committed: &Counts, now: &Counts) -> (String, bool) {
    let same_compiler = committed.compiler == now.compiler;
    let tolerance = if same_compiler { TOLERANCE } else { TOLERANCE_OF_OTHER_COMPILERS };
    let mut table = String::new();
    if !same_compiler {
        let (theirs, ours) = (&committed.compiler, &now.compiler);
        let _ = writeln!(
            table,
            "counted with {ours}, committed with {theirs}: {:.0} % more is let pass",
            100.0 * tolerance
        );
    }
    let mut failed = false;
    for (path, &count) in &now.by_path {
        let (before, verdict) = match committed.by_path.get(path) {
            None => (f64::NAN, "FAILED: not committed"),
            Some(&before) if count > before * (1.0 + tolerance) => (before, "FAILED"),
            Some(&before) if count < before * (1.0 - tolerance) => (before, "fewer: commit to it"),
            Some(&before) => (before, ""),
        };
        failed |= verdict.starts_with("FAILED");
        let change = 100.0 * (count / before - 1.0);
        let _ = writeln!(table, "{path:32} {before:14.0} {count:14.0} {change:+7.1} % {verdict}");
    }
    for path in committed.by_path.keys().filter(|path| !now.by_path.contains_key(*path)) {
        failed = true;
        let _ = writeln!(table, "{path:32} FAILED: committed, and no longer counted");
    }
    (table, failed)
}

impl Counts {
    fn to_text(&self) -> String {
        let mut text = format!(
            "# instructions per iteration; cargo xtask bench instructions --update\n# {}\n",
            self.compiler
        );
        for (path, count) in &self.by_path {
            let _ = writeln!(text, "{path}\t{count:.0}");
        }
        text
    }

    fn from_text(text: &str) -> Result<Counts> {
        let mut counts = Counts::default();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                // The last comment.
                counts.compiler = comment.to_owned();
                continue;
            }
            let (path, count) = line.split_once('\t').with_context(|| format!("{line:?} has no tab"))?;
            counts.by_path.insert(path.to_owned(), count.parse()?);
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(compiler: &str, paths: &[(&str, f64)]) -> Counts {
        let by_path = paths.iter().map(|&(path, count)| (path.to_owned(), count)).collect();
        Counts { compiler: compiler.to_owned(), by_path }
    }

    #[test]
    fn counts_come_back_from_their_file() {
        let written = counts("rustc 1", &[("a", 100.0), ("b", 7.0)]);
        assert_eq!(Counts::from_text(&written.to_text()).unwrap(), written);
        assert!(Counts::from_text("a 7").is_err());
    }

    #[test]
    fn more_instructions_fail_and_fewer_do_not() {
        let committed = counts("rustc 1", &[("a", 100.0)]);
        for (count, fails) in [(104.0, false), (106.0, true), (50.0, false)] {
            assert_eq!(compare(&committed, &counts("rustc 1", &[("a", count)])).1, fails, "{count}");
        }
        assert!(!compare(&committed, &counts("rustc 2", &[("a", 120.0)])).1, "another compiler");
        assert!(compare(&committed, &counts("rustc 2", &[("a", 130.0)])).1);
        assert!(compare(&committed, &counts("rustc 1", &[("b", 100.0)])).1, "other paths");
    }
}
