//! The built-in vocabulary: OpenAI's cl100k_base ranks at Megatron's TikTokenizer ids. Needs no file.

use std::sync::{Arc, OnceLock};

use super::TokenizerError;
use super::pattern::Pattern;
use super::tiktoken::{TikToken, Vocabulary, megatron_specials};

/// Name in reports.
pub(super) const NAME: &str = "cl100k_base (built in)";

/// Ranks of cl100k_base that are not its own special tokens.
const NUM_RANKS: u32 = 100_256;

/// The vocabulary, built when it is first asked for and then shared.
pub(super) fn load() -> Result<Arc<TikToken>, TokenizerError> {
    static SHARED: OnceLock<Result<Arc<TikToken>, String>> = OnceLock::new();
    SHARED
        .get_or_init(|| build().map(Arc::new))
        .clone()
        .map_err(|message| TokenizerError::Vocabulary { path: NAME.into(), fault: message })
}

fn build() -> Result<TikToken, String> {
    let original = tiktoken_rs::cl100k_base().map_err(|error| error.to_string())?;
    let tokens = (0..NUM_RANKS)
        .map(|rank| original.decode_bytes(&[rank]))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    TikToken::new(Vocabulary { tokens, specials: megatron_specials(), pattern: Pattern::Cl100k })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_cl100k_plus_a_thousand() {
        let original = tiktoken_rs::cl100k_base_singleton();
        let ours = load().unwrap();
        for text in ["Hello, world!", "  if x:\n\treturn 12345\r\n", "Привет 世界 🙂", "   \n\n  trailing  "]
        {
            let expected: Vec<u32> =
                original.encode_ordinary(text).into_iter().map(|rank| rank + 1000).collect();
            assert_eq!(ours.encode(text).unwrap(), expected, "{text:?}");
        }
        assert_eq!(ours.vocab_size(), 101_256);
    }

    #[test]
    fn it_is_built_once() {
        assert!(Arc::ptr_eq(&load().unwrap(), &load().unwrap()));
    }
}
