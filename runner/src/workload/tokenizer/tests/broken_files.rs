//! Vocabulary files that are refused, each with its message.

use serde_json::{Value, json};

use super::*;

/// The small vocabulary with one entry changed.
fn with_entry(index: usize, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut list: Vec<Value> = serde_json::from_slice(&small_vocabulary()).unwrap();
    change(&mut list[index]);
    serde_json::to_vec(&list).unwrap()
}

/// A tekken.json of the small vocabulary with its configuration and special tokens.
fn tekken(config: Value, specials: Value) -> Vec<u8> {
    let vocab: Value = serde_json::from_slice(&small_vocabulary()).unwrap();
    serde_json::to_vec(&json!({"config": config, "vocab": vocab, "special_tokens": specials})).unwrap()
}

fn base64(bytes: &[u8]) -> Value {
    BASE64_STANDARD.encode(bytes).into()
}

fn lists() -> Vec<(Vec<u8>, &'static str)> {
    let whole = small_vocabulary();
    vec![
        (b"".to_vec(), ": empty: expected a JSON list of tokens, or tekken.json's object"),
        (b" \n ".to_vec(), ": empty: expected a JSON list of tokens"),
        (b"hello".to_vec(), ":1:1: expected value"),
        (b"17".to_vec(), ":1:2: invalid type: integer `17`, expected a sequence"),
        (whole[..whole.len() - 1].to_vec(), "EOF while parsing a list"),
        (whole[..whole.len() / 2].to_vec(), "EOF while parsing"),
        ([whole.as_slice(), b"]"].concat(), "trailing characters"),
        (b"[]".to_vec(), ": 256 of the 256 single bytes are no tokens, the first is 0x00"),
        (b"[{\"token_bytes\": \"AA==\"}]".to_vec(), ":1:24: [0]: missing field `rank`"),
    ]
}

fn entries() -> Vec<(Vec<u8>, &'static str)> {
    let without_byte_7 = with_entry(7, |entry| entry["token_bytes"] = base64(b"seven"));
    vec![
        (
            with_entry(3, |entry| entry["rank"] = json!("3")),
            ": [3].rank: invalid type: string \"3\", expected u64",
        ),
        (
            with_entry(3, |entry| entry["rank"] = json!(-3)),
            ": [3].rank: invalid value: integer `-3`, expected u64",
        ),
        (with_entry(3, |entry| entry["rank"] = json!(1)), ": entry 3: rank 1 was already given by entry 1"),
        (
            with_entry(3, |entry| entry["rank"] = json!(264)),
            ": entry 3: rank 264, expected one below 264 (ranks are dense: 264 tokens, 0 to 263)",
        ),
        (
            with_entry(3, |entry| entry["rank"] = json!(u64::MAX)),
            ": entry 3: rank 18446744073709551615, expected one below 264",
        ),
        (
            with_entry(9, |entry| entry["token_bytes"] = json!("A?==")),
            ": entry 9: token_bytes \"A?==\" is not base64: Invalid symbol 63, offset 1.",
        ),
        (
            with_entry(9, |entry| entry["token_bytes"] = json!("A")),
            ": entry 9: token_bytes \"A\" is not base64: Invalid input length: 1",
        ),
        (with_entry(9, |entry| entry["token_bytes"] = json!("")), ": entry 9: token_bytes is empty"),
        (
            with_entry(9, |entry| entry["token_bytes"] = json!(null)),
            ": [9].token_bytes: invalid type: null, expected a string",
        ),
        (
            with_entry(9, |entry| entry["token_bytes"] = base64(&[b'x'; 5000])),
            ": entry 9: a token of 5000 bytes, at most 4096 are read",
        ),
        (
            with_entry(260, |entry| entry["token_bytes"] = base64(b"he")),
            ": entries 256 and 260 have the same token_bytes",
        ),
        (
            with_entry(9, |entry| *entry = json!([9, "CQ=="])),
            ": [9]: invalid type: sequence, expected an object",
        ),
        (
            without_byte_7,
            ": 1 of the 256 single bytes are no tokens, the first is 0x07: text with them could not be encoded",
        ),
    ]
}

fn tekkens() -> Vec<(Vec<u8>, &'static str)> {
    let v2 = Pattern::V2.text();
    let specials = |names: &[&str]| -> Value {
        names.iter().enumerate().map(|(rank, name)| json!({"rank": rank, "token_str": name})).collect()
    };
    let sized = |num_specials: usize, vocab_size: usize| json!({"pattern": v2, "default_num_special_tokens": num_specials, "default_vocab_size": vocab_size});
    vec![
        (b"{}".to_vec(), ":1:2: missing field `config`"),
        (b"{\"config\": {}}".to_vec(), ": config: missing field `pattern`"),
        (
            tekken(json!({"pattern": "\\s*"}), Value::Null),
            ": config.pattern \"\\\\s*\" is not a known one: expected tekken's",
        ),
        (
            tekken(sized(2, 100), Value::Null),
            ": config.default_num_special_tokens 2 and config.default_vocab_size 100: expected 3 <=",
        ),
        (
            tekken(sized(1000, 1000), Value::Null),
            ": config.default_num_special_tokens 1000 and config.default_vocab_size 1000: expected",
        ),
        (
            tekken(sized(2000, 9000), Value::Null),
            ": config.default_num_special_tokens is 2000, but \"special_tokens\" is absent",
        ),
        (
            tekken(sized(1000, 1100), Value::Null),
            ": 156 of the 256 single bytes are no tokens, the first is 0x64",
        ),
        (
            tekken(sized(3, 9000), specials(&["a", "b", "c", "d"])),
            ": special_tokens has 4 entries, config.default_num_special_tokens allows 3",
        ),
        (
            tekken(sized(9, 9000), specials(&["<unk>", "<s>", "</s>", "<s>"])),
            ": special tokens of ranks 1 and 3 are both \"<s>\"",
        ),
        (
            tekken(sized(9, 9000), specials(&["<unk>", "", "</s>"])),
            ": special token of rank 1: a name of 0 bytes, expected 1 to 4096",
        ),
        (
            tekken(sized(9, 9000), specials(&["<unk>", "<s>", "</s>", "<SPECIAL_5>"])),
            ": special_tokens names a <SPECIAL_n> beyond the listed ranks",
        ),
        (
            tekken(sized(9, 9000), json!([{"rank": 1, "token_str": "a"}])),
            ": special_tokens: expected rank 0 next, got 1",
        ),
    ]
}

#[test]
fn each_broken_file_says_what_where_and_what_was_expected() {
    for (content, expected) in [lists(), entries(), tekkens()].concat() {
        let error =
            Tokenizer::tik_token(Path::new("dir/vocab.json"), &content, "v2").unwrap_err().to_string();
        assert!(error.starts_with("tokenizer file dir/vocab.json:"), "{error}");
        assert!(error.contains(expected), "got      {error}\nexpected {expected}");
    }
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let load = |path: &Path| {
        let plan = TokenizerPlan::TikToken { path: path.to_owned(), pattern: "v2".to_owned() };
        Tokenizer::load(&plan).unwrap_err().to_string()
    };
    assert!(
        load(&folder.path().join("absent.json"))
            .ends_with("cannot be read: No such file or directory (os error 2)")
    );
    assert!(load(folder.path()).contains("cannot be read"));
    let huge = folder.path().join("huge.json");
    std::fs::File::create(&huge).unwrap().set_len(1 << 30).unwrap();
    assert!(load(&huge).ends_with("1073741824 bytes, at most 268435456 are read: is it a vocabulary?"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Tokenizer::tik_token(Path::new("x.json"), &content, "v2");
        let _ = HuggingFace::parse(Path::new("x.json"), &content);
    }

    #[test]
    fn a_file_with_some_bytes_changed_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let specials = json!([{"rank": 0, "token_str": "<unk>"}, {"rank": 1, "token_str": "<s>"}]);
        for mut content in [small_vocabulary(), tekken(json!({"pattern": Pattern::V2.text()}), specials)] {
            for (index, byte) in &changes {
                let at = index.index(content.len());
                content[at] = *byte;
            }
            if let Ok(tokenizer) = Tokenizer::tik_token(Path::new("x.json"), &content, "v1") {
                prop_assert_eq!(tokenizer.decode(&tokenizer.encode("héllo 字").unwrap()), "héllo 字");
            }
        }
    }
}
