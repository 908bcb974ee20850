//! `cargo xtask bench --versus PEER`: our kernels and a peer's on this machine, alternating, as a table.
//!
//! The model is the random 583M GPT in bf16: ours from the cache of packed weights, the peer's the same tensors as GGUF or as a
//! Hugging Face folder. A pair is one pass of ours and one of the peer, so that both meet the same neighbours; a ratio is the median
//! of the pairs' ratios. Our model sleeps while the peer runs, and the other way round.

mod gguf;
mod kind;
mod llama_cpp;
mod peer;
mod table;
mod transformers;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use goldlap::bench::{Bench, Figures, Pass, Workload};
use goldlap::harness::{PreparedModel, between, machine_limits, num_cores};
use goldlap::metrics::{MachineLimits, median};
use goldlap::plan::{ModelPlan, Platform};
use goldlap_kernels::model::config::GptConfig;
use goldlap_kernels::model::store::Store;
use serde::{Deserialize, Serialize};

use super::section;
use kind::Kind;
use llama_cpp::LlamaCpp;
use peer::{Peer, PeerPass};
use transformers::Transformers;

const CONFIG: GptConfig = GptConfig::GPT_583M;
const SEED: u64 = 42;
const STD: f64 = 0.02;
const THREADS: usize = 2;
const PAIRS: usize = 3;
/// Logprobs of another bf16 implementation lie closer; those of another model do not.
const LOGPROB_TOLERANCE: f64 = 0.1;

/// Whom we are compared with.
#[derive(Clone, Copy, ValueEnum)]
enum Versus {
    #[value(name = "llama.cpp")]
    LlamaCpp,
    Transformers,
}

/// Measures the 583M model and prints the table: goal, ours, the peer's, ratio.
#[derive(Args)]
pub(crate) struct BenchPeers {
    /// The peer
    #[arg(long, value_enum)]
    versus: Option<Versus>,
    /// llama.cpp: folder with its llama-batched-bench, built with native flags
    #[arg(long, value_name = "DIR", required_if_eq("versus", "llama.cpp"))]
    peer_bin: Option<PathBuf>,
    /// llama.cpp: folder with a llama-batched-bench built without AVX-512, for the AVX2 rows
    #[arg(long, value_name = "DIR")]
    peer_avx2_bin: Option<PathBuf>,
    /// transformers: a Python that has it, and torch
    #[arg(long, value_name = "FILE", required_if_eq("versus", "transformers"))]
    python: Option<PathBuf>,
    /// Threads of both
    #[arg(long, value_name = "N", default_value_t = THREADS)]
    threads: usize,
    /// Pairs of the short measurements
    #[arg(long, value_name = "N", default_value_t = PAIRS)]
    pairs: usize,
    /// Leave out the long contexts, which take half of the time
    #[arg(long)]
    short: bool,
    /// Replace the section of PERFORMANCE.md that this command writes
    #[arg(long)]
    write: bool,
    /// Measure this one workload and print JSON: how the command calls itself on another instruction set
    #[arg(long, value_enum, hide = true)]
    only: Option<Kind>,
}

/// Pairs of one figure.
#[derive(Serialize, Deserialize)]
struct Comparison {
    /// `prefill 512`, `decode, batch 8`, ...
    figure: String,
    goal: String,
    /// Tokens per second of each pair.
    ours: Vec<f64>,
    peer: Vec<f64>,
    share_of_bandwidth: f64,
    share_of_peak: f64,
}

impl BenchPeers {
    /// The whole section on llama.cpp, written.
    pub(super) fn llama_cpp(bin: &Path, avx2_bin: Option<&Path>) -> Self {
        let peer_bin = Some(bin.to_path_buf());
        Self { peer_bin, peer_avx2_bin: avx2_bin.map(Path::to_path_buf), ..Self::of(Versus::LlamaCpp) }
    }

    /// The whole section on transformers, written.
    pub(super) fn transformers(python: &Path) -> Self {
        Self { python: Some(python.to_path_buf()), ..Self::of(Versus::Transformers) }
    }

    fn of(versus: Versus) -> Self {
        Self {
            versus: Some(versus),
            peer_bin: None,
            peer_avx2_bin: None,
            python: None,
            threads: THREADS,
            pairs: PAIRS,
            short: false,
            write: true,
            only: None,
        }
    }

    pub(crate) fn run(&self) -> Result<ExitCode> {
        let Some(versus) = self.versus else {
            bail!(
                "expected `operators`, `overhead`, `instructions`, `all`, or --versus llama.cpp | transformers"
            );
        };
        let mut peer = self.peer(versus)?;
        if let Some(kind) = self.only {
            println!("{}", serde_json::to_string(&self.compare(kind, &mut *peer)?)?);
            return Ok(ExitCode::SUCCESS);
        }
        let limits = machine_limits(self.threads).map_err(anyhow::Error::msg)?;
        let mut rows = self.compare(Kind::Short, &mut *peer)?;
        if !self.short {
            rows.extend(self.compare(Kind::Long, &mut *peer)?);
        }
        if let Some(bin) = self.peer_avx2_bin.as_ref().filter(|_| matches!(versus, Versus::LlamaCpp)) {
            rows.extend(self.on_avx2(bin)?);
        }
        let text = table::render(&rows, &limits, (peer.name(), &peer.version()?));
        print!("{text}");
        if self.write {
            section::write(&format!("--versus {}", peer.name()), &text)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn peer(&self, versus: Versus) -> Result<Box<dyn Peer>> {
        Ok(match versus {
            Versus::LlamaCpp => {
                let bin = self.peer_bin.as_ref().context("--peer-bin is missing")?;
                Box::new(LlamaCpp::new(bin, &gguf::of_random_model(&CONFIG, SEED, STD)?, self.threads)?)
            }
            Versus::Transformers => {
                let python = self.python.as_ref().context("--python is missing")?;
                let folder = transformers::folder_of_random_model(&CONFIG, SEED, STD)?;
                Box::new(Transformers::start(python, &folder, self.threads)?)
            }
        })
    }

    /// This very program again: the instruction set is chosen by the environment.
    fn on_avx2(&self, bin: &Path) -> Result<Vec<Comparison>> {
        let output = Command::new(std::env::current_exe()?)
            .args(["bench", "--versus", "llama.cpp", "--only", "avx2", "--peer-bin"])
            .arg(bin)
            .args(["--threads", &self.threads.to_string(), "--pairs", &self.pairs.to_string()])
            .env("GOLDLAP_ISA", "avx2")
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            bail!("the AVX2 measurement ended with {}", output.status);
        }
        serde_json::from_slice(&output.stdout).context("the AVX2 measurement's output")
    }

    fn compare(&self, kind: Kind, peer: &mut dyn Peer) -> Result<Vec<Comparison>> {
        let workload = kind.workload();
        let store = Store::open()?;
        let model = ModelPlan::Random { config: CONFIG, seed: SEED, init_method_std: STD };
        let model = PreparedModel::prepare(&model, &store, num_cores())?;
        let kv_bytes = 4 * CONFIG.num_layers as u64 * CONFIG.kv_size() as u64;
        eprintln!("opening our model and filling {} contexts of {}", workload.sequences(), workload.context);
        let mut ours = Bench::open(&Platform::Cpu, model.path(), self.threads, kv_bytes, &workload, 0)?;
        if kind == Kind::Short {
            compare_logprobs(&mut ours, peer)?;
        }
        ours.fill()?;
        let mut pairs = Pairs::of(&workload);
        for pair in 0..kind.pairs(self.pairs) {
            eprintln!("pair {}", pair + 1);
            pairs.peer.push(peer.run(&workload)?);
            let before = machine_limits(self.threads).map_err(anyhow::Error::msg)?;
            for (decode, &batch) in pairs.decode.iter_mut().zip(&workload.batches) {
                decode.push(ours.decode(batch)?);
            }
            pairs.prefill.push(ours.prefill()?);
            let after = machine_limits(self.threads).map_err(anyhow::Error::msg)?;
            pairs.limits.push(between(before, after));
        }
        pairs.compare(kind, &workload, peer)
    }
}

/// Both must compute the same thing. In bf16 they round in different places, so logprobs differ a little.
fn compare_logprobs(ours: &mut Bench, peer: &mut dyn Peer) -> Result<()> {
    let (tokens, logprobs) = ours.prompt_logprobs()?;
    let Some(theirs) = peer.prompt_logprobs(&tokens)? else { return Ok(()) };
    let distance = |(ours, theirs): (&f32, &f32)| f64::from((ours - theirs).abs());
    let distances: Vec<f64> = logprobs.iter().zip(&theirs).map(distance).collect();
    let largest = distances.iter().copied().fold(0.0, f64::max);
    let mean = distances.iter().sum::<f64>() / distances.len() as f64;
    eprintln!(
        "logprobs of {} prompt tokens differ by at most {largest:.4}, {mean:.4} on average",
        distances.len()
    );
    ensure!(largest <= LOGPROB_TOLERANCE, "expected at most {LOGPROB_TOLERANCE}: not the same model");
    Ok(())
}

/// Passes, one of each a pair.
struct Pairs {
    /// What the machine could do around our passes: neighbours come and go.
    limits: Vec<MachineLimits>,
    prefill: Vec<Pass>,
    /// One entry a batch size.
    decode: Vec<Vec<Pass>>,
    peer: Vec<Vec<PeerPass>>,
}

impl Pairs {
    /// None yet.
    fn of(workload: &Workload) -> Self {
        let decode = vec![Vec::new(); workload.batches.len()];
        Self { limits: Vec::new(), prefill: Vec::new(), decode, peer: Vec::new() }
    }

    fn compare(&self, kind: Kind, workload: &Workload, peer: &dyn Peer) -> Result<Vec<Comparison>> {
        let (context, mut rows) = (workload.context, Vec::new());
        let peers = |index: usize, value: fn(&PeerPass) -> f64| -> Vec<f64> {
            self.peer.iter().filter_map(|passes| passes.get(index).map(value)).collect()
        };
        let figure = kind.label(&format!("prefill of {context} tokens"));
        let prefill = peers(0, |pass| pass.prefill);
        rows.push(Comparison::new(figure, peer.goal(kind, None), &self.prefill, prefill, &self.limits)?);
        for (index, (&batch, passes)) in workload.batches.iter().zip(&self.decode).enumerate() {
            let figure = kind.label(&format!("decode, batch {batch}, {context} cached tokens each"));
            let decode = peers(index, |pass| pass.decode);
            rows.push(Comparison::new(figure, peer.goal(kind, Some(batch)), passes, decode, &self.limits)?);
        }
        Ok(rows)
    }
}

impl Comparison {
    fn new(
        figure: String,
        goal: &str,
        ours: &[Pass],
        peer: Vec<f64>,
        limits: &[MachineLimits],
    ) -> Result<Self> {
        let shares = ours.iter().zip(limits).filter_map(|(pass, limits)| {
            let figures = Figures::of(std::slice::from_ref(pass), limits)?;
            Some((figures.share_of_bandwidth, figures.share_of_peak))
        });
        let (bandwidth, peak): (Vec<f64>, Vec<f64>) = shares.unzip();
        Ok(Self {
            figure,
            goal: goal.to_owned(),
            ours: ours.iter().map(|pass| pass.tokens as f64 / pass.seconds.max(1e-9)).collect(),
            peer,
            share_of_bandwidth: median(&bandwidth).context("no pass was measured")?,
            share_of_peak: median(&peak).context("no pass was measured")?,
        })
    }

    /// Median of the pairs' ratios.
    fn ratio(&self) -> f64 {
        let ratios: Vec<f64> = self.ours.iter().zip(&self.peer).map(|(ours, peer)| ours / peer).collect();
        median(&ratios).unwrap_or(f64::NAN)
    }
}
