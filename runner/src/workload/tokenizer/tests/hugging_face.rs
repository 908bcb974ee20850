//! Hugging Face folders: a byte-level tokenizer made here, and folders that are refused.

use std::fs;

use serde_json::{Value, json};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::*;

/// A byte-level BPE tokenizer as GPT-2's, with two special tokens and a template that adds BOS.
fn tokenizer_json() -> Value {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let mut vocab: serde_json::Map<String, Value> =
        alphabet.iter().zip(2..).map(|(letter, id)| (letter.to_string(), json!(id))).collect();
    for (token, id) in [("<s>", 0), ("</s>", 1), ("he", 258)] {
        vocab.insert(token.to_owned(), json!(id));
    }
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [special(0, "<s>"), special(1, "</s>")],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab,
            "merges": [["h", "e"]],
        },
    })
}

/// A folder with the tokenizer above and `others` beside it.
fn folder(others: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tokenizer.json"), tokenizer_json().to_string()).unwrap();
    for (name, content) in others {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn load(path: &Path) -> Result<Tokenizer, TokenizerError> {
    Tokenizer::load(&TokenizerPlan::HuggingFace { path: path.to_owned() })
}

#[test]
fn text_of_many_scripts_comes_back_whole_and_no_bos_is_added() {
    let folder = folder(&[]);
    let tokenizer = load(folder.path()).unwrap();
    for text in TEXTS {
        assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()), *text);
    }
    assert_eq!(tokenizer.encode("he").unwrap(), [258]);
    assert_eq!(tokenizer.encode("<s>he</s>").unwrap(), [0, 258, 1]);
    assert_eq!(tokenizer.decode(&[0, 258, 1, 259, 258]), "he\u{fffd}he");
    assert_eq!((tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eod()), (259, None, None));
}

#[test]
fn truncation_and_padding_of_the_file_are_off() {
    let mut json = tokenizer_json();
    json["truncation"] =
        json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    json["padding"] = json!({"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null,
                             "pad_id": 0, "pad_type_id": 0, "pad_token": "<s>"});
    let tokenizer = HuggingFace::parse(Path::new("t.json"), json.to_string().as_bytes()).unwrap();
    assert_eq!(tokenizer.encode("hehehe").unwrap(), [258, 258, 258]);
}

#[test]
fn the_file_itself_is_as_good_as_its_folder() {
    let folder =
        folder(&[("tokenizer_config.json", r#"{"bos_token": "<s>", "eos_token": {"content": "</s>"}}"#)]);
    let tokenizer = load(&folder.path().join("tokenizer.json")).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eod()), (Some(0), Some(1)));
}

#[test]
fn the_main_eod_is_named_and_others_follow() {
    let folder = folder(&[
        ("tokenizer_config.json", r#"{"eos_token": "</s>"}"#),
        ("generation_config.json", r#"{"eos_token_id": [7, 1, 9], "bos_token_id": 0}"#),
        ("config.json", r#"{"eos_token_id": 9, "bos_token_id": null}"#),
    ]);
    let tokenizer = load(folder.path()).unwrap();
    assert_eq!((tokenizer.eods(), tokenizer.eod(), tokenizer.bos()), (&[1, 7, 9][..], Some(1), Some(0)));
}

#[test]
fn each_broken_folder_says_what_where_and_what_was_expected() {
    let changed = |change: fn(&mut Value)| {
        let mut json = tokenizer_json();
        change(&mut json);
        json.to_string()
    };
    let no_model = changed(|json| json["model"] = Value::Null);
    let wrong_merge = changed(|json| json["model"]["merges"] = json!([["he", "zz"]]));
    let bad_table = changed(|json| {
        json["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"});
    });
    let no_vocab = changed(|json| {
        json["model"]["vocab"] = json!({});
        json["model"]["merges"] = json!([]);
        json["added_tokens"] = json!([]);
        json["post_processor"] = Value::Null;
    });
    let cases: &[(&str, &str, &str)] = &[
        ("tokenizer.json", "", "tokenizer.json:1:0: EOF while parsing a value"),
        ("tokenizer.json", "{\"version\": \"1.0\",\n \"model\": }", "tokenizer.json:2:11: expected value"),
        ("tokenizer.json", "[]", "tokenizer.json: no tokenizer.json: "),
        ("tokenizer.json", "{}", "tokenizer.json: no tokenizer.json: "),
        ("tokenizer.json", &no_model, "tokenizer.json: no tokenizer.json: "),
        ("tokenizer.json", &wrong_merge, "tokenizer.json: no tokenizer.json: "),
        ("tokenizer.json", &bad_table, "tokenizer.json: no tokenizer.json: its reader panicked"),
        ("tokenizer.json", &no_vocab, "tokenizer.json: the vocabulary has no token"),
        ("tokenizer_config.json", "{", "tokenizer_config.json:1:1: EOF while parsing an object"),
        ("tokenizer_config.json", "3", "tokenizer_config.json: expected a JSON object"),
        (
            "tokenizer_config.json",
            r#"{"eos_token": "</t>"}"#,
            "tokenizer_config.json: eos_token \"</t>\" is not in tokenizer.json",
        ),
        (
            "config.json",
            r#"{"eos_token_id": "2"}"#,
            "config.json: eos_token_id: expected a token id, a list of them, or null, got \"2\"",
        ),
        (
            "generation_config.json",
            r#"{"bos_token_id": [1, -1]}"#,
            "generation_config.json: bos_token_id: expected a token id",
        ),
        ("config.json", r#"{"eos_token_id": 4294967296}"#, "config.json: eos_token_id: expected a token id"),
    ];
    for (name, content, expected) in cases {
        let folder = folder(&[(name, content)]);
        let error = load(folder.path()).unwrap_err().to_string();
        let expected = format!("tokenizer file {}/{expected}", folder.path().display());
        assert!(error.starts_with(&expected), "got      {error}\nexpected {expected}");
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(load(empty.path()).unwrap_err().to_string().contains("tokenizer.json: cannot be read"));
}

proptest! {
    #[test]
    fn any_text_comes_back_whole(text in "(?s).{0,64}") {
        static SHARED: OnceLock<HuggingFace> = OnceLock::new();
        let parse = || HuggingFace::parse(Path::new("t.json"), tokenizer_json().to_string().as_bytes());
        let tokenizer = SHARED.get_or_init(|| parse().unwrap());
        prop_assume!(!text.contains("<s>") && !text.contains("</s>"));
        prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text).unwrap()), text);
    }

    #[test]
    fn a_file_with_some_bytes_changed_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut content = tokenizer_json().to_string().into_bytes();
        for (index, byte) in changes {
            let at = index.index(content.len());
            content[at] = byte;
        }
        if let Ok(tokenizer) = HuggingFace::parse(Path::new("t.json"), &content) {
            let tokens = tokenizer.encode("hello 字").unwrap_or_default();
            tokenizer.decode(&tokens);
        }
    }
}
