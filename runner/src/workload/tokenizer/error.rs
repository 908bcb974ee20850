//! Why a tokenizer cannot be loaded, or a text not be encoded.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::workload::json_fault::JsonFault;

/// A tokenizer that cannot be loaded, or a text that it cannot encode.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// The file is absent or unreadable.
    #[error("tokenizer file {}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is larger than any vocabulary.
    #[error("tokenizer file {}: {bytes} bytes, at most {limit} are read: is it a vocabulary?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The most that is read.
        limit: u64,
    },
    /// The file is no JSON, or JSON of another shape.
    #[error("tokenizer file {}:{line}:{column}: {}{message}", path.display(), at_prefix(at))]
    Json {
        /// The file.
        path: PathBuf,
        /// Where in the document, as in `[3].rank`; empty where the parser did not get that far.
        at: String,
        /// 1-based line.
        line: usize,
        /// 1-based column.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// The file was read, but it does not describe a usable vocabulary.
    #[error("tokenizer file {}: {fault}", path.display())]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        fault: String,
    },
    /// A pattern that is not known.
    #[error("tiktoken pattern {0:?}: expected v1 or v2 (--tiktoken-pattern)")]
    PatternName(String),
    /// A text that the vocabulary cannot express.
    #[error("tokenizer {name} cannot encode a text of {bytes} bytes: {message}")]
    Encode {
        /// The tokenizer.
        name: String,
        /// Length of the text.
        bytes: usize,
        /// The tokenizer's reason.
        message: String,
    },
}

fn at_prefix(at: &str) -> String {
    if at.is_empty() || at == "." { String::new() } else { format!("{at}: ") }
}

impl TokenizerError {
    pub(super) fn vocabulary(path: &Path, fault: impl Into<String>) -> Self {
        Self::Vocabulary { path: path.to_owned(), fault: fault.into() }
    }

    pub(super) fn json(path: &Path, at: String, error: &serde_json::Error) -> Self {
        let JsonFault { message, line, column } = error.into();
        Self::Json { path: path.to_owned(), at, line, column, message }
    }
}
