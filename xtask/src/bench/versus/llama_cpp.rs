//! llama.cpp's llama-batched-bench: one process a pair, its JSON lines read.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use goldlap::bench::Workload;

use super::kind::Kind;
use super::peer::{Peer, PeerPass};

/// The program and its model.
pub(super) struct LlamaCpp {
    program: PathBuf,
    model: PathBuf,
    threads: usize,
}

impl LlamaCpp {
    pub(super) fn new(bin: &Path, model: &Path, threads: usize) -> Result<Self> {
        let program = bin.join("llama-batched-bench");
        ensure!(program.is_file(), "{} is not there: PERFORMANCE.md says how to build it", program.display());
        Ok(Self { program, model: model.to_path_buf(), threads })
    }
}

impl Peer for LlamaCpp {
    fn name(&self) -> &'static str {
        "llama.cpp"
    }

    fn goal(&self, kind: Kind, decode: Option<usize>) -> &'static str {
        match (kind, decode) {
            (Kind::Short, None) => "1.35 x, 75 % of peak",
            (Kind::Short, Some(1)) => "1.3 x, 85 % of bandwidth",
            (Kind::Short, Some(_)) => "1.8 x",
            (Kind::Long, None) => "2 x",
            (Kind::Long, Some(_)) => "5 x",
            (Kind::Avx2, _) => "1.2 x",
        }
    }

    /// What the program says of itself.
    fn version(&self) -> Result<String> {
        let output = Command::new(&self.program).arg("--version").output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().find(|line| line.contains("version")).unwrap_or("version unknown");
        Ok(line.trim().to_owned())
    }

    /// A pass of the workload. The prompt is computed once and copied to all sequences (`-pps`, each in a cache of its
    /// own), which leaves its speed what it is and saves time.
    fn run(&mut self, workload: &Workload) -> Result<Vec<PeerPass>> {
        let threads = self.threads;
        let list: Vec<String> = workload.batches.iter().map(usize::to_string).collect();
        let cells = workload.sequences() * (workload.context + workload.generate + 256);
        let output = Command::new(&self.program)
            .arg("-m")
            .arg(&self.model)
            .args(["-c", &cells.to_string(), "-b", "2048", "-ub", "512", "-pps"])
            .args(["-npp", &workload.context.to_string(), "-ntg", &workload.generate.to_string()])
            .args(["-npl", &list.join(","), "-t", &threads.to_string(), "-tb", &threads.to_string()])
            .args(["--output-format", "jsonl"])
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("starting {}", self.program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = complaint.lines().rev().take(3).collect();
        ensure!(output.status.success(), "llama-batched-bench ended with {}: {tail:?}", output.status);
        let passes = read_passes(&text)?;
        let batches: Vec<usize> = passes.iter().map(|pass| pass.batch).collect();
        ensure!(batches == workload.batches, "expected batches {:?}, got {batches:?}", workload.batches);
        Ok(passes)
    }
}

/// The lines that are objects; the others are chatter.
fn read_passes(text: &str) -> Result<Vec<PeerPass>> {
    let objects = text.lines().filter(|line| line.starts_with('{'));
    objects.map(|line| serde_json::from_str(line).with_context(|| format!("reading {line:?}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_read_from_among_chatter() {
        let text = "\nload: done\n{\"pp\": 512, \"pl\": 8, \"t_pp\": 1.5, \"speed_pp\": 341.3, \"speed_tg\": 99.5}\n\n";
        let expected = PeerPass { batch: 8, prefill: 341.3, decode: 99.5 };
        assert_eq!(read_passes(text).unwrap(), [expected]);
        assert!(read_passes("{\"pl\": 8}\n").is_err());
    }
}
