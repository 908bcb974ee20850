//! Where prompts come from: the command line, a file, or "hi hi hi".

mod error;
mod file;
mod jsonl;
mod share_gpt;
mod synthetic;

#[cfg(test)]
mod tests;

use std::fmt;

pub use error::PromptError;
pub use file::{PromptFile, SkippedConversations};
pub(super) use synthetic::synthetic;

/// A prompt before it is tokenised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Where it was written, for messages.
    pub origin: Origin,
    /// The text.
    pub text: String,
    /// What its source says about the length of the output.
    pub output: OutputLength,
}

/// What a prompt's source says about the length of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputLength {
    /// Nothing, or nobody asked (`--num-tokens-from-file` is not given).
    Unspecified,
    /// So many tokens.
    Tokens(usize),
    /// As many tokens as this reply has.
    AsLongAs(String),
}

/// Where a prompt was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The n-th of `--prompts`, from 0.
    Inline(usize),
    /// A line of a jsonl file, from 1.
    Line(usize),
    /// A conversation of a ShareGPT file, from 0.
    Conversation(usize),
    /// The n-th synthetic prompt, from 0.
    Synthetic(usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(index) => write!(f, "--prompts entry {index}"),
            Self::Line(line) => write!(f, "line {line} of the prompt file"),
            Self::Conversation(index) => write!(f, "conversation {index} of the prompt file"),
            Self::Synthetic(index) => write!(f, "synthetic prompt {index}"),
        }
    }
}

/// The prompts of `--prompts`.
pub(super) fn inline(texts: &[String]) -> Vec<Prompt> {
    let prompt = |(index, text): (usize, &String)| Prompt {
        origin: Origin::Inline(index),
        text: text.clone(),
        output: OutputLength::Unspecified,
    };
    texts.iter().enumerate().map(prompt).collect()
}
