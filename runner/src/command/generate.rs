//! `goldlap generate`: one engine in this process, no sockets; writes Megatron's JSON.

use std::path::{Path, PathBuf};

use clap::Args;
use goldlap_kernels::model::store::Store;

use super::location::asked_platform;
use super::virtual_driver::enter;
use super::{CommandError, Exit};
use crate::engine::{Backend, Sampling};
use crate::harness::{PreparedModel, num_cores};
use crate::metrics::{Metrics, RequestOutcome, RequestRecord};
use crate::plan::{EngineFeatures, EnginePlan, ModelPlan, TokenizerPlan};
use crate::report::{MegatronLayout, megatron_output, write_atomically};
use crate::workload::Tokenizer;

mod offline;
mod requests;

use offline::Offline;
use requests::{Prompts, read_requests};

#[derive(Args)]
pub(super) struct Generate {
    /// Hugging Face folder: config.json, safetensors, tokenizer
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// cpu, vcuda (the virtual CUDA driver), or a GPU platform such as dgx_h100 [env: GOLDLAP_PLATFORM; default: auto]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// CUDA device, as the driver counts them
    #[arg(long, value_name = "N", default_value_t = 0)]
    device: usize,
    #[command(flatten)]
    prompts: Prompts,
    /// Tokens to generate per request, unless a request says otherwise
    #[arg(long, value_name = "N", default_value_t = 30)]
    num_tokens_to_generate: usize,
    /// Return the logprobs of prompt and generated tokens
    #[arg(long)]
    return_log_probs: bool,
    /// Where to write the JSON
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// tokenizer.json, a folder with one, a TikTokenizer vocabulary or tekken.json [default: the model's own, else the built-in]
    #[arg(long, value_name = "PATH")]
    tokenizer: Option<PathBuf>,
    /// 1 = greedy, 0 = off
    #[arg(long, value_name = "K", default_value_t = 1)]
    top_k: u32,
    /// Nucleus mass, 0 = off
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    top_p: f32,
    /// Divides the logits
    #[arg(long, value_name = "T", default_value_t = 1.0, allow_negative_numbers = true)]
    temperature: f32,
    /// Sampling seed
    #[arg(long, value_name = "SEED", default_value_t = 1234)]
    seed: u64,
    /// Token that ends a sequence; -1 = none [default: the tokenizer's end of document]
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    termination_id: Option<i64>,
    #[command(flatten)]
    limits: Limits,
}

/// Limits of the engine, by Megatron's names.
#[derive(Args)]
pub(super) struct Limits {
    /// Size of the KV cache, in GiB [default: 1]
    #[arg(long, value_name = "GB")]
    inference_dynamic_batching_buffer_size_gb: Option<f64>,
    /// Tokens per KV block [default: 256]
    #[arg(long, value_name = "N")]
    inference_dynamic_batching_block_size: Option<usize>,
    /// Sequences in one step at most [default: what KV blocks allow]
    #[arg(long, value_name = "N")]
    inference_dynamic_batching_max_requests: Option<usize>,
    /// Tokens in one step at most [default: 16384]
    #[arg(long, value_name = "N")]
    inference_dynamic_batching_max_tokens: Option<usize>,
    /// Prompt and output of one request at most [default: 2560]
    #[arg(long, value_name = "N")]
    inference_max_seq_length: Option<usize>,
    /// Threads of each rank's kernels [default: its share of all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl Generate {
    pub(super) fn run(self) -> Result<Exit, CommandError> {
        let choice = asked_platform(self.platform.as_deref())?;
        enter(&choice.platform, self.device, None)?;
        if self.output.is_dir() {
            let text = format!("--output {}: expected a file, got a folder", self.output.display());
            return Err(CommandError(text));
        }
        let engine = self.limits.over(Limits::default_plan(), 1)?;
        let tokenizer = Tokenizer::load(&tokenizer_plan(&self.model, self.tokenizer.as_deref()))
            .map_err(CommandError::from_error)?;
        let prompts = read_requests(&self.prompts, &tokenizer, self.num_tokens_to_generate)?;
        let sampling = self.sampling(&tokenizer)?;
        let store = Store::open().map_err(CommandError::from_error)?;
        let source = ModelPlan::Checkpoint { path: self.model.clone() };
        let model = PreparedModel::prepare(&source, &store, num_cores()).map_err(CommandError::from_error)?;
        let backend = Backend::open(&choice.platform, model.path(), &engine, self.device)
            .map_err(CommandError::from_error)?;
        let platform = choice.platform.to_string();
        let ends = if self.termination_id.is_none() { tokenizer.eods().to_vec() } else { Vec::new() };
        let offline = Offline { backend, platform, tokenizer: &tokenizer, sampling, ends, seed: self.seed };
        let record = offline.run(&prompts);
        let output = megatron_output(&record.requests, MegatronLayout::Offline(&Metrics::of(&record, None)));
        write_atomically(&self.output, output.as_bytes())
            .map_err(|error| CommandError(format!("{}: {error}", self.output.display())))?;
        Ok(report_failures(&record.requests))
    }

    fn sampling(&self, tokenizer: &Tokenizer) -> Result<Sampling, CommandError> {
        let termination_id = match self.termination_id {
            None => tokenizer.eod(),
            Some(-1) => None,
            Some(id) => Some(u32::try_from(id).map_err(|_| {
                CommandError(format!("--termination-id {id}: expected a token id, or -1 for none"))
            })?),
        };
        let sampling = Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            return_log_probs: self.return_log_probs,
            skip_prompt_log_probs: false,
            top_n_logprobs: 0,
            termination_id,
        };
        sampling.validate().map_err(CommandError::from_error)?;
        Ok(sampling)
    }
}

impl Limits {
    /// Limits where nobody names any.
    pub(super) fn default_plan() -> EnginePlan {
        EnginePlan {
            kv_buffer_bytes: 1 << 30,
            block_size: 256,
            max_requests: None,
            max_tokens: 16384,
            max_sequence_length: 2560,
            num_threads: None,
            features: EngineFeatures::OFF,
        }
    }

    /// `plan` with the limits that were named, for one of `num_ranks` engines on this machine.
    pub(super) fn over(&self, plan: EnginePlan, num_ranks: usize) -> Result<EnginePlan, CommandError> {
        let kv_buffer_bytes = match self.inference_dynamic_batching_buffer_size_gb {
            Some(gigabytes) if gigabytes > 0.0 && gigabytes <= 1e6 => (gigabytes * f64::from(1 << 30)) as u64,
            Some(gigabytes) => {
                let text =
                    format!("--inference-dynamic-batching-buffer-size-gb {gigabytes}: expected more than 0");
                return Err(CommandError(text));
            }
            None => plan.kv_buffer_bytes,
        };
        if self.threads == Some(0) {
            return Err(CommandError("--threads 0: expected at least 1".to_owned()));
        }
        let share = || (num_cores() / num_ranks.max(1)).max(1);
        Ok(EnginePlan {
            kv_buffer_bytes,
            block_size: self.inference_dynamic_batching_block_size.unwrap_or(plan.block_size),
            max_requests: self.inference_dynamic_batching_max_requests.or(plan.max_requests),
            max_tokens: self.inference_dynamic_batching_max_tokens.unwrap_or(plan.max_tokens),
            max_sequence_length: self.inference_max_seq_length.unwrap_or(plan.max_sequence_length),
            num_threads: Some(self.threads.or(plan.num_threads).unwrap_or_else(share)),
            features: plan.features,
        })
    }
}

/// Requests that failed are not in the output; each is said on standard error.
fn report_failures(requests: &[RequestRecord]) -> Exit {
    let mut exit = Exit::Success;
    for request in requests {
        if let RequestOutcome::Failed { reason } = &request.outcome {
            eprintln!("error: request {}: {reason}", request.id);
            exit = Exit::Failed;
        }
    }
    exit
}

/// The vocabulary that was asked for, else the model's own, else the built-in one.
pub(super) fn tokenizer_plan(model: &Path, asked: Option<&Path>) -> TokenizerPlan {
    match asked {
        Some(path) if is_hugging_face(path) => TokenizerPlan::HuggingFace { path: path.to_path_buf() },
        Some(path) => TokenizerPlan::TikToken { path: path.to_path_buf(), pattern: "v2".to_owned() },
        None if is_hugging_face(model) => TokenizerPlan::HuggingFace { path: model.to_path_buf() },
        None => TokenizerPlan::BuiltIn,
    }
}

/// A folder with a tokenizer.json, or such a file.
fn is_hugging_face(path: &Path) -> bool {
    path.join("tokenizer.json").is_file() || path.file_name().is_some_and(|name| name == "tokenizer.json")
}
