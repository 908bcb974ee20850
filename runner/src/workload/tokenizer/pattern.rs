//! Pre-tokenisation patterns: how text is cut into pieces before byte pairs are merged.
//!
//! Only patterns of this list are used, also for files that carry their own: each is known to cover every
//! text without gaps or empty pieces, which the encoder relies on, and to need no unbounded backtracking.

/// A known pre-tokenisation pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Megatron's `--tiktoken-pattern v1`.
    V1,
    /// Megatron's `--tiktoken-pattern v2`, also Mistral's tekken.
    V2,
    /// OpenAI's cl100k_base.
    Cl100k,
    /// OpenAI's o200k_base.
    O200k,
}

/// `megatron/core/tokenizers/text/libraries/tiktoken_tokenizer.py`, `_PATTERN_TIKTOKEN_V1`.
const V1: &str = r"[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";

/// The same file, `_PATTERN_TIKTOKEN_V2`; `config.pattern` of Mistral's tekken.json is the same text.
const V2: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// `tiktoken_ext/openai_public.py` of tiktoken, `cl100k_base`.
const CL100K: &str = concat!(
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+",
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
);

impl Pattern {
    /// The pattern that Megatron's `--tiktoken-pattern` names.
    pub(super) fn by_name(name: &str) -> Option<Self> {
        match name {
            "v1" => Some(Self::V1),
            "v2" => Some(Self::V2),
            _ => None,
        }
    }

    /// The pattern whose regular expression is `text`.
    pub(super) fn by_text(text: &str) -> Option<Self> {
        [Self::V1, Self::V2, Self::Cl100k, Self::O200k].into_iter().find(|known| known.text() == text)
    }

    /// The regular expression.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::V1 => V1,
            Self::V2 => V2,
            Self::Cl100k => CL100K,
            Self::O200k => tiktoken_rs::O200K_BASE_PAT_STR,
        }
    }
}
