//! `--prompt-file`: finds out which format a file has and reads it with bounded memory.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Prompt, PromptError, jsonl, share_gpt};

/// Most bytes of prompts and replies that are kept from one file.
pub(super) const MAX_KEPT_BYTES: usize = 1 << 30;

/// What to take from a prompt file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selection {
    /// The first n prompts only (`--prompt-file-num-truncate`).
    pub(super) truncate: Option<usize>,
    /// Output lengths too (`--num-tokens-from-file`).
    pub(super) with_lengths: bool,
}

impl Selection {
    /// Whether `num_prompts` prompts are all that was asked for.
    pub(super) fn is_complete(self, num_prompts: usize) -> bool {
        self.truncate.is_some_and(|limit| num_prompts >= limit)
    }
}

/// Prompts of one file, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromptFile {
    /// The prompts; not empty.
    pub prompts: Vec<Prompt>,
    /// Conversations of a ShareGPT file that were passed over. A jsonl file has none: each line counts.
    pub skipped: SkippedConversations,
}

/// How many conversations were passed over, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedConversations {
    /// No turn of a human.
    pub no_human_turn: usize,
    /// The first human turn or the reply to it is empty.
    pub empty_turn: usize,
    /// Nobody replied to the first human turn.
    pub no_reply: usize,
}

impl SkippedConversations {
    /// All of them.
    pub fn total(&self) -> usize {
        self.no_human_turn + self.empty_turn + self.no_reply
    }
}

impl fmt::Display for SkippedConversations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} conversations skipped ({} without a human turn, {} with an empty turn, {} without a reply)",
            self.total(),
            self.no_human_turn,
            self.empty_turn,
            self.no_reply
        )
    }
}

impl PromptFile {
    /// Reads the first `truncate` prompts of `path`, all if `None`; with output lengths if `with_lengths`.
    /// Reading stops there: what follows is not looked at.
    pub fn read(path: &Path, truncate: Option<usize>, with_lengths: bool) -> Result<Self, PromptError> {
        let file =
            File::open(path).map_err(|source| PromptError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(path, BufReader::with_capacity(1 << 20, file), truncate, with_lengths)
    }

    /// Like [`PromptFile::read`], from `reader`; `path` is only named in errors.
    pub fn parse(
        path: &Path,
        mut reader: impl BufRead,
        truncate: Option<usize>,
        with_lengths: bool,
    ) -> Result<Self, PromptError> {
        let unreadable = |source| PromptError::Unreadable { path: path.to_owned(), source };
        let selection = Selection { truncate, with_lengths };
        let start = reader.fill_buf().map_err(unreadable)?;
        let first = start.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
        let format = |got: &str| PromptError::Format { path: path.to_owned(), got: got.to_owned() };
        let this = match first {
            Some(b'{') => jsonl::read(path, reader, selection)?,
            Some(b'[') => share_gpt::read(path, reader, selection)?,
            _ if start.is_empty() => return Err(format("an empty file")),
            _ if start.starts_with(b"\xef\xbb\xbf") => {
                return Err(format("a byte order mark: save the file as UTF-8 without one"));
            }
            _ if start.starts_with(b"\x1f\x8b") => return Err(format("gzip data: unpack the file")),
            Some(byte) => return Err(format(&format!("a file that begins with {:?}", char::from(byte)))),
            None => return Err(format("nothing but white space at its beginning")),
        };
        if this.prompts.is_empty() && truncate != Some(0) {
            return Err(PromptError::NoPrompt { path: path.to_owned(), skipped: this.skipped });
        }
        Ok(this)
    }
}
