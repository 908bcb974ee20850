//! Reads TikTokenizer vocabularies: Megatron's JSON list and Mistral's `tekken.json`, told apart by content.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::TokenizerError;
use super::pattern::Pattern;
use super::tiktoken::{NUM_SPECIALS, VOCAB_SIZE, Vocabulary, megatron_specials};
use crate::workload::json_object::Object;

/// More entries than any published vocabulary has, several times over.
const MAX_ENTRIES: usize = 2_000_000;

/// More special tokens than any published vocabulary has; their names become one regular expression.
const MAX_SPECIALS: usize = 4096;

/// Longer than any token of a published vocabulary.
const MAX_TOKEN_BYTES: usize = 4096;

/// One token; `token_str` and anything else is for people.
#[derive(Deserialize)]
struct RawToken {
    rank: u64,
    token_bytes: String,
}

/// `tekken.json` (mistral-common, `tokens/tokenizers/tekken.py`).
#[derive(Deserialize)]
struct RawTekken {
    config: RawConfig,
    vocab: Vec<Object<RawToken>>,
    special_tokens: Option<Vec<Object<RawSpecial>>>,
}

#[derive(Deserialize)]
struct RawConfig {
    pattern: String,
    default_vocab_size: Option<usize>,
    default_num_special_tokens: Option<usize>,
}

#[derive(Deserialize)]
struct RawSpecial {
    rank: usize,
    token_str: String,
}

/// The vocabulary in `text`, the content of the file at `path`. `pattern` is used where the file has none.
pub(super) fn parse(path: &Path, text: &[u8], pattern: Pattern) -> Result<Vocabulary, TokenizerError> {
    let fault = |fault: String| TokenizerError::vocabulary(path, fault);
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => Err(fault("empty: expected a JSON list of tokens, or tekken.json's object".to_owned())),
        Some(b'{') => tekken(read_json(path, text)?).map_err(fault),
        Some(_) => {
            let entries: Vec<Object<RawToken>> = read_json(path, text)?;
            let tokens = tokens_by_rank(entries, VOCAB_SIZE - NUM_SPECIALS).map_err(fault)?;
            Ok(Vocabulary { tokens, specials: megatron_specials(), pattern })
        }
    }
}

fn read_json<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T, TokenizerError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| TokenizerError::json(path, error.path().to_string(), error.inner()))?;
    json.end().map_err(|error| TokenizerError::json(path, String::new(), &error))?;
    Ok(value)
}

fn tekken(file: RawTekken) -> Result<Vocabulary, String> {
    let RawConfig { pattern, default_vocab_size, default_num_special_tokens } = file.config;
    let pattern = Pattern::by_text(&pattern).ok_or_else(|| {
        format!(
            "config.pattern {:?} is not a known one: expected tekken's, cl100k_base's or o200k_base's",
            excerpt(&pattern)
        )
    })?;
    let num_specials = default_num_special_tokens.unwrap_or(NUM_SPECIALS);
    let vocab_size = default_vocab_size.unwrap_or(VOCAB_SIZE);
    if num_specials < 3
        || num_specials > MAX_SPECIALS
        || num_specials >= vocab_size
        || vocab_size > MAX_ENTRIES
    {
        return Err(format!(
            "config.default_num_special_tokens {num_specials} and config.default_vocab_size {vocab_size}: \
             expected 3 <= special tokens <= {MAX_SPECIALS}, special tokens < vocabulary size <= {MAX_ENTRIES}"
        ));
    }
    let specials = match file.special_tokens {
        Some(named) => named_specials(named.into_iter().map(|Object(named)| named).collect(), num_specials)?,
        None => megatron_specials().into_iter().take(num_specials).collect(),
    };
    if specials.len() != num_specials {
        return Err(format!(
            "config.default_num_special_tokens is {num_specials}, but \"special_tokens\" is absent: \
             its names are only known up to {NUM_SPECIALS}"
        ));
    }
    let tokens = tokens_by_rank(file.vocab, vocab_size - num_specials)?;
    Ok(Vocabulary { tokens, specials, pattern })
}

/// Names of the special tokens: those that the file gives, in order of rank, then numbered ones.
fn named_specials(mut named: Vec<RawSpecial>, num_specials: usize) -> Result<Vec<String>, String> {
    if named.len() > num_specials {
        return Err(format!(
            "special_tokens has {} entries, config.default_num_special_tokens allows {num_specials}",
            named.len()
        ));
    }
    named.sort_by_key(|special| special.rank);
    let mut ids = HashMap::new();
    let mut specials = Vec::with_capacity(num_specials);
    for (id, RawSpecial { rank, token_str }) in named.into_iter().enumerate() {
        if rank != id {
            return Err(format!(
                "special_tokens: expected rank {id} next, got {rank}: ranks go 0, 1, 2, ..."
            ));
        }
        if token_str.is_empty() || token_str.len() > MAX_TOKEN_BYTES {
            let len = token_str.len();
            return Err(format!(
                "special token of rank {rank}: a name of {len} bytes, expected 1 to {MAX_TOKEN_BYTES}"
            ));
        }
        if let Some(earlier) = ids.insert(token_str.clone(), rank) {
            return Err(format!("special tokens of ranks {earlier} and {rank} are both {token_str:?}"));
        }
        specials.push(token_str);
    }
    let numbered = specials.len()..num_specials;
    specials.extend(numbered.map(|id| format!("<SPECIAL_{id}>")).filter(|name| !ids.contains_key(name)));
    if specials.len() < num_specials {
        return Err("special_tokens names a <SPECIAL_n> beyond the listed ranks".to_owned());
    }
    Ok(specials)
}

/// Token bytes in order of rank, the first `limit` of them.
fn tokens_by_rank(entries: Vec<Object<RawToken>>, limit: usize) -> Result<Vec<Vec<u8>>, String> {
    let len = entries.len();
    if len > MAX_ENTRIES {
        return Err(format!("{len} tokens, at most {MAX_ENTRIES} are read"));
    }
    let mut by_rank: Vec<Option<(usize, Vec<u8>)>> = vec![None; len];
    for (index, Object(entry)) in entries.into_iter().enumerate() {
        let bytes = decode_entry(index, &entry)?;
        let Some(slot) = usize::try_from(entry.rank).ok().and_then(|rank| by_rank.get_mut(rank)) else {
            let RawToken { rank, .. } = entry;
            return Err(format!(
                "entry {index}: rank {rank}, expected one below {len} (ranks are dense: {len} tokens, 0 to {})",
                len.saturating_sub(1)
            ));
        };
        if let Some((earlier, _)) = slot {
            return Err(format!("entry {index}: rank {} was already given by entry {earlier}", entry.rank));
        }
        *slot = Some((index, bytes));
    }
    by_rank.truncate(limit);
    // Every slot is filled: as many entries as slots, and no slot twice.
    let ranked: Vec<(usize, Vec<u8>)> = by_rank.into_iter().flatten().collect();
    check_bytes(&ranked)?;
    Ok(ranked.into_iter().map(|(_, bytes)| bytes).collect())
}

fn decode_entry(index: usize, entry: &RawToken) -> Result<Vec<u8>, String> {
    let text = &entry.token_bytes;
    let bytes = BASE64_STANDARD
        .decode(text)
        .map_err(|error| format!("entry {index}: token_bytes {:?} is not base64: {error}", excerpt(text)))?;
    match bytes.len() {
        0 => Err(format!("entry {index}: token_bytes is empty")),
        1..=MAX_TOKEN_BYTES => Ok(bytes),
        len => Err(format!("entry {index}: a token of {len} bytes, at most {MAX_TOKEN_BYTES} are read")),
    }
}

/// No token twice, and every single byte is a token: else some texts could not be encoded.
fn check_bytes(ranked: &[(usize, Vec<u8>)]) -> Result<(), String> {
    let mut seen = HashMap::with_capacity(ranked.len());
    for (index, bytes) in ranked {
        if let Some(earlier) = seen.insert(bytes.as_slice(), index) {
            return Err(format!("entries {earlier} and {index} have the same token_bytes"));
        }
    }
    let missing: Vec<u8> = (0..=u8::MAX).filter(|byte| !seen.contains_key([*byte].as_slice())).collect();
    match missing.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "{} of the 256 single bytes are no tokens, the first is 0x{first:02x}: text with them could not be \
             encoded",
            missing.len()
        )),
    }
}

fn excerpt(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}
