//! The engine in this process, and its results as a run's record.

use serde_json::Value;

use super::requests::Request;
use crate::engine::{Backend, EngineRequest, FinishedRequest, OfflineRun, OutputLength, Sampling, generate};
use crate::metrics::{
    Clock, RECORD_SCHEMA_VERSION, RankRecord, RequestOutcome, RequestRecord, RunRecord, TokenArrival,
    WallTime,
};
use crate::workload::Tokenizer;

/// One engine and what it needs.
pub(super) struct Offline<'a> {
    pub(super) backend: Backend,
    /// Name of the platform that the backend is of.
    pub(super) platform: String,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) sampling: Sampling,
    /// Tokens that end a sequence besides the one that `sampling` names.
    pub(super) ends: Vec<u32>,
    pub(super) seed: u64,
}

impl Offline<'_> {
    /// Runs all requests to their ends.
    pub(super) fn run(self, prompts: &[Request]) -> RunRecord {
        let started_at = WallTime::now().to_string();
        let Backend { model, limits, device, num_kv_blocks } = self.backend;
        let requests = (0u64..).zip(prompts).map(|(id, request)| EngineRequest {
            id,
            prompt: request.tokens.clone(),
            output_length: OutputLength::Generate(request.num_tokens_to_generate as i64),
            sampling: self.sampling,
            ends: self.ends.clone(),
        });
        let run = generate(model, limits, self.seed, Clock::start(), requests.collect(), |_step| {});
        let rank = rank_record(&run, device, num_kv_blocks as u64);
        let results = (0u64..).zip(prompts).zip(run.results);
        let requests = results.map(|((id, request), result)| record(id, request, result, self.tokenizer));
        RunRecord {
            schema_version: RECORD_SCHEMA_VERSION,
            case: "generate".to_owned(),
            platform: self.platform,
            commit: None,
            started_at,
            num_parameters: 0,
            model_fingerprint: String::new(),
            data_parallel: 1,
            repeat: 0,
            startup_s: 0.0,
            plan: Value::Null,
            machine_limits: None,
            workload: Default::default(),
            requests: requests.collect(),
            ranks: vec![rank],
            incidents: Vec::new(),
            signals: Vec::new(),
            rank_faults: Vec::new(),
            ranks_memory_bytes: None,
            parent_cpu: None,
        }
    }
}

fn rank_record(run: &OfflineRun, device: String, num_kv_blocks: u64) -> RankRecord {
    RankRecord {
        pid: std::process::id(),
        num_requests_finished: run.statistics.num_requests_finished,
        num_steps: run.statistics.num_steps,
        num_prefill_tokens: run.statistics.num_prefill_tokens,
        num_decode_tokens: run.statistics.num_decode_tokens,
        num_kv_blocks,
        device,
        ..RankRecord::default()
    }
}

fn record(
    id: u64,
    request: &Request,
    result: Result<FinishedRequest, String>,
    tokenizer: &Tokenizer,
) -> RequestRecord {
    let mut record = RequestRecord {
        id,
        prompt: request.text.clone(),
        num_prompt_tokens: request.tokens.len(),
        num_tokens_to_generate: request.num_tokens_to_generate,
        num_dispatches: 1,
        ..RequestRecord::default()
    };
    match result {
        Err(reason) => record.outcome = RequestOutcome::Failed { reason },
        Ok(done) => {
            record.outcome = RequestOutcome::Completed;
            record.sent_s = done.submitted_s;
            record.finished_s = Some(done.finished_s);
            record.arrivals =
                done.first_token_s.map(|at_s| TokenArrival { at_s, num_tokens: 1 }).into_iter().collect();
            record.generated_text = tokenizer.decode(&done.generated_tokens);
            record.generated_tokens = done.generated_tokens;
            record.prompt_logprobs = done.prompt_logprobs;
            record.generated_logprobs = done.generated_logprobs;
        }
    }
    record
}
