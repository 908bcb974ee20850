//! Puts a workload together: prompts, output lengths, timetable, sampling.

#[cfg(test)]
mod tests;

use thiserror::Error;

use super::arrival::{self, ArrivalError};
use super::prompts::{self, Origin, OutputLength, Prompt, PromptError, PromptFile, SkippedConversations};
use super::random::PythonRandom;
use super::request::{TimedRequest, Workload};
use super::tokenizer::{Tokenizer, TokenizerError};
use crate::metrics::WorkloadRecord;
use crate::plan::{Arrival, PromptSource, SamplingPlan, TerminationPlan, WorkloadPlan};

/// More requests than any run has; guards against a slip in a rate or a duration.
const MAX_REQUESTS: usize = 1_000_000;

/// A workload that cannot be built from its plan.
#[derive(Debug, Error)]
pub enum WorkloadError {
    /// The prompt file.
    #[error(transparent)]
    Prompts(#[from] PromptError),
    /// The timetable.
    #[error(transparent)]
    Arrival(#[from] ArrivalError),
    /// A text that the tokenizer cannot express.
    #[error("{origin}: {source}")]
    Tokenize {
        /// The prompt.
        origin: Origin,
        /// The tokenizer's reason.
        source: TokenizerError,
    },
    /// Nothing to do.
    #[error("the workload has no request: {0}")]
    NoRequest(&'static str),
    /// Too much to do.
    #[error(
        "{0} requests, at most {MAX_REQUESTS} are run: check --prompt-file-num-truncate, \
         --incoming-requests-per-sec and --incoming-requests-duration"
    )]
    TooMany(usize),
    /// A prompt without tokens.
    #[error("{origin} ({text:?}) has no token: expected at least one after tokenisation")]
    Empty {
        /// The prompt.
        origin: Origin,
        /// Its text, or the beginning of it.
        text: String,
    },
    /// A prompt that leaves no room for output.
    #[error(
        "{origin}: {prompt_tokens} prompt tokens leave no room to generate within {max_sequence_length} \
         (--inference-max-seq-length): raise it, or cut prompts with --num-tokens-to-prompt-max"
    )]
    TooLong {
        /// The prompt.
        origin: Origin,
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// The limit.
        max_sequence_length: usize,
    },
    /// Nothing would be generated.
    #[error("{0}: no token to generate: expected 1 or more (--num-tokens-to-generate)")]
    NoOutput(Origin),
    /// The plan asks for a length that the prompt's source does not have.
    #[error("--num-tokens-from-file needs --prompt-file: the prompts have no output lengths of their own")]
    NoLengths,
    /// The prompts' range is upside down or beyond the engine's limit.
    #[error(
        "--num-tokens-to-prompt {min_tokens} {max_tokens}: expected 1 <= first <= second <= {max_sequence_length} \
         (--inference-max-seq-length)"
    )]
    Range {
        /// Shortest prompt.
        min_tokens: usize,
        /// Longest prompt.
        max_tokens: usize,
        /// The limit.
        max_sequence_length: usize,
    },
    /// Nobody says which token ends a sequence.
    #[error(
        "tokenizer {tokenizer} has no end-of-document token: pass --termination-id N, or -1 to generate every \
         request to its full length"
    )]
    NoEod {
        /// The tokenizer.
        tokenizer: String,
    },
}

/// All requests of `plan` in the order of their ids. The same plan gives the same workload.
/// `max_sequence_length`: prompt + output of one request at most, in tokens. As in the original's engine, an
/// output that would pass it is cut; a prompt that fills it is an error.
pub fn build(
    plan: &WorkloadPlan,
    tokenizer: &Tokenizer,
    max_sequence_length: usize,
) -> Result<Workload, WorkloadError> {
    let sampling = resolve_sampling(plan.sampling.clone(), tokenizer)?;
    let (PromptFile { prompts, skipped }, offsets) =
        prompts_with_offsets(plan, tokenizer, max_sequence_length)?;
    let mut requests = Vec::with_capacity(prompts.len());
    for ((index, prompt), arrival_s) in prompts.into_iter().enumerate().zip(offsets) {
        let origin = prompt.origin;
        let output_tokens = output_tokens(plan, tokenizer, &prompt, index)?;
        let (text, prompt_tokens) = tokenize(prompt, tokenizer, plan.max_prompt_tokens)?;
        let room = max_sequence_length.saturating_sub(prompt_tokens.len());
        if room == 0 {
            let prompt_tokens = prompt_tokens.len();
            return Err(WorkloadError::TooLong { origin, prompt_tokens, max_sequence_length });
        }
        requests.push(TimedRequest {
            arrival_s,
            prompt: Some(text),
            prompt_tokens,
            num_tokens_to_generate: output_tokens.min(room),
            sampling: sampling.clone(),
        });
    }
    Ok(Workload { requests, record: WorkloadRecord { skipped, ..WorkloadRecord::default() } })
}

/// The sampling of every request: who ends a sequence is settled, the rest as planned.
fn resolve_sampling(plan: SamplingPlan, tokenizer: &Tokenizer) -> Result<SamplingPlan, WorkloadError> {
    let termination = match plan.termination {
        settled @ (TerminationPlan::Never | TerminationPlan::Id(_)) => settled,
        TerminationPlan::TokenizerEod => match tokenizer.eod() {
            Some(id) => TerminationPlan::Id(id),
            None => return Err(WorkloadError::NoEod { tokenizer: tokenizer.name().to_owned() }),
        },
    };
    Ok(SamplingPlan { termination, ..plan })
}

fn prompts_with_offsets(
    plan: &WorkloadPlan,
    tokenizer: &Tokenizer,
    max_sequence_length: usize,
) -> Result<(PromptFile, Vec<f64>), WorkloadError> {
    let all = |prompts| PromptFile { prompts, skipped: SkippedConversations::default() };
    let has_lengths = matches!(plan.source, PromptSource::File { .. });
    if plan.num_tokens_from_file && !has_lengths {
        return Err(WorkloadError::NoLengths);
    }
    let file = match &plan.source {
        PromptSource::Inline(texts) => all(prompts::inline(texts)),
        PromptSource::File { path, truncate } => {
            PromptFile::read(path, *truncate, plan.num_tokens_from_file)?
        }
        &PromptSource::Synthetic { min_tokens, max_tokens, num_requests } => {
            if min_tokens == 0 || min_tokens > max_tokens || max_tokens > max_sequence_length {
                return Err(WorkloadError::Range { min_tokens, max_tokens, max_sequence_length });
            }
            check_number(num_requests, "--incoming-requests-per-sec x -duration is less than 1")?;
            let (offsets, random) = arrival::offsets(plan.arrival, num_requests)?;
            // Without a Poisson process the original draws from the generator as it was seeded at start-up.
            let mut random = random.unwrap_or_else(|| PythonRandom::new(plan.sampling.seed));
            let range = (min_tokens, max_tokens);
            let prompts = prompts::synthetic(tokenizer, &mut random, range, num_requests)
                .map_err(|source| WorkloadError::Tokenize { origin: Origin::Synthetic(0), source })?;
            return Ok((all(prompts), offsets));
        }
    };
    check_number(file.prompts.len(), "no prompt is given (--prompts, --prompt-file)")?;
    let (offsets, _) = arrival::offsets(plan.arrival, file.prompts.len())?;
    Ok((file, offsets))
}

fn check_number(num_requests: usize, if_none: &'static str) -> Result<(), WorkloadError> {
    match num_requests {
        0 => Err(WorkloadError::NoRequest(if_none)),
        1..=MAX_REQUESTS => Ok(()),
        _ => Err(WorkloadError::TooMany(num_requests)),
    }
}

/// Tokens that request `index` generates at most: what its source says, else the plan; more by its place in
/// the group if requests come in groups (as in Megatron's coordinator script); then the cap.
fn output_tokens(
    plan: &WorkloadPlan,
    tokenizer: &Tokenizer,
    prompt: &Prompt,
    index: usize,
) -> Result<usize, WorkloadError> {
    let own = match &prompt.output {
        OutputLength::Unspecified => plan.num_tokens_to_generate,
        OutputLength::Tokens(tokens) => *tokens,
        OutputLength::AsLongAs(reply) => tokenizer
            .encode(reply)
            .map_err(|source| WorkloadError::Tokenize { origin: prompt.origin, source })?
            .len(),
    };
    let more = match plan.arrival {
        Arrival::PerStep { num_requests } => index % num_requests.max(1),
        Arrival::AllAtOnce | Arrival::Poisson { .. } => 0,
    };
    match own.saturating_add(more).min(plan.max_tokens_to_generate.unwrap_or(usize::MAX)) {
        0 => Err(WorkloadError::NoOutput(prompt.origin)),
        tokens => Ok(tokens),
    }
}

/// Text and tokens of a prompt: BOS tokens in front are dropped, as the original does; a prompt that is cut
/// has the text of what is left.
fn tokenize(
    prompt: Prompt,
    tokenizer: &Tokenizer,
    max_tokens: Option<usize>,
) -> Result<(String, Vec<u32>), WorkloadError> {
    let Prompt { origin, mut text, .. } = prompt;
    let mut tokens = tokenizer.encode(&text).map_err(|source| WorkloadError::Tokenize { origin, source })?;
    let num_bos = tokens.iter().take_while(|token| Some(**token) == tokenizer.bos()).count();
    tokens.drain(..num_bos);
    if let Some(limit) = max_tokens.filter(|limit| tokens.len() > *limit) {
        tokens.truncate(limit);
        text = tokenizer.decode(&tokens);
    }
    if tokens.is_empty() {
        let text = text.chars().take(40).collect();
        return Err(WorkloadError::Empty { origin, text });
    }
    Ok((text, tokens))
}
