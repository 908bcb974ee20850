//! Why prompts cannot be read.

use std::path::PathBuf;

use thiserror::Error;

use super::SkippedConversations;

/// A prompt file that cannot be used. Every message names the file and the place in it.
#[derive(Debug, Error)]
pub enum PromptError {
    /// The file is absent or unreadable.
    #[error("prompt file {}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Neither format.
    #[error(
        "prompt file {}: expected Megatron's jsonl (one object with \"text\" a line) or ShareGPT's JSON \
         (a list of conversations), got {got}", path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What the file begins with.
        got: String,
    },
    /// A line of a jsonl file is wrong.
    #[error("prompt file {}:{line}:{column}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// 1-based column, in bytes.
        column: usize,
        /// What is wrong, expected and got.
        message: String,
    },
    /// A ShareGPT file is wrong.
    #[error(
        "prompt file {}:{line}:{column}: conversation {index}{}: {message} ({index} conversations before it \
         are complete)", path.display(), if at.is_empty() { String::new() } else { format!(", {at}") }
    )]
    Conversation {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// 1-based column, in bytes.
        column: usize,
        /// 0-based index of the conversation; as many before it were read.
        index: usize,
        /// Where in the conversation, as in `conversations[3].value`.
        at: String,
        /// What is wrong, expected and got.
        message: String,
    },
    /// A ShareGPT file goes on after its list, or ends in another way than a list does.
    #[error("prompt file {}:{line}:{column}: {message} (after {conversations} conversations)", path.display())]
    AfterConversations {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// 1-based column, in bytes.
        column: usize,
        /// Conversations read.
        conversations: usize,
        /// What is wrong.
        message: String,
    },
    /// The file was read, but no prompt was in it.
    #[error("prompt file {}: no prompt in it{}", path.display(), skipped_suffix(skipped))]
    NoPrompt {
        /// The file.
        path: PathBuf,
        /// Conversations that were passed over.
        skipped: SkippedConversations,
    },
    /// More than is kept in memory.
    #[error(
        "prompt file {}: {what} is larger than {limit} bytes; take fewer prompts with \
         --prompt-file-num-truncate", path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large.
        what: String,
        /// The most that is read.
        limit: usize,
    },
}

fn skipped_suffix(skipped: &SkippedConversations) -> String {
    if skipped.total() == 0 { String::new() } else { format!(": {skipped}") }
}
