//! `goldlap bench`: tokens per second of a model on this machine, and how far that is from what the machine could do.

use std::path::{Path, PathBuf};

use clap::Args;
use goldlap_kernels::model::packed::PackedModel;
use goldlap_kernels::model::store::Store;

use super::location::asked_platform;
use super::model_of_case::model_of_case;
use super::output::print;
use super::virtual_driver::enter;
use super::{CommandError, Exit};
use crate::bench::{Bench, Pass, Report, Row, Workload};
use crate::config::CaseFile;
use crate::harness::{PreparedModel, between, machine_limits, num_cores};
use crate::metrics::{MachineLimits, WallTime};
use crate::plan::{ModelPlan, Platform};
use crate::report::write_atomically;

/// Prefill: one prompt from an empty cache, in steps of at most 512 tokens. Decode, for each batch size B: B sequences with
/// full caches advance by one greedy token a step. Only time inside the model's steps counts, so neither engine nor
/// sockets take part. Shown are medians over the passes (slowest and fastest in brackets); GB/s and GFLOP/s count what the
/// steps must move and compute at the least; "of BW" and "of pk" are shares of what the same threads sustain
/// reading memory and in the dot-product loop, measured before and after; "eff." is least possible time over time taken.
#[derive(Args)]
pub(super) struct BenchModel {
    /// Hugging Face folder, or the model_config.yaml of a case for its model
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// cpu, vcuda or a GPU platform such as dgx_h100 [env: GOLDLAP_PLATFORM; default: auto]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// CUDA device, as the driver counts them
    #[arg(long, value_name = "N", default_value_t = 0)]
    device: usize,
    /// Threads of the kernels [default: all cores]
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
        let choice = asked_platform(self.platform.as_deref())?;
        enter(&choice.platform, self.device)?;
        let threads = self.threads.unwrap_or_else(num_cores);
        if threads == 0 || self.passes == 0 {
            return Err(CommandError("--threads and --passes: expected at least 1, got 0".to_owned()));
        }
        let workload = Workload {
            prompt: self.prompt,
            generate: self.generate,
            batches: self.batch.clone(),
            context: self.context.unwrap_or(self.prompt),
        };
        workload.check().map_err(CommandError::from_error)?;
        let source = model_plan(&self.model)?;
        let store = Store::open().map_err(CommandError::from_error)?;
        let model = PreparedModel::prepare(&source, &store, num_cores()).map_err(CommandError::from_error)?;
        let report = self.measure(&choice.platform, model.path(), threads, &workload)?;
        print(&report.to_string())?;
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&report).map_err(CommandError::from_error)?;
            write_atomically(path, text.as_bytes())
                .map_err(|error| CommandError(format!("{}: {error}", path.display())))?;
        }
        Ok(Exit::Success)
    }

    fn measure(
        &self,
        platform: &Platform,
        packed: &Path,
        threads: usize,
        workload: &Workload,
    ) -> Result<Report, CommandError> {
        let config = PackedModel::open(packed).map_err(CommandError::from_error)?.config().clone();
        let kv_bytes = 4 * config.num_layers as u64 * config.kv_size() as u64;
        let mut bench = Bench::open(platform, packed, threads, kv_bytes, workload, self.device)
            .map_err(CommandError::from_error)?;
        let before = limits_of(platform, threads)?;
        let passes = Passes::measure(&mut bench, workload, self.passes).map_err(CommandError::from_error)?;
        let after = limits_of(platform, threads)?;
        let machine_limits = before.zip(after).map(|(before, after)| between(before, after));
        Ok(Report {
            model: self.model.display().to_string(),
            platform: platform.to_string(),
            device: bench.device().to_owned(),
            at: WallTime::now().to_string(),
            machine_limits,
            rows: passes.rows(workload, machine_limits.as_ref()),
        })
    }
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

    fn rows(mut self, workload: &Workload, limits: Option<&MachineLimits>) -> Vec<Row> {
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

/// What the machine sustains; `None` where there is no probe for the platform.
fn limits_of(platform: &Platform, threads: usize) -> Result<Option<MachineLimits>, CommandError> {
    match platform {
        Platform::Cpu => machine_limits(threads).map(Some).map_err(CommandError),
        Platform::Vcuda | Platform::Gpu(_) => Ok(None),
    }
}
