//! Broken programs: whatever loads must end in a result or a trap, never in a crash.

use proptest::prelude::*;

use crate::bounded::run_all;

const SOURCES: [&str; 3] = [
    include_str!("../ptx/features.ptx"),
    include_str!("../ptx/kernels.ptx"),
    include_str!("../ptx/saxpy.ptx"),
];

/// Replaces word `at` of the text by word `with`, both counted over all words.
fn swap_words(text: &str, swaps: &[(usize, usize)]) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | '_' | '$');
    let mut pieces: Vec<String> = Vec::new();
    for c in text.chars() {
        match pieces.last_mut() {
            Some(last) if is_word(c) && last.starts_with(is_word) => last.push(c),
            _ => pieces.push(c.to_string()),
        }
    }
    let words: Vec<usize> = (0..pieces.len()).filter(|&i| pieces[i].starts_with(is_word)).collect();
    for &(at, with) in swaps {
        let replacement = pieces[words[with % words.len()]].clone();
        pieces[words[at % words.len()]] = replacement;
    }
    pieces.concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").map_or(60, |n| n.parse().unwrap()), ..ProptestConfig::default() })]
    #[test]
    fn programs_with_swapped_words_never_crash(source in 0_usize..3, swaps in prop::collection::vec((0_usize..20_000, 0_usize..20_000), 1..4)) {
        run_all(&swap_words(SOURCES[source], &swaps));
    }
}
