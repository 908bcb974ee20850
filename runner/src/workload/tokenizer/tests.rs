//! Tests of the tokenizers: text that comes back whole, ids that stay put, files that are refused.

mod broken_files;
mod hugging_face;

use std::path::Path;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

use super::*;

/// Text in many scripts and text that breaks naive tokenizers.
const TEXTS: &[&str] = &[
    "",
    "The quick brown fox jumps over the lazy dog. 0123456789 It's we'll they'd I'M",
    "Zażółć gęślą jaźń — naïve façade, Ærøskøbing, İstanbul, straße",
    "Съешь же ещё этих мягких французских булок, да выпей чаю",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر",
    "דג סקרן שט בים מאוכזב ולפתע מצא חברה \u{5d0}\u{5b8}\u{5d1}",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน",
    "视野无限广,窗外有蓝天。微風迎客,軟語伴茶。𠜎𠜱𠝹",
    "いろはにほへと ちりぬるを カタカナ 漢字 ｶﾅ",
    "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다 \u{1112}\u{1161}\u{11ab}",
    "მცხეთის სვეტიცხოველი ᲛᲪᲮᲔᲗᲐ",
    "👩‍👩‍👧‍👦 👍🏽 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🇺🇳 ❤️‍🔥 1️⃣",
    "e\u{301}a\u{308}\u{323}Z\u{351}\u{36b}\u{343}\u{36a} n\u{303}",
    "\u{202e}right to left\u{202c} \u{200f}mark\u{200e} \u{2067}isolate\u{2069} \u{feff}bom",
    "fn main() {\n\tlet x: Vec<&'static str> = vec![\"a\\n\"; 10];\r\n    // ---- ====\n}\n\n\n",
    "  leading, trailing   and \t\t mixed \u{a0}\u{2003}\u{3000} white space \n \n  ",
    "\r\n\r\n\n\r\r \r\n",
    "nul \0 bell \u{7} escape \u{1b}[0m delete \u{7f} c1 \u{85}\u{9f} last \u{10ffff}",
];

/// A vocabulary JSON in Megatron's layout: the 256 bytes and a few merges.
pub(super) fn small_vocabulary() -> Vec<u8> {
    let merges: [&[u8]; 8] = [b"he", b"ll", b"hell", b"hello", b"oH", b"\xd0\xbf", b"  ", b"\r\n"];
    let bytes = (0..=u8::MAX).map(|byte| vec![byte]);
    let tokens = bytes.chain(merges.into_iter().map(<[u8]>::to_vec));
    let entries = tokens.enumerate().map(|(rank, bytes)| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        serde_json::json!({"rank": rank, "token_bytes": BASE64_STANDARD.encode(&bytes), "token_str": text})
    });
    serde_json::to_vec(&entries.collect::<Vec<_>>()).unwrap()
}

fn small(pattern: &str) -> Tokenizer {
    Tokenizer::tik_token(Path::new("small.json"), &small_vocabulary(), pattern).unwrap()
}

/// The small vocabulary with either pattern, made once.
fn small_shared() -> [Tokenizer; 2] {
    static SHARED: OnceLock<[Tokenizer; 2]> = OnceLock::new();
    SHARED.get_or_init(|| [small("v1"), small("v2")]).clone()
}

fn built_in() -> Tokenizer {
    Tokenizer::load(&TokenizerPlan::BuiltIn).unwrap()
}

fn all() -> [Tokenizer; 3] {
    let [v1, v2] = small_shared();
    [built_in(), v1, v2]
}

#[test]
fn text_of_many_scripts_comes_back_whole() {
    for tokenizer in all() {
        for text in TEXTS {
            let tokens = tokenizer.encode(text).unwrap();
            assert_eq!(tokenizer.decode(&tokens), *text, "{}", tokenizer.name());
            assert!(tokens.iter().all(|token| (*token as usize) < tokenizer.vocab_size()));
        }
    }
}

#[test]
fn very_long_words_and_runs_come_back_whole() {
    for tokenizer in all() {
        for piece in ["x", "X", " ", "\n", "1", "-", "字", "aB", "\u{301}"] {
            let text = piece.repeat(20_000);
            assert_eq!(tokenizer.decode(&tokenizer.encode(&text).unwrap()), text, "{piece:?}");
        }
    }
}

#[test]
fn ids_are_megatrons() {
    let tokenizer = small("v2");
    assert_eq!(tokenizer.encode("hello he!").unwrap(), [1259, 1032, 1256, 1033]);
    assert_eq!(
        tokenizer.encode("<unk><s></s><mask><pad><cls><sep><SPECIAL_7>").unwrap(),
        [0, 1, 2, 3, 4, 5, 6, 7]
    );
    assert_eq!(tokenizer.encode("a<SPECIAL_999>b<SPECIAL_1000>").unwrap()[..3], [1097, 999, 1098]);
    assert_eq!((tokenizer.bos(), tokenizer.eod(), tokenizer.vocab_size()), (Some(1), Some(2), 1264));
    assert_eq!(built_in().encode("Hello world").unwrap(), [10906, 2917]);
}

#[test]
fn patterns_differ_where_they_should() {
    // v1 lets a word run on through a change of case, v2 cuts there.
    assert_eq!(small("v1").encode("oH").unwrap(), [1260]);
    assert_eq!(small("v2").encode("oH").unwrap(), [1111, 1072]);
    let error = Tokenizer::tik_token(Path::new("x"), &small_vocabulary(), "v3").unwrap_err();
    assert_eq!(error.to_string(), "tiktoken pattern \"v3\": expected v1 or v2 (--tiktoken-pattern)");
}

#[test]
fn special_tokens_vanish_from_decoded_text() {
    let tokenizer = built_in();
    let tokens = tokenizer.encode("<s>one</s> two<SPECIAL_12>").unwrap();
    assert_eq!((tokens[0], tokens[2], *tokens.last().unwrap()), (1, 2, 12));
    assert_eq!(tokenizer.decode(&tokens), "one two");
}

#[test]
fn a_token_cut_inside_a_character_decodes_to_a_replacement() {
    let tokenizer = small("v2");
    let emoji = tokenizer.encode("🙂").unwrap();
    assert_eq!(emoji.len(), 4);
    assert_eq!(tokenizer.decode(&emoji[..3]), "\u{fffd}");
    assert_eq!(tokenizer.decode(&emoji[1..]), "\u{fffd}\u{fffd}\u{fffd}");
    assert_eq!(tokenizer.decode(&[emoji[0], 1097, emoji[1]]), "\u{fffd}a\u{fffd}");
}

#[test]
fn ids_beyond_the_vocabulary_decode_to_a_replacement_each() {
    for tokenizer in all() {
        let first_unknown = tokenizer.vocab_size() as u32;
        let a = tokenizer.encode("a").unwrap()[0];
        assert_eq!(tokenizer.decode(&[a, first_unknown, u32::MAX, a]), "a\u{fffd}\u{fffd}a");
        // The first byte of a character, then an unknown id: both are shown.
        let cut = tokenizer.encode("🙂").unwrap()[0];
        assert_eq!(tokenizer.decode(&[cut, first_unknown]), "\u{fffd}\u{fffd}");
    }
}

#[test]
fn a_run_beyond_the_pattern_engines_limit_is_an_error() {
    let tokenizer = small("v2");
    let error = tokenizer.encode(&(" ".repeat(3_000_000) + "x")).unwrap_err().to_string();
    assert!(error.starts_with("tokenizer small.json cannot encode a text of 3000001 bytes"), "{error}");
}

#[test]
fn tekken_json_has_its_own_pattern_and_specials() {
    let vocab: serde_json::Value = serde_json::from_slice(&small_vocabulary()).unwrap();
    let tekken = |specials: serde_json::Value| {
        let file = serde_json::json!({
            "config": {"pattern": Pattern::V2.text(), "num_vocab_tokens": 264, "default_vocab_size": 1260,
                       "default_num_special_tokens": 1000, "version": "v3"},
            "vocab": vocab, "special_tokens": specials,
        });
        Tokenizer::tik_token(Path::new("tekken.json"), &serde_json::to_vec(&file).unwrap(), "v1").unwrap()
    };
    let plain = tekken(serde_json::Value::Null);
    assert_eq!((plain.vocab_size(), plain.eod(), plain.bos()), (1260, Some(2), Some(1)));
    assert_eq!(plain.encode("</s>hello").unwrap(), [2, 1259], "the ids of Megatron's list");
    let named = tekken(serde_json::json!([
        {"rank": 0, "token_str": "<unk>", "is_control": true}, {"rank": 1, "token_str": "<s>"},
        {"rank": 2, "token_str": "</s>"}, {"rank": 3, "token_str": "[INST]"},
    ]));
    assert_eq!(named.encode("[INST]hello<SPECIAL_4>").unwrap(), [3, 1259, 4]);
}

#[test]
fn a_vocabulary_longer_than_megatrons_is_cut() {
    let extra = (264..131_072_u32).map(|rank| {
        let bytes = BASE64_STANDARD.encode([b"long".as_slice(), &rank.to_le_bytes()].concat());
        serde_json::json!({"rank": rank, "token_bytes": bytes})
    });
    let mut list: Vec<serde_json::Value> = serde_json::from_slice(&small_vocabulary()).unwrap();
    list.extend(extra);
    let file = serde_json::to_vec(&list).unwrap();
    let tokenizer = Tokenizer::tik_token(Path::new("long.json"), &file, "v2").unwrap();
    assert_eq!(tokenizer.vocab_size(), 131_072);
}

proptest! {
    #[test]
    fn any_text_comes_back_whole(text in "(?s).{0,64}", mixed in r"[ \t\r\n\x00a-cA-C'\u{0301}1-3🙂字п<>/s]{0,64}") {
        for tokenizer in all() {
            for text in [&text, &mixed] {
                if !text.contains("<s>") && !text.contains("</s>") {
                    prop_assert_eq!(&tokenizer.decode(&tokenizer.encode(text).unwrap()), text);
                }
            }
        }
    }

    #[test]
    fn any_ids_decode(tokens in prop::collection::vec(prop_oneof![0_u32..2_000, any::<u32>()], 0..64)) {
        for tokenizer in all() {
            tokenizer.decode(&tokens);
        }
    }
}

#[test]
fn a_prompt_begins_with_bos_only_where_it_is_asked_for() {
    let tokenizer = Tokenizer::load(&TokenizerPlan::BuiltIn).unwrap();
    let bos = tokenizer.bos().unwrap();
    let plain = tokenizer.encode("Hello").unwrap();
    let with_bos: Vec<u32> = std::iter::once(bos).chain(plain.iter().copied()).collect();
    assert_eq!(tokenizer.encode_prompt("Hello", false).unwrap(), plain);
    assert_eq!(tokenizer.encode_prompt("Hello", true).unwrap(), with_bos);
    assert_eq!(tokenizer.encode("<s><s>Hello").unwrap()[..2], [bos, bos]);
    assert_eq!(tokenizer.encode_prompt("<s><s>Hello", false).unwrap(), plain);
    assert_eq!(tokenizer.encode_prompt("<s><s>Hello", true).unwrap(), with_bos);
}
