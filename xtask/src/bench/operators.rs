//! `cargo xtask bench operators`: the kernels' micro-benchmarks as a table, beside what one thread of this machine can do.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use goldlap::harness::{between, machine_limits};
use goldlap::metrics::{MachineLimits, WallTime};
use serde::Deserialize;
use walkdir::WalkDir;

use super::section;

/// Runs the micro-benchmarks of the CPU operators and prints their medians as a table.
#[derive(Args)]
pub(super) struct Operators {
    /// Regular expression on `operator/case/instruction set`: measure only what matches
    filter: Option<String>,
    /// Replace the section of PERFORMANCE.md that this command writes
    #[arg(long, conflicts_with = "filter")]
    write: bool,
}

/// What criterion writes on a benchmark, as far as it is needed.
#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: String,
    value_str: String,
    throughput: Throughput,
}

#[derive(Clone, Copy, Deserialize)]
enum Throughput {
    BytesDecimal(u64),
    ElementsAndBytes { elements: u64, bytes: u64 },
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    /// Nanoseconds of a call.
    point_estimate: f64,
}

/// One operator in one case.
struct Row {
    operator: String,
    case: String,
    bytes: f64,
    flops: f64,
    /// Instruction set, seconds; best set first.
    seconds: Vec<(String, f64)>,
}

impl Operators {
    /// All of them, written.
    pub(super) fn everything() -> Self {
        Self { filter: None, write: true }
    }

    pub(super) fn run(&self) -> Result<ExitCode> {
        let home = tempfile::tempdir()?;
        let limits = || machine_limits(1).map_err(anyhow::Error::msg);
        let before = limits()?;
        let names = self.cargo_bench(home.path(), &["--list"], true)?;
        self.cargo_bench(home.path(), &["--noplot"], false)?;
        let limits = between(before, limits()?);
        let rows = rows(home.path(), &names)?;
        ensure!(!rows.is_empty(), "no benchmark matches the filter");
        let text = render(&rows, &limits);
        print!("{text}");
        if self.write {
            section::write("operators", &text)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What it prints, or nothing if that goes to the terminal.
    fn cargo_bench(&self, home: &Path, how: &[&str], captured: bool) -> Result<String> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(crate::workspace_root()).env("CRITERION_HOME", home);
        // As the other tables are measured: the dev profile optimises the kernels fully, and is built already.
        cargo.args([
            "bench",
            "--quiet",
            "--profile",
            "dev",
            "--package",
            "goldlap-kernels",
            "--bench",
            "operators",
            "--",
        ]);
        cargo.args(how).args(&self.filter).stderr(Stdio::inherit());
        cargo.stdout(if captured { Stdio::piped() } else { Stdio::inherit() });
        let output = cargo.output().context("cannot start cargo")?;
        ensure!(output.status.success(), "the benchmarks ended with {}", output.status);
        String::from_utf8(output.stdout).context("what the benchmarks print is not UTF-8")
    }
}

/// What was measured, in the order of `names`, a line `operator/case/isa: benchmark` each.
fn rows(home: &Path, names: &str) -> Result<Vec<Row>> {
    let mut measured = Vec::new();
    for file in WalkDir::new(home) {
        let file = file?;
        if file.path().ends_with("new/benchmark.json") {
            measured.push(read(file.path())?);
        }
    }
    let mut rows: Vec<Row> = Vec::new();
    for name in names.lines().filter_map(|line| line.strip_suffix(": benchmark")) {
        let is_it = |(of, _): &&(Benchmark, f64)| {
            name == format!("{}/{}/{}", of.group_id, of.function_id, of.value_str)
        };
        let Some((of, seconds)) = measured.iter().find(is_it) else { continue };
        let (bytes, flops) = match of.throughput {
            Throughput::BytesDecimal(bytes) => (bytes, 0),
            Throughput::ElementsAndBytes { elements, bytes } => (bytes, elements),
        };
        let timed = (of.value_str.clone(), *seconds);
        match rows.last_mut().filter(|row| row.operator == of.group_id && row.case == of.function_id) {
            Some(row) => row.seconds.push(timed),
            None => rows.push(Row {
                operator: of.group_id.clone(),
                case: of.function_id.clone(),
                bytes: bytes as f64,
                flops: flops as f64,
                seconds: vec![timed],
            }),
        }
    }
    Ok(rows)
}

fn read(benchmark: &Path) -> Result<(Benchmark, f64)> {
    let parsed = |path: &Path| fs::read(path).with_context(|| format!("reading {}", path.display()));
    let of: Benchmark = serde_json::from_slice(&parsed(benchmark)?)
        .with_context(|| format!("reading {}", benchmark.display()))?;
    let estimates: Estimates = serde_json::from_slice(&parsed(&benchmark.with_file_name("estimates.json"))?)?;
    Ok((of, estimates.median.point_estimate * 1e-9))
}

fn render(rows: &[Row], limits: &MachineLimits) -> String {
    let (bandwidth, peak) = (limits.read_bytes_per_second, limits.flops_per_second);
    let mut text = format!(
        "{}: {}; one thread: {:.1} GB/s read, {:.1} GFLOP/s bf16 dot (before and after).\n\n\
         | operator | case | us | GB/s | GFLOP/s | of limit | other instruction sets |\n\
         |---|---|---|---|---|---|---|\n",
        WallTime::now(),
        section::machine(),
        bandwidth / 1e9,
        peak / 1e9
    );
    for Row { operator, case, bytes, flops, seconds } in rows {
        let Some(((best, time), others)) = seconds.split_first() else { continue };
        let others: Vec<String> =
            others.iter().map(|(isa, other)| format!("{isa} {:.1} x", other / time)).collect();
        let (rate, share) = match *flops > 0.0 {
            true => {
                let floor = (bytes / bandwidth).max(flops / peak);
                (format!("{:.1}", flops / time / 1e9), format!("{:.0} %", floor / time * 100.0))
            }
            // Small operands are in caches, whose limits are not measured.
            false => ("-".to_owned(), "-".to_owned()),
        };
        let _infallible = writeln!(
            text,
            "| {operator} | {case} ({best}) | {:.1} | {:.1} | {rate} | {share} | {} |",
            time * 1e6,
            bytes / time / 1e9,
            others.join(", ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_criterion_wrote_becomes_rows_in_the_order_of_names() {
        let home = tempfile::tempdir().unwrap();
        for (operator, isa, throughput, median) in [
            ("norm", "avx2", r#"{"BytesDecimal":6000}"#, 3000.0),
            ("norm", "avx512", r#"{"BytesDecimal":6000}"#, 2000.0),
            ("matmul", "avx512", r#"{"ElementsAndBytes":{"elements":8000,"bytes":1000}}"#, 1000.0),
        ] {
            let folder = home.path().join(format!("{operator}/one/{isa}/new"));
            fs::create_dir_all(&folder).unwrap();
            let of = format!(
                r#"{{"group_id":"{operator}","function_id":"one","value_str":"{isa}","throughput":{throughput},"title":"t"}}"#
            );
            fs::write(folder.join("benchmark.json"), of).unwrap();
            let estimates = format!(r#"{{"median":{{"point_estimate":{median}}},"slope":null}}"#);
            fs::write(folder.join("estimates.json"), estimates).unwrap();
        }
        let names = "norm/one/avx512: benchmark\nnorm/one/avx2: benchmark\n\nmatmul/one/avx512: benchmark\n";
        let limits = MachineLimits { read_bytes_per_second: 2e9, flops_per_second: 16e9, num_threads: 1 };
        let text = render(&rows(home.path(), names).unwrap(), &limits);
        let lines: Vec<&str> = text.lines().skip(4).collect();
        assert_eq!(
            lines,
            [
                "| norm | one (avx512) | 2.0 | 3.0 | - | - | avx2 1.5 x |",
                "| matmul | one (avx512) | 1.0 | 1.0 | 8.0 | 50 % |  |"
            ]
        );
    }
}
