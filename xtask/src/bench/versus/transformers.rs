//! Hugging Face transformers on PyTorch: one Python process for all pairs, which reads a request a line and answers each with a line
//! of JSON. Between pairs it waits for the next line.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use goldlap::bench::{PREFILL_CHUNK, Workload};
use goldlap_kernels::model::config::GptConfig;
use goldlap_kernels::model::hugging_face::init_model;
use goldlap_kernels::model::random::RandomWeights;
use goldlap_kernels::model::weights::WeightSource;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::kind::Kind;
use super::peer::{Peer, PeerPass};

const SCRIPT: &str = include_str!("transformers.py");

/// The process. It ends when its input does.
pub(super) struct Transformers {
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    version: String,
}

#[derive(Deserialize)]
struct Ready {
    version: String,
}

impl Transformers {
    /// Loads the model in `folder` with `python`, which must have torch and transformers.
    pub(super) fn start(python: &Path, folder: &Path, threads: usize) -> Result<Self> {
        let mut command = Command::new(python);
        command.args(["-c", SCRIPT]).arg(folder).arg(threads.to_string());
        command.env("OMP_NUM_THREADS", threads.to_string()).env("HF_HUB_OFFLINE", "1");
        Self::spawn(command)
            .with_context(|| format!("{}: PERFORMANCE.md says what it must have installed", python.display()))
    }

    fn spawn(mut command: Command) -> Result<Self> {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (requests, answers) = (process.stdin.take(), process.stdout.take());
        let answers = BufReader::new(answers.context("the process has no output")?);
        let mut peer = Self { process, requests, answers, version: String::new() };
        let Ready { version } = peer.answer()?;
        peer.version = version;
        Ok(peer)
    }

    fn ask<T: DeserializeOwned>(&mut self, request: &Value) -> Result<T> {
        let requests = self.requests.as_mut().context("the process was told to end")?;
        // A process that has ended says more by its exit status, which is asked for below.
        let _broken = writeln!(requests, "{request}").and_then(|()| requests.flush());
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the Python process ended with {}; its last words are above", self.process.wait()?);
        }
        serde_json::from_str(&line).with_context(|| format!("the Python process answered {line:?}"))
    }
}

impl Drop for Transformers {
    fn drop(&mut self) {
        self.requests = None;
        let _ended = self.process.wait();
    }
}

impl Peer for Transformers {
    fn name(&self) -> &'static str {
        "transformers"
    }

    fn goal(&self, kind: Kind, _: Option<usize>) -> &'static str {
        match kind {
            Kind::Short | Kind::Long | Kind::Avx2 => "1 x",
        }
    }

    fn version(&self) -> Result<String> {
        Ok(self.version.clone())
    }

    fn run(&mut self, workload: &Workload) -> Result<Vec<PeerPass>> {
        let passes: Vec<PeerPass> = self.ask(&json!({
            "context": workload.context,
            "chunk": PREFILL_CHUNK,
            "generate": workload.generate,
            "batches": workload.batches,
        }))?;
        let batches: Vec<usize> = passes.iter().map(|pass| pass.batch).collect();
        ensure!(batches == workload.batches, "expected batches {:?}, got {batches:?}", workload.batches);
        Ok(passes)
    }

    fn prompt_logprobs(&mut self, tokens: &[u32]) -> Result<Option<Vec<f32>>> {
        let logprobs: Vec<f32> = self.ask(&json!({ "logprobs_of": tokens }))?;
        ensure!(
            logprobs.len() + 1 == tokens.len(),
            "got {} logprobs of {} tokens",
            logprobs.len(),
            tokens.len()
        );
        Ok(Some(logprobs))
    }
}

/// Path of the random model as a Hugging Face folder, made when it is not there.
pub(super) fn folder_of_random_model(config: &GptConfig, seed: u64, std: f64) -> Result<PathBuf> {
    let weights = RandomWeights::new(config.clone(), seed, std)?;
    let folder = crate::workspace_root().join("target/goldlap/peer").join(weights.fingerprint());
    if !folder.is_dir() {
        eprintln!("writing {}", folder.display());
        fs::create_dir_all(folder.parent().context("a folder for peers")?)?;
        init_model(&weights, &folder, "none is needed")?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stand-ins: one answers as the script does, then ends; the other has not what it needs.
    #[test]
    fn answers_are_read_line_by_line_and_an_early_end_is_reported() {
        let shell = |text: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", text]);
            Transformers::spawn(command)
        };
        let good = r#"echo '{"version":"9"}'; read l; echo '[{"pl":1,"speed_pp":2.0,"speed_tg":3.5}]'; read l; exit 3"#;
        let mut peer = shell(good).unwrap();
        assert_eq!(peer.version().unwrap(), "9");
        let workload = Workload { prompt: 4, generate: 1, batches: vec![1], context: 4 };
        let expected = PeerPass { batch: 1, prefill: 2.0, decode: 3.5 };
        assert_eq!(peer.run(&workload).unwrap(), [expected]);
        assert!(peer.run(&workload).unwrap_err().to_string().contains("exit status: 3"));
        assert!(shell("exit 1").err().unwrap().to_string().contains("exit status: 1"));
        let nobody = Transformers::start(Path::new("/no/such/python"), Path::new("model"), 1).err().unwrap();
        assert!(format!("{nobody:#}").contains("PERFORMANCE.md"), "{nobody:#}");
    }
}
