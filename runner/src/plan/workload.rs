//! Requests: where prompts come from, when they arrive, how tokens are sampled.

use super::case_plan::{Arrival, EnginePlan, PromptSource, SamplingPlan, TerminationPlan, WorkloadPlan};
use super::engine::LOGPROBS_MODE;
use super::resolution::{PathArgument, Resolution};
use crate::engine::MOST_ALTERNATIVES;

/// More synthetic requests than this is a mistake in the rate or the duration.
const MOST_REQUESTS: f64 = 1e6;

impl Resolution<'_> {
    pub(super) fn workload(&mut self) -> Option<WorkloadPlan> {
        let seed = self.integer("--seed").map(i64::unsigned_abs);
        let rate = self.number("--incoming-requests-per-sec");
        let source = match self.performance.clone() {
            Some(plan) => {
                self.note_performance(&plan);
                self.performance_source(&plan)
            }
            None => self.prompt_source(rate),
        };
        let arrival = self.arrival(rate, seed?);
        let sampling = self.sampling(seed?);
        let num_tokens_to_generate = self.count("--num-tokens-to-generate");
        let conduct = self.conduct();
        let num_tokens_from_file = self.switch("--num-tokens-from-file");
        if num_tokens_from_file && !self.is_given("--prompt-file") {
            self.error("--num-tokens-from-file", "needs --prompt-file", None);
        }
        Some(WorkloadPlan {
            source: source?,
            arrival,
            sampling: sampling?,
            num_tokens_to_generate: num_tokens_to_generate?,
            num_tokens_from_file,
            conduct: conduct?,
            max_tokens_to_generate: self.count("--num-tokens-to-generate-max"),
            max_prompt_tokens: self.max_prompt_tokens(),
        })
    }

    /// A synthetic prompt of a performance case has exactly as many tokens as the case says.
    fn max_prompt_tokens(&mut self) -> Option<usize> {
        match &self.performance {
            Some(plan) if plan.dataset == "synthetic" => Some(plan.num_input_tokens),
            Some(_) | None => self.count("--num-tokens-to-prompt-max"),
        }
    }

    fn prompt_source(&mut self, rate: f64) -> Option<PromptSource> {
        let prompts = self.words("--prompts");
        let file = self.path("--prompt-file");
        let truncate = self.count("--prompt-file-num-truncate");
        match (prompts, file) {
            (Some(_), PathArgument::Unset(_) | PathArgument::Given { .. }) => {
                self.error("--prompts", "--prompt-file is given too: keep one of the two", None);
                None
            }
            (Some(prompts), PathArgument::Absent) => {
                self.ignore("--prompt-file-num-truncate", "has an effect with --prompt-file only");
                Some(PromptSource::Inline(prompts))
            }
            (None, PathArgument::Absent) => self.synthetic(rate),
            (None, file) => {
                Some(PromptSource::File { path: self.existing("--prompt-file", file)?, truncate })
            }
        }
    }

    fn synthetic(&mut self, rate: f64) -> Option<PromptSource> {
        let (low, high) = self.range("--num-tokens-to-prompt");
        let duration = self.number("--incoming-requests-duration");
        self.ignore("--prompt-file-num-truncate", "has an effect with --prompt-file only");
        if low < 1 || high < low || high > 1 << 24 {
            let message = format!("expected 1 <= low <= high <= {}, got [{low} {high}]", 1 << 24);
            self.error("--num-tokens-to-prompt", message, None);
            return None;
        }
        let requests = rate * duration;
        if !(1.0..=MOST_REQUESTS).contains(&requests) {
            let message =
                format!("{rate} requests per second for {duration} s make {requests} synthetic requests");
            let help = "give --prompts or --prompt-file, or a rate and duration that make 1 to 1e6 requests";
            self.error("--incoming-requests-per-sec", message, Some(help));
            return None;
        }
        let (min_tokens, max_tokens) = (usize::try_from(low).ok()?, usize::try_from(high).ok()?);
        Some(PromptSource::Synthetic { min_tokens, max_tokens, num_requests: requests as usize })
    }

    fn arrival(&mut self, rate: f64, seed: u64) -> Arrival {
        if let Some(num_requests) = self.count("--incoming-requests-per-step") {
            self.ignore("--incoming-requests-per-sec", "--incoming-requests-per-step decides");
            return Arrival::PerStep { num_requests };
        }
        if rate > 0.0 { Arrival::Poisson { requests_per_second: rate, seed } } else { Arrival::AllAtOnce }
    }

    fn sampling(&mut self, seed: u64) -> Option<SamplingPlan> {
        let temperature = self.number_in("--temperature", |t| t > 0.0, "more than 0 (greedy is --top_k: 1)");
        let top_k = self.count("--top_k");
        let top_p = self.number_in("--top_p", |p| (0.0..=1.0).contains(&p), "between 0 and 1");
        let return_log_probs = self.switch("--return-log-probs");
        let skip_prompt_log_probs = self.switch("--skip-prompt-log-probs");
        let top_n_logprobs = self.top_n_logprobs(return_log_probs);
        let stop_words = self.stop_words();
        let termination = self.termination();
        let (top_k, top_p) = (top_k?, top_p?);
        if top_k > 0 && top_p > 0.0 {
            self.report_both_filters(top_k, top_p);
            return None;
        }
        Some(SamplingPlan {
            temperature: temperature? as f32,
            top_k: u32::try_from(top_k).ok()?,
            top_p: top_p as f32,
            seed,
            return_log_probs,
            skip_prompt_log_probs,
            top_n_logprobs: top_n_logprobs?,
            stop_words: stop_words?,
            termination: termination?,
        })
    }

    /// A prompt's tokens are not drawn: a filter may have dropped them, and minus infinity is nothing to compare.
    pub(super) fn check_logprobs_mode(&mut self, engine: &EnginePlan, workload: &WorkloadPlan) {
        let SamplingPlan { return_log_probs, skip_prompt_log_probs, top_k, top_p, .. } = workload.sampling;
        let is_filtered = top_k > 0 || top_p > 0.0;
        if engine.features.processed_logprobs && return_log_probs && !skip_prompt_log_probs && is_filtered {
            let filter = if top_k > 0 { format!("--top_k {top_k}") } else { format!("--top_p {top_p}") };
            let message = format!(
                "processed logprobs of the prompt are minus infinity wherever {filter} drops a prompt token"
            );
            let help = "write --skip-prompt-log-probs: true, or sample with --top_k: 0 and no --top_p";
            self.error(LOGPROBS_MODE, message, Some(help));
        }
    }

    fn top_n_logprobs(&mut self, return_log_probs: bool) -> Option<u32> {
        const FLAG: &str = "--top-n-logprobs";
        let count = u32::try_from(self.count(FLAG)?).ok()?;
        if count > MOST_ALTERNATIVES {
            self.error(FLAG, format!("expected at most {MOST_ALTERNATIVES}, got {count}"), None);
            return None;
        }
        if count > 0 && !return_log_probs {
            self.error(FLAG, "needs --return-log-probs", Some("write --return-log-probs: true too"));
            return None;
        }
        Some(count)
    }

    fn stop_words(&mut self) -> Option<Vec<String>> {
        const FLAG: &str = "--stop-words";
        let words = self.words(FLAG).unwrap_or_default();
        if words.iter().any(String::is_empty) {
            self.error(FLAG, "expected texts that are not empty, got an empty one", None);
            return None;
        }
        Some(words)
    }

    fn report_both_filters(&mut self, top_k: usize, top_p: f64) {
        let other = if self.is_given("--top_k") {
            let file = self.inputs.case;
            let at = self.path_of("--top_k").locate(&file.text, crate::config::Part::Value);
            at.map_or_else(|| "given too".to_owned(), |at| format!("{top_k} on line {}", at.line))
        } else {
            format!("{top_k} by default")
        };
        let message = format!("is {top_p}, and --top_k is {other}: only one of them may be more than 0");
        self.error("--top_p", message, Some("write --top_k: 0 to sample by --top_p"));
    }

    fn termination(&mut self) -> Option<TerminationPlan> {
        match self.integer("--termination-id") {
            None => Some(TerminationPlan::TokenizerEod),
            Some(-1) => Some(TerminationPlan::Never),
            Some(id) => match u32::try_from(id) {
                Ok(id) => Some(TerminationPlan::Id(id)),
                Err(_) => {
                    self.error("--termination-id", format!("expected a token id or -1, got {id}"), None);
                    None
                }
            },
        }
    }
}
