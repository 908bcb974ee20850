//! `goldlap bench`: tokens per second of a model on this machine, and how far that is from what the machine could do.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use goldlap_kernels::model::packed::PackedModel;
use goldlap_kernels::model::store::Store;

use super::location::asked_platform;
use super::output::print;
use super::plan_of_case::model_of_case;
use super::virtual_driver::enter;
use super::{CommandError, Exit};
use crate::bench::{Bench, Pass, Report, Row, Workload};
use crate::config::CaseFile;
use crate::engine::device_limits;
use crate::harness::{PreparedModel, between, machine_limits, num_cores};
use crate::metrics::{MachineLimits, WallTime};
use crate::plan::{ModelPlan, Platform};
use crate::report::write_atomically;

/// Threads for each core at most: more than one have sense only in trials, and a slip of the finger should not exhaust the machine.
const MOST_THREADS_PER_CORE: usize = 8;

/// Prefill: one prompt from an empty cache, in steps of at most 512 tokens. Decode, for each batch size B: B sequences with
/// full caches advance by one greedy token a step. Only time inside the model's steps counts, so neither engine nor
/// sockets take part. Shown are medians over the passes (slowest and fastest in brackets); GB/s and GFLOP/s count what the
/// steps must move and compute at the least; "of BW" and "of pk" are shares of what the same threads (the CUDA device) sustain
/// reading memory and in a loop of dot products (tensor-core products), measured before and after; "eff." is least possible
/// time over time taken.
#[derive(Args)]
pub(super) struct BenchModel {
    /// Hugging Face folder, or the model_config.yaml of a case for its model
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// cpu, vcuda or a GPU platform such as dgx_h100 [env: GOLDLAP_PLATFORM; default: auto]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// CUDA device, as the driver counts them; nothing on cpu
    #[arg(long, value_name = "N", default_value_t = 0)]
    device: usize,
    /// Threads of the kernels, or behind a virtual device; nothing on GPUs [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Tokens of the prompt whose prefill is measured
    #[arg(long, value_name = "N", default_value_t = 512)]
    prompt: usize,
    /// Tokens generated for each sequence in a decode pass
    #[arg(long, value_name = "N", default_value_t = 32)]
    generate: usize,
    /// Batch sizes of decode
    #[arg(long, value_name = "B,B,..", value_delimiter = ',', default_value = "1,8,32")]
    batch: Vec<usize>,
    /// Tokens in each sequence's cache when it decodes [default: as --prompt]
    #[arg(long, value_name = "N")]
    context: Option<usize>,
    /// Passes of each kind, interleaved
    #[arg(long, value_name = "N", default_value_t = 5)]
    passes: usize,
    /// Write everything as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl BenchModel {
    pub(super) fn run(self) -> Result<Exit, CommandError> {
        let workload = self.workload()?;
        if let Some(path) = &self.json {
            check_writable(path)?;
        }
        let choice = asked_platform(self.platform.as_deref())?;
        enter(&choice.platform, self.device, self.threads)?;
        let source = model_plan(&self.model)?;
        let store = Store::open().map_err(CommandError::from_error)?;
        let model = PreparedModel::prepare(&source, &store, num_cores()).map_err(CommandError::from_error)?;
        let report = self.measure(&choice.platform, model.path(), &workload)?;
        print(&report.to_string())?;
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&report).map_err(CommandError::from_error)?;
            write_atomically(path, text.as_bytes()).map_err(|error| unwritable(path, &error))?;
        }
        Ok(Exit::Success)
    }

    /// What is asked for, if it can be.
    fn workload(&self) -> Result<Workload, CommandError> {
        if self.passes == 0 {
            return Err(CommandError("--passes: expected at least 1, got 0".to_owned()));
        }
        let most = MOST_THREADS_PER_CORE * num_cores();
        if let Some(threads) = self.threads.filter(|threads| !(1..=most).contains(threads)) {
            let text =
                format!("--threads: expected 1 to {most} ({MOST_THREADS_PER_CORE} a core), got {threads}");
            return Err(CommandError(text));
        }
        let workload = Workload {
            prompt: self.prompt,
            generate: self.generate,
            batches: self.batch.clone(),
            context: self.context.unwrap_or(self.prompt),
        };
        workload.check().map_err(CommandError::from_error)?;
        Ok(workload)
    }

    fn measure(
        &self,
        platform: &Platform,
        packed: &Path,
        workload: &Workload,
    ) -> Result<Report, CommandError> {
        let threads = self.threads.unwrap_or_else(num_cores);
        let limits = || match platform {
            Platform::Cpu => machine_limits(threads).map_err(CommandError),
            Platform::Vcuda | Platform::Gpu(_) => {
                device_limits(platform, self.device, threads).map_err(CommandError)
            }
        };
        let config = PackedModel::open(packed).map_err(CommandError::from_error)?.config().clone();
        let kv_bytes = 4 * config.num_layers as u64 * config.kv_size() as u64;
        // Outside the model's life: a device may have no room for both.
        let before = limits()?;
        let mut bench = Bench::open(platform, packed, threads, kv_bytes, workload, self.device)
            .map_err(CommandError::from_error)?;
        let passes = Passes::measure(&mut bench, workload, self.passes).map_err(CommandError::from_error)?;
        let device = bench.device().to_owned();
        drop(bench);
        let machine_limits = between(before, limits()?);
        Ok(Report {
            format: Report::FORMAT,
            model: self.model.display().to_string(),
            platform: platform.clone(),
            device,
            at: WallTime::now().to_string(),
            machine_limits,
            workload: workload.clone(),
            rows: passes.rows(workload, &machine_limits),
        })
    }
}

/// A measurement takes minutes: what cannot be written should be known before.
fn check_writable(path: &Path) -> Result<(), CommandError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let outcome = match path.is_dir() {
        true => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        // Devices and pipes are written in place.
        false if path.exists() && !path.is_file() => Ok(()),
        false => std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder)).map(|_| ()),
    };
    outcome.map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &io::Error) -> CommandError {
    CommandError(format!("--json {}: cannot be written: {error}", path.display()))
}

/// Passes by kind.
struct Passes {
    prefill: Vec<Pass>,
    fill: Vec<Pass>,
    /// One entry a batch size.
    decode: Vec<Vec<Pass>>,
}

impl Passes {
    /// Fills the caches, then repeats all kinds in turn, so that a busy moment of the machine touches them alike.
    fn measure(
        bench: &mut Bench,
        workload: &Workload,
        num_passes: usize,
    ) -> Result<Self, crate::bench::BenchError> {
        // The first pass touches all memory for the first time; it does not count.
        bench.prefill()?;
        let fill = bench.fill()?;
        let mut passes = Self { prefill: Vec::new(), fill, decode: vec![Vec::new(); workload.batches.len()] };
        for _ in 0..num_passes {
            for (decode, &batch) in passes.decode.iter_mut().zip(&workload.batches) {
                decode.push(bench.decode(batch)?);
            }
            passes.prefill.push(bench.prefill()?);
        }
        Ok(passes)
    }

    fn rows(mut self, workload: &Workload, limits: &MachineLimits) -> Vec<Row> {
        let (prompt, context) = (workload.prompt, workload.context);
        let mut rows = Vec::new();
        if prompt == context {
            self.prefill.append(&mut self.fill);
        }
        rows.extend(Row::new("prefill", 1, prompt, &self.prefill, limits));
        rows.extend(Row::new("prefill", 1, context, &self.fill, limits));
        for (passes, &batch) in self.decode.iter().zip(&workload.batches) {
            rows.extend(Row::new("decode", batch, context, passes, limits));
        }
        rows
    }
}

/// What `--model` names: a case's file, or a folder of weights.
fn model_plan(path: &Path) -> Result<ModelPlan, CommandError> {
    if path.is_file() {
        let case = CaseFile::read(path).map_err(CommandError::from_error)?;
        return model_of_case(path, &case);
    }
    Ok(ModelPlan::Checkpoint { path: path.to_path_buf() })
}
