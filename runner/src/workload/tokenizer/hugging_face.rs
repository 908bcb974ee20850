//! Hugging Face's `tokenizer.json`, with the ids of its special tokens from the files beside it.

use std::collections::HashSet;
use std::panic;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{TokenizerError, read};

/// A tokenizer of the `tokenizers` crate and what it does not know itself.
pub(super) struct HuggingFace {
    inner: tokenizers::Tokenizer,
    eods: Vec<u32>,
    bos: Option<u32>,
    vocab_size: u32,
}

impl HuggingFace {
    /// Loads `path`, a `tokenizer.json` or a folder that has one; gives the file that was read.
    pub(super) fn load(path: &Path) -> Result<(PathBuf, Self), TokenizerError> {
        let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        let mut this = Self::parse(&file, &read(&file)?)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        this.bos = this.special_ids(folder, "bos")?.first().copied();
        this.eods = this.special_ids(folder, "eos")?;
        Ok((file, this))
    }

    /// The tokenizer in `content`, the bytes of the file at `path`, without the files beside it.
    pub(super) fn parse(path: &Path, content: &[u8]) -> Result<Self, TokenizerError> {
        // Syntax first: the crate's own message for broken JSON does not always say where.
        serde_json::from_slice::<Value>(content)
            .map_err(|error| TokenizerError::json(path, String::new(), &error))?;
        // The crate unwraps while it reads some parts, such as a normaliser's precompiled table.
        let mut inner = panic::catch_unwind(|| tokenizers::Tokenizer::from_bytes(content))
            .unwrap_or_else(|_| Err("its reader panicked, the file is damaged".into()))
            .map_err(|error| TokenizerError::vocabulary(path, format!("no tokenizer.json: {error}")))?;
        // Files keep the truncation and padding of their training; a prompt is neither cut nor filled up.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| TokenizerError::vocabulary(path, format!("no tokenizer.json: {error}")))?;
        let vocab_size = inner.get_vocab(true).into_values().max().map_or(0, |id| id.saturating_add(1));
        if vocab_size == 0 {
            return Err(TokenizerError::vocabulary(path, "the vocabulary has no token"));
        }
        Ok(Self { inner, eods: Vec::new(), bos: None, vocab_size })
    }

    /// Ids of the `bos` or `eos` token: `tokenizer_config.json` by name (what Megatron uses), then
    /// `generation_config.json` and `config.json` by number. Absent files and keys are fine.
    fn special_ids(&self, folder: &Path, role: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids: Vec<u32> = self.named_special(folder, role)?.into_iter().collect();
        for name in ["generation_config.json", "config.json"] {
            let path = folder.join(name);
            let key = format!("{role}_token_id");
            let Some(value) = read_key(&path, &key)? else { continue };
            let listed = numbers(&value).ok_or_else(|| {
                let fault = format!("{key}: expected a token id, a list of them, or null, got {value}");
                TokenizerError::vocabulary(&path, fault)
            })?;
            ids.extend(listed);
        }
        let mut seen = HashSet::new();
        ids.retain(|id| seen.insert(*id));
        Ok(ids)
    }

    /// The id of `bos_token` or `eos_token` in `tokenizer_config.json`.
    fn named_special(&self, folder: &Path, role: &str) -> Result<Option<u32>, TokenizerError> {
        let path = folder.join("tokenizer_config.json");
        let token = read_key(&path, &format!("{role}_token"))?;
        let Some(name) = token.as_ref().and_then(token_name) else { return Ok(None) };
        self.inner.token_to_id(name).map(Some).ok_or_else(|| {
            TokenizerError::vocabulary(&path, format!("{role}_token {name:?} is not in tokenizer.json"))
        })
    }

    /// Tokens of `text`; no BOS or EOS is added.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let encoding = self.inner.encode_fast(text, false).map_err(|error| error.to_string())?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of `tokens`: special tokens dropped, ids that the vocabulary lacks as U+FFFD.
    pub(super) fn decode(&self, tokens: &[u32]) -> String {
        let known = |id: &u32| self.inner.id_to_token(*id).is_some();
        let mut text = String::new();
        for run in tokens.chunk_by(|left, right| known(left) == known(right)) {
            if run.first().is_some_and(known) {
                // A decoder that fails loses its text, not the run.
                text.push_str(&self.inner.decode(run, true).unwrap_or_else(|_| "\u{fffd}".repeat(run.len())));
            } else {
                text.extend(run.iter().map(|_| '\u{fffd}'));
            }
        }
        text
    }

    pub(super) fn eods(&self) -> &[u32] {
        &self.eods
    }

    pub(super) fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Ids are below this.
    pub(super) fn vocab_size(&self) -> u32 {
        self.vocab_size
    }
}

/// The value of `key` in the JSON object in `path`; `None` if there is no such file or key.
fn read_key(path: &Path, key: &str) -> Result<Option<Value>, TokenizerError> {
    if !path.exists() {
        return Ok(None);
    }
    let value: Value = serde_json::from_slice(&read(path)?)
        .map_err(|error| TokenizerError::json(path, String::new(), &error))?;
    let Value::Object(mut object) = value else {
        return Err(TokenizerError::vocabulary(path, "expected a JSON object"));
    };
    Ok(object.remove(key))
}

/// `"</s>"`, or `{"content": "</s>", ...}`.
fn token_name(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

/// `null`, `2` or `[2, 3]`; `None` for anything else.
fn numbers(value: &Value) -> Option<Vec<u32>> {
    let number = |value: &Value| u32::try_from(value.as_u64()?).ok();
    if value.is_null() {
        return Some(Vec::new());
    }
    if let Some(list) = value.as_array() {
        list.iter().map(number).collect()
    } else {
        Some(vec![number(value)?])
    }
}
