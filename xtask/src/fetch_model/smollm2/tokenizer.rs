//! The byte-level BPE tokenizer of SmolLM2 as Hugging Face's tokenizer.json, from the vocabulary in the GGUF.

use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};

use crate::fetch_model::gguf::Gguf;

/// GGUF's mark of a token that text never contains by itself.
const CONTROL_TOKEN: i64 = 3;
/// A sentence and its ids in the published tokenizer.
const PROBE: (&str, [u32; 11]) =
    ("Once upon a time, there was a little girl.", [6403, 1980, 253, 655, 28, 665, 436, 253, 1838, 8180, 30]);

/// Content of tokenizer.json.
pub(super) fn tokenizer_json(gguf: &Gguf<'_>) -> anyhow::Result<Value> {
    for (key, expected) in [("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", "smollm")] {
        let got = gguf.text(key)?;
        ensure!(got == expected, "{key}: expected {expected}, got {got}");
    }
    let tokens = gguf.texts("tokenizer.ggml.tokens")?;
    let types = gguf.signed_numbers("tokenizer.ggml.token_type")?;
    ensure!(tokens.len() == types.len(), "{} tokens, but {} token types", tokens.len(), types.len());
    let vocabulary: Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), json!(id))).collect();
    ensure!(vocabulary.len() == tokens.len(), "tokenizer.ggml.tokens: a token is listed twice");
    let is_control = |&(id, _): &(usize, &&str)| types[id] == CONTROL_TOKEN;
    let added: Vec<Value> = tokens.iter().enumerate().filter(is_control).map(added_token).collect();
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{ "type": "Digits", "individual_digits": true }, byte_level()],
        },
        "post_processor": null,
        "decoder": byte_level(),
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": false,
            "vocab": vocabulary,
            "merges": gguf.texts("tokenizer.ggml.merges")?,
        },
    }))
}

/// Content of tokenizer_config.json.
pub(super) fn tokenizer_config_json(gguf: &Gguf<'_>) -> anyhow::Result<Value> {
    let tokens = gguf.texts("tokenizer.ggml.tokens")?;
    let token = |key: &str| {
        let id = gguf.size(key)?;
        tokens.get(id).copied().with_context(|| format!("{key}: {id} is no token"))
    };
    Ok(json!({
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": false,
        "bos_token": token("tokenizer.ggml.bos_token_id")?,
        "eos_token": token("tokenizer.ggml.eos_token_id")?,
        "pad_token": token("tokenizer.ggml.padding_token_id")?,
        "unk_token": token("tokenizer.ggml.unknown_token_id")?,
        "model_max_length": gguf.size("llama.context_length")?,
        "chat_template": gguf.text("tokenizer.chat_template")?,
    }))
}

/// The written file gives the published ids and the text back.
pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    let broken = |error| anyhow::anyhow!("{}: {error}", path.display());
    let tokenizer = tokenizers::Tokenizer::from_file(path).map_err(broken)?;
    let (text, expected) = PROBE;
    let ids = tokenizer.encode(text, false).map_err(broken)?.get_ids().to_vec();
    ensure!(ids == expected, "{}: {text:?}: expected ids {expected:?}, got {ids:?}", path.display());
    let decoded = tokenizer.decode(&ids, false).map_err(broken)?;
    ensure!(decoded == text, "{}: expected {text:?} back, got {decoded:?}", path.display());
    Ok(())
}

fn byte_level() -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true })
}

fn added_token((id, token): (usize, &&str)) -> Value {
    json!({
        "id": id,
        "content": token,
        "single_word": false,
        "lstrip": false,
        "rstrip": false,
        "normalized": false,
        "special": true,
    })
}
