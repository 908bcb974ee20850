//! Stop words: texts that end a request, found in the decoded text of what it generated.
//!
//! They are watched for here, and not at the ranks, because here is the tokenizer: so that "the" is found in " the",
//! across tokens, and in whatever tokens the model spells it. Tokens that could begin a stop word are held back from the
//! stream until the text decides. The first token whose text completes a stop word ends the request; the output is cut
//! before the word (its tokens at the last border before it), or after it where the client wants to keep it.

use super::state::Detokenize;
use super::wire::{FinalReply, PartialReply};

/// Watches one request.
pub(super) struct StopWords {
    words: Vec<String>,
    /// The word stays in the output.
    keeps_word: bool,
    /// The client wants partial replies of so many tokens; `None` = none.
    stream_interval: Option<usize>,
    tokens: Vec<u32>,
    /// What is not sent yet, from token `num_sent` on.
    held: PartialReply,
    num_sent: usize,
    found: Option<Found>,
}

/// Where the output ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Tokens of the output.
    pub(super) num_tokens: usize,
    /// Text of the output: may end within its last token's successor.
    pub(super) text: String,
}

impl StopWords {
    /// A watch for `words`; `None` if there is none to watch for.
    pub(super) fn new(words: &[String], keeps_word: bool, stream_interval: Option<usize>) -> Option<Self> {
        let words: Vec<String> = words.iter().filter(|word| !word.is_empty()).cloned().collect();
        (!words.is_empty()).then(|| Self {
            words,
            keeps_word,
            stream_interval,
            tokens: Vec::new(),
            held: PartialReply::default(),
            num_sent: 0,
            found: None,
        })
    }

    /// A stop word was found.
    pub(super) fn is_found(&self) -> bool {
        self.found.is_some()
    }

    /// Takes new tokens; what of them may be streamed now.
    pub(super) fn on_partial(
        &mut self,
        partial: PartialReply,
        detokenize: &Detokenize,
    ) -> Option<PartialReply> {
        if self.is_found() {
            return None;
        }
        for &token in &partial.new_tokens {
            if self.found.is_none() {
                self.push(token, detokenize);
            }
        }
        self.hold(partial);
        let interval = self.stream_interval?;
        let num_safe = self.num_safe(detokenize);
        let num_new = num_safe.saturating_sub(self.num_sent);
        let has_prompt = self.held.prompt_log_probs.is_some() || self.held.prompt_top_n_logprobs.is_some();
        if num_new < interval && !has_prompt {
            return None;
        }
        self.num_sent += num_new;
        Some(self.held.take_front(num_new))
    }

    /// Cuts the final reply at the first stop word in it, if there is one.
    pub(super) fn on_final(&mut self, reply: &mut FinalReply, detokenize: &Detokenize) {
        for &token in reply.generated_tokens.iter().skip(self.tokens.len()) {
            if self.found.is_none() {
                self.push(token, detokenize);
            }
        }
        let Some(Found { num_tokens, text }) = self.found.clone() else { return };
        reply.generated_tokens.truncate(num_tokens);
        reply.generated_log_probs.iter_mut().for_each(|list| list.truncate(num_tokens));
        reply.generated_top_n_logprobs.iter_mut().for_each(|list| list.truncate(num_tokens));
        reply.generated_text = Some(text);
    }

    fn push(&mut self, token: u32, detokenize: &Detokenize) {
        self.tokens.push(token);
        let text = detokenize(&self.tokens);
        let at = self.words.iter().filter_map(|word| text.find(word).map(|at| (at, word.len())));
        // Of several words the one that begins first, and of those the longest.
        let Some((start, len)) = at.min_by_key(|&(at, len)| (at, std::cmp::Reverse(len))) else { return };
        let end = if self.keeps_word { start + len } else { start };
        let num_tokens = if self.keeps_word {
            self.tokens.len()
        } else {
            self.longest_within(&text[..start], self.tokens.len(), detokenize)
        };
        self.found = Some(Found { num_tokens, text: text[..end].to_owned() });
    }

    fn hold(&mut self, partial: PartialReply) {
        self.held.request_id = partial.request_id;
        self.held.append(partial);
    }

    /// Tokens whose text no stop word can reach into any more.
    fn num_safe(&self, detokenize: &Detokenize) -> usize {
        if let Some(found) = &self.found {
            return found.num_tokens;
        }
        let text = detokenize(&self.tokens);
        // The last character may lack bytes.
        let text = text.strip_suffix(char::REPLACEMENT_CHARACTER).unwrap_or(&text);
        let begins = |at: &usize| self.words.iter().any(|word| word.starts_with(&text[*at..]));
        let unsure = text.char_indices().map(|(at, _)| at).find(begins).unwrap_or(text.len());
        self.longest_within(&text[..unsure], self.tokens.len(), detokenize)
    }

    /// The most tokens, at most `limit`, whose text is the start of `text`; never fewer than were sent.
    fn longest_within(&self, text: &str, limit: usize, detokenize: &Detokenize) -> usize {
        let fits = |&count: &usize| text.starts_with(&detokenize(&self.tokens[..count]));
        (self.num_sent..=limit).rev().find(fits).unwrap_or(self.num_sent)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::wire::SamplingParams;
    use super::*;

    /// Token -> bytes: letters, pairs of letters, words, and halves of a letter.
    const VOCABULARY: [&[u8]; 11] =
        [b"a", b"b", b" ", b"ab", b"ba", b" the", b"the", b"x", "ä".as_bytes(), b"\xc3", b"\xa4"];

    fn detokenize() -> Detokenize {
        Arc::new(|tokens: &[u32]| {
            let bytes: Vec<u8> =
                tokens.iter().flat_map(|&token| VOCABULARY[token as usize]).copied().collect();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }

    /// What is streamed token by token, and the final answer.
    fn run(words: &[&str], keeps_word: bool, tokens: &[u32]) -> (Vec<u32>, Vec<u32>, String) {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let detokenize = detokenize();
        let mut watch = StopWords::new(&words, keeps_word, Some(1)).unwrap();
        let mut streamed = Vec::new();
        for &token in tokens {
            let partial = PartialReply {
                new_tokens: vec![token],
                new_log_probs: Some(vec![-1.0]),
                ..PartialReply::default()
            };
            if let Some(partial) = watch.on_partial(partial, &detokenize) {
                assert_eq!(partial.new_log_probs.as_ref().map(Vec::len), Some(partial.new_tokens.len()));
                streamed.extend(partial.new_tokens);
            }
        }
        let mut reply = FinalReply::completed(0, SamplingParams::default(), tokens.to_vec());
        reply.generated_log_probs = Some(vec![-1.0; tokens.len()]);
        watch.on_final(&mut reply, &detokenize);
        assert_eq!(reply.generated_log_probs.map(|list| list.len()), Some(reply.generated_tokens.len()));
        let text = reply.generated_text.unwrap_or_else(|| detokenize(&reply.generated_tokens));
        (streamed, reply.generated_tokens, text)
    }

    #[test]
    fn words_are_found_as_users_mean_them() {
        for (words, tokens, expected_tokens, expected_text) in [
            (&["the"][..], &[0, 5, 7][..], &[0][..], "a "),
            (&["the"], &[0, 6, 7], &[0], "a"),
            (&["abba"], &[7, 3, 4, 7], &[7], "x"),
            (&["abba"], &[7, 0, 1, 1, 0, 7], &[7], "x"),
            (&["ba"], &[3, 0, 7], &[], "a"),
            (&["zzz", "x"], &[0, 1, 7, 1], &[0, 1], "ab"),
            (&["zzz"], &[0, 1, 7], &[0, 1, 7], "abx"),
            (&["ä"], &[0, 9, 10, 7], &[0], "a"),
        ] {
            let (streamed, tokens, text) = run(words, false, tokens);
            assert_eq!((tokens.as_slice(), text.as_str()), (expected_tokens, expected_text), "{words:?}");
            assert!(tokens.starts_with(&streamed));
        }
    }

    #[test]
    fn a_word_that_is_to_be_kept_ends_the_output() {
        assert_eq!(run(&["the"], true, &[0, 5, 7]), (vec![0, 5], vec![0, 5], "a the".to_owned()));
    }

    #[test]
    fn tokens_that_could_begin_a_word_are_held_back_until_the_text_decides() {
        let (streamed, _, _) = run(&["abx"], false, &[7, 0]);
        assert_eq!(streamed, [7], "a could begin abx");
        let (streamed, _, _) = run(&["abx"], false, &[7, 0, 0, 1, 1]);
        assert_eq!(streamed, [7, 0, 0, 1, 1]);
    }

    proptest! {
        #[test]
        fn the_first_token_that_completes_a_word_ends_the_output(
            tokens in prop::collection::vec(0..VOCABULARY.len() as u32, 0..24),
            words in prop::collection::vec("[abx äthe]{1,4}", 1..4),
        ) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let detokenize = detokenize();
            let (streamed, kept, text) = run(&words, false, &tokens);
            prop_assert!(kept.starts_with(&streamed), "{streamed:?} {kept:?}");
            let has_word = |count: &usize| words.iter().any(|word| detokenize(&tokens[..*count]).contains(word));
            match (0..=tokens.len()).find(has_word) {
                None => prop_assert_eq!(kept, tokens),
                Some(end) => {
                    let whole = detokenize(&tokens[..end]);
                    let start = words.iter().filter_map(|word| whole.find(word)).min().unwrap();
                    prop_assert_eq!(&text, &whole[..start]);
                    prop_assert!(text.starts_with(&detokenize(&kept)) && tokens.starts_with(&kept));
                    let next = detokenize(&tokens[..kept.len() + 1]);
                    prop_assert!(!text.starts_with(&next), "another token fitted");
                }
            }
        }
    }
}
