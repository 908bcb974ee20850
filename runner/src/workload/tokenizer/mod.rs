//! Turns text into tokens and back: one face over Megatron's TikTokenizer, the built-in vocabulary and
//! Hugging Face's tokenizers.

mod builtin;
mod error;
mod hugging_face;
mod pattern;
mod tiktoken;
mod vocabulary;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

pub use error::TokenizerError;

use crate::plan::TokenizerPlan;
use hugging_face::HuggingFace;
use pattern::Pattern;
use tiktoken::TikToken;

/// Larger than any published vocabulary; a larger file is something else.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// A vocabulary with its encoder and decoder. Clones share it.
#[derive(Clone)]
pub struct Tokenizer {
    name: String,
    engine: Engine,
}

#[derive(Clone)]
enum Engine {
    TikToken(Arc<TikToken>),
    HuggingFace(Arc<HuggingFace>),
}

impl Tokenizer {
    /// Loads what `plan` names. The built-in vocabulary takes about a tenth of a second once per process.
    pub fn load(plan: &TokenizerPlan) -> Result<Self, TokenizerError> {
        match plan {
            TokenizerPlan::BuiltIn => {
                Ok(Self { name: builtin::NAME.to_owned(), engine: Engine::TikToken(builtin::load()?) })
            }
            TokenizerPlan::TikToken { path, pattern } => Self::tik_token(path, &read(path)?, pattern),
            TokenizerPlan::HuggingFace { path } => {
                let (file, engine) = HuggingFace::load(path)?;
                Ok(Self { name: file.display().to_string(), engine: Engine::HuggingFace(Arc::new(engine)) })
            }
        }
    }

    /// A TikTokenizer from `content`, the bytes of a vocabulary file; `path` is only named in errors.
    /// `pattern` is `v1` or `v2` and applies to files that carry no pattern of their own.
    pub fn tik_token(path: &Path, content: &[u8], pattern: &str) -> Result<Self, TokenizerError> {
        let pattern =
            Pattern::by_name(pattern).ok_or_else(|| TokenizerError::PatternName(pattern.to_owned()))?;
        let vocabulary = vocabulary::parse(path, content, pattern)?;
        let engine = TikToken::new(vocabulary).map_err(|fault| TokenizerError::vocabulary(path, fault))?;
        Ok(Self { name: path.display().to_string(), engine: Engine::TikToken(Arc::new(engine)) })
    }

    /// What it was loaded from, for messages and reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tokens of `text`, without a BOS token in front. Names of special tokens in the text become those
    /// tokens. Fails only on texts that the vocabulary cannot express, and on runs of more than about a
    /// million equal-class characters (the pattern engine's limit).
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoded = match &self.engine {
            Engine::TikToken(engine) => engine.encode(text),
            Engine::HuggingFace(engine) => engine.encode(text),
        };
        encoded.map_err(|message| TokenizerError::Encode {
            name: self.name.clone(),
            bytes: text.len(),
            message,
        })
    }

    /// Tokens of a prompt as the original's engine makes them of text: BOS tokens that the text itself begins with are
    /// dropped, and one is put in front iff `add_bos` says so.
    pub fn encode_prompt(&self, text: &str, add_bos: bool) -> Result<Vec<u32>, TokenizerError> {
        let tokens = self.encode(text)?;
        let Some(bos) = self.bos() else { return Ok(tokens) };
        let content = tokens.into_iter().skip_while(|token| *token == bos);
        Ok(add_bos.then_some(bos).into_iter().chain(content).collect())
    }

    /// Text of `tokens`. Special tokens are dropped; bytes that are no UTF-8 become U+FFFD, and so does
    /// each id that the vocabulary lacks (a random model's padded vocabulary is larger than its
    /// tokenizer's).
    pub fn decode(&self, tokens: &[u32]) -> String {
        match &self.engine {
            Engine::TikToken(engine) => engine.decode(tokens),
            Engine::HuggingFace(engine) => engine.decode(tokens),
        }
    }

    /// The token that ends a document, where the vocabulary has one.
    pub fn eod(&self) -> Option<u32> {
        self.eods().first().copied()
    }

    /// All tokens that end a document, the main one first. Some Hugging Face models have several.
    pub fn eods(&self) -> &[u32] {
        match &self.engine {
            Engine::TikToken(_) => &[tiktoken::EOD],
            Engine::HuggingFace(engine) => engine.eods(),
        }
    }

    /// The token that begins a sequence, where the vocabulary has one.
    pub fn bos(&self) -> Option<u32> {
        match &self.engine {
            Engine::TikToken(_) => Some(tiktoken::BOS),
            Engine::HuggingFace(engine) => engine.bos(),
        }
    }

    /// Every id that `encode` gives is below this. A model's vocabulary must be at least as large.
    pub fn vocab_size(&self) -> usize {
        match &self.engine {
            Engine::TikToken(engine) => engine.vocab_size() as usize,
            Engine::HuggingFace(engine) => engine.vocab_size() as usize,
        }
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("name", &self.name)
            .field("vocab_size", &self.vocab_size())
            .finish_non_exhaustive()
    }
}

/// The whole file, if it is not absurdly large.
fn read(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    let unreadable = |source| TokenizerError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(TokenizerError::TooLarge { path: path.to_owned(), bytes, limit: MAX_FILE_BYTES });
    }
    let mut content = Vec::with_capacity(bytes as usize);
    file.take(MAX_FILE_BYTES).read_to_end(&mut content).map_err(unreadable)?;
    Ok(content)
}
