//! Byte-pair encoder at Megatron's TikTokenizer ids: special tokens first, then `rank + number of specials`.

use std::collections::HashSet;

use tiktoken_rs::CoreBPE;

use super::pattern::Pattern;

/// Special tokens of Megatron's TikTokenizer; the numbers are `<s>` = 1 and `</s>` = 2.
const NAMED_SPECIALS: [&str; 7] = ["<unk>", "<s>", "</s>", "<mask>", "<pad>", "<cls>", "<sep>"];

/// Ids below this are special tokens, unless a vocabulary file says otherwise.
pub(super) const NUM_SPECIALS: usize = 1000;

/// Size of Megatron's vocabulary, special tokens included; longer files are cut.
pub(super) const VOCAB_SIZE: usize = 131_072;

/// The token that begins a sequence.
pub(super) const BOS: u32 = 1;

/// The token that ends a document and a sequence.
pub(super) const EOD: u32 = 2;

/// What a [`TikToken`] is made of. Made by [`super::vocabulary`], which checks it.
pub(super) struct Vocabulary {
    /// Token bytes by rank: unique, not empty, with all 256 single bytes among them.
    pub(super) tokens: Vec<Vec<u8>>,
    /// Special tokens by id: unique, not empty; their number is the id of rank 0.
    pub(super) specials: Vec<String>,
    /// How text is cut before merging.
    pub(super) pattern: Pattern,
}

/// Megatron's special tokens: seven with names, the rest numbered.
pub(super) fn megatron_specials() -> Vec<String> {
    let numbered = (NAMED_SPECIALS.len()..NUM_SPECIALS).map(|id| format!("<SPECIAL_{id}>"));
    NAMED_SPECIALS.iter().map(|name| (*name).to_owned()).chain(numbered).collect()
}

/// An encoder and its decoder.
pub(super) struct TikToken {
    bpe: CoreBPE,
    specials: Vec<String>,
    vocab_size: u32,
}

impl TikToken {
    /// The encoder of `vocabulary`; the error is the regular expression engine's.
    pub(super) fn new(vocabulary: Vocabulary) -> Result<Self, String> {
        let Vocabulary { tokens, specials, pattern } = vocabulary;
        let first_id = specials.len() as u32;
        let vocab_size = first_id + tokens.len() as u32;
        let ranks = tokens.into_iter().zip(first_id..).collect();
        let special_ids = specials.iter().cloned().zip(0..).collect();
        let bpe = CoreBPE::new(ranks, special_ids, pattern.text()).map_err(|error| error.to_string())?;
        Ok(Self { bpe, specials, vocab_size })
    }

    /// Tokens of `text`. A special token's name in the text becomes that token, as in the original.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let allowed: HashSet<&str> = self.specials.iter().map(String::as_str).collect();
        self.bpe.encode(text, &allowed).map(|(tokens, _)| tokens).map_err(|error| error.to_string())
    }

    /// Text of `tokens`: special tokens dropped, ids beyond the vocabulary and broken UTF-8 as U+FFFD.
    pub(super) fn decode(&self, tokens: &[u32]) -> String {
        let mut bytes = Vec::with_capacity(tokens.len() * 4);
        for token in tokens.iter().filter(|token| **token as usize >= self.specials.len()) {
            match self.bpe.decode_bytes(std::slice::from_ref(token)) {
                Ok(token_bytes) => bytes.extend(token_bytes),
                Err(_) => bytes.extend("\u{fffd}".as_bytes()),
            }
        }
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// Ids are below this.
    pub(super) fn vocab_size(&self) -> u32 {
        self.vocab_size
    }
}
