//! Prompts of the original's default workload: "hi hi hi ..." of random lengths in tokens.

use super::{Origin, OutputLength, Prompt};
use crate::workload::random::PythonRandom;
use crate::workload::tokenizer::{Tokenizer, TokenizerError};

/// `num_prompts` prompts of `min_tokens` to `max_tokens` tokens. As in the original, the text of the longest
/// one is tokenised once, cut after a drawn number of tokens, and turned back into text.
pub(in crate::workload) fn synthetic(
    tokenizer: &Tokenizer,
    random: &mut PythonRandom,
    (min_tokens, max_tokens): (usize, usize),
    num_prompts: usize,
) -> Result<Vec<Prompt>, TokenizerError> {
    let longest = tokenizer.encode(&"hi ".repeat(max_tokens))?;
    let prompt = |index| {
        let drawn = random.randint(min_tokens as u64, max_tokens as u64) as usize;
        let text = tokenizer.decode(&longest[..drawn.min(longest.len())]);
        Prompt { origin: Origin::Synthetic(index), text, output: OutputLength::Unspecified }
    };
    Ok((0..num_prompts).map(prompt).collect())
}
