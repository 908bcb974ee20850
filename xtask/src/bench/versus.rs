//! `cargo xtask bench --versus llama.cpp`: our kernels and a peer's on this machine, alternating, as a table.
//!
//! The model is the random 583M GPT in bf16: ours from the cache of packed weights, the peer's the same tensors as GGUF. A pair
//! is one pass of ours and one process of llama-batched-bench, so that both meet the same neighbours; a ratio
//! is the median of the pairs' ratios. Our model sleeps while the peer runs.

mod gguf;
mod peer;
mod section;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use goldlap::bench::{Bench, Figures, Pass, Workload};
use goldlap::harness::{PreparedModel, between, machine_limits, num_cores};
use goldlap::metrics::{MachineLimits, median};
use goldlap::plan::{ModelPlan, Platform};
use goldlap_kernels::model::config::GptConfig;
use goldlap_kernels::model::store::Store;
use serde::{Deserialize, Serialize};

use peer::{Peer, PeerPass};

const CONFIG: GptConfig = GptConfig::GPT_583M;
const SEED: u64 = 42;
const STD: f64 = 0.02;

/// Whom we are compared with.
#[derive(Clone, Copy, ValueEnum)]
enum Versus {
    #[value(name = "llama.cpp")]
    LlamaCpp,
}

/// Measures the 583M model and prints the table: goal, ours, the peer's, ratio.
#[derive(Args)]
pub(crate) struct BenchPeers {
    /// The peer
    #[arg(long, value_enum, requires = "peer_bin")]
    versus: Option<Versus>,
    /// Folder with the peer's llama-batched-bench, built with native flags
    #[arg(long, value_name = "DIR")]
    peer_bin: Option<PathBuf>,
    /// Folder with a llama-batched-bench built without AVX-512, for the AVX2 row
    #[arg(long, value_name = "DIR")]
    peer_avx2_bin: Option<PathBuf>,
    /// Threads of both
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: usize,
    /// Pairs of the short measurements
    #[arg(long, value_name = "N", default_value_t = 3)]
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

/// A workload of the table.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Short,
    Long,
    Avx2,
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

impl Kind {
    fn workload(self) -> Workload {
        match self {
            Self::Short => Workload { prompt: 512, generate: 32, batches: vec![1, 8, 32], context: 512 },
            Self::Long => Workload { prompt: 512, generate: 8, batches: vec![8], context: 4096 },
            Self::Avx2 => Workload { prompt: 512, generate: 16, batches: vec![1, 8], context: 512 },
        }
    }

    fn pairs(self, pairs: usize) -> usize {
        if self == Self::Long { 1 } else { pairs }
    }

    fn label(self, what: &str) -> String {
        match self {
            Self::Short | Self::Long => what.to_owned(),
            Self::Avx2 => format!("AVX2 only: {what}"),
        }
    }

    fn prefill_goal(self) -> &'static str {
        match self {
            Self::Short => "1.35 x, 75 % of peak",
            Self::Long => "2 x",
            Self::Avx2 => "1.2 x",
        }
    }

    fn decode_goal(self, batch: usize) -> &'static str {
        match (self, batch) {
            (Self::Short, 1) => "1.3 x, 85 % of bandwidth",
            (Self::Short, _) => "1.8 x",
            (Self::Long, _) => "5 x",
            (Self::Avx2, _) => "1.2 x",
        }
    }
}

impl BenchPeers {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let (Some(Versus::LlamaCpp), Some(peer_bin)) = (self.versus, &self.peer_bin) else {
            bail!("expected `overhead`, `instructions`, or --versus llama.cpp --peer-bin DIR");
        };
        if let Some(kind) = self.only {
            println!("{}", serde_json::to_string(&self.compare(kind, peer_bin)?)?);
            return Ok(ExitCode::SUCCESS);
        }
        let limits = machine_limits(self.threads).map_err(anyhow::Error::msg)?;
        let mut rows = self.compare(Kind::Short, peer_bin)?;
        if !self.short {
            rows.extend(self.compare(Kind::Long, peer_bin)?);
        }
        if let Some(bin) = &self.peer_avx2_bin {
            rows.extend(self.on_avx2(bin)?);
        }
        let text = section::render(&rows, &limits, &Peer::new(peer_bin, Path::new(""))?.version()?);
        print!("{text}");
        if self.write {
            section::replace(&crate::workspace_root().join("PERFORMANCE.md"), &text)?;
        }
        Ok(ExitCode::SUCCESS)
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

    fn compare(&self, kind: Kind, bin: &Path) -> Result<Vec<Comparison>> {
        let workload = kind.workload();
        let store = Store::open()?;
        let model = ModelPlan::Random { config: CONFIG, seed: SEED, init_method_std: STD };
        let model = PreparedModel::prepare(&model, &store, num_cores())?;
        let peer = Peer::new(bin, &gguf::of_random_model(&CONFIG, SEED, STD)?)?;
        let kv_bytes = 4 * CONFIG.num_layers as u64 * CONFIG.kv_size() as u64;
        eprintln!("opening our model and filling {} contexts of {}", workload.sequences(), workload.context);
        let mut ours = Bench::open(&Platform::Cpu, model.path(), self.threads, kv_bytes, &workload, 0)?;
        let before = machine_limits(self.threads).map_err(anyhow::Error::msg)?;
        let mut fill = ours.fill()?;
        let mut pairs =
            Pairs { prefill: Vec::new(), decode: vec![Vec::new(); workload.batches.len()], peer: Vec::new() };
        for pair in 0..kind.pairs(self.pairs) {
            eprintln!("pair {}", pair + 1);
            pairs.peer.push(peer.run(&workload, self.threads)?);
            for (decode, &batch) in pairs.decode.iter_mut().zip(&workload.batches) {
                decode.push(ours.decode(batch)?);
            }
            pairs.prefill.push(match kind {
                Kind::Long => fill.pop().context("a context was filled")?,
                Kind::Short | Kind::Avx2 => ours.prefill()?,
            });
        }
        let after = machine_limits(self.threads).map_err(anyhow::Error::msg)?;
        pairs.compare(kind, &workload, &between(before, after))
    }
}

/// Passes, one of each a pair.
struct Pairs {
    prefill: Vec<Pass>,
    /// One entry a batch size.
    decode: Vec<Vec<Pass>>,
    peer: Vec<Vec<PeerPass>>,
}

impl Pairs {
    fn compare(&self, kind: Kind, workload: &Workload, limits: &MachineLimits) -> Result<Vec<Comparison>> {
        let (context, mut rows) = (workload.context, Vec::new());
        let peers = |index: usize, value: fn(&PeerPass) -> f64| -> Vec<f64> {
            self.peer.iter().filter_map(|passes| passes.get(index).map(value)).collect()
        };
        let figure = kind.label(&format!("prefill of {context} tokens"));
        let prefill = peers(0, |pass| pass.prefill);
        rows.push(Comparison::new(figure, kind.prefill_goal(), &self.prefill, prefill, limits)?);
        for (index, (&batch, passes)) in workload.batches.iter().zip(&self.decode).enumerate() {
            let figure = kind.label(&format!("decode, batch {batch}, {context} cached tokens each"));
            let decode = peers(index, |pass| pass.decode);
            rows.push(Comparison::new(figure, kind.decode_goal(batch), passes, decode, limits)?);
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
        limits: &MachineLimits,
    ) -> Result<Self> {
        let figures = Figures::of(ours, limits).context("no pass was measured")?;
        Ok(Self {
            figure,
            goal: goal.to_owned(),
            ours: ours.iter().map(|pass| pass.tokens as f64 / pass.seconds.max(1e-9)).collect(),
            peer,
            share_of_bandwidth: figures.share_of_bandwidth,
            share_of_peak: figures.share_of_peak,
        })
    }

    /// Median of the pairs' ratios.
    fn ratio(&self) -> f64 {
        let ratios: Vec<f64> = self.ours.iter().zip(&self.peer).map(|(ours, peer)| ours / peer).collect();
        median(&ratios).unwrap_or(f64::NAN)
    }
}
