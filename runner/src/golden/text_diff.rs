//! Differences of texts and token lists, for people.

use similar::{ChangeTag, TextDiff};

/// Lines of a diff that are shown at most.
const MAX_LINES: usize = 40;
/// Characters of an unchanged stretch that are shown on either side of a change.
const CONTEXT_CHARS: usize = 40;

/// A one-line text word by word: `kept [-golden-]{+now+} kept`, long unchanged stretches cut to their ends.
pub(super) fn words(golden: &str, current: &str) -> String {
    let diff = TextDiff::from_words(golden, current);
    let mut runs: Vec<(ChangeTag, String)> = Vec::new();
    for change in diff.iter_all_changes() {
        match runs.last_mut() {
            Some((tag, text)) if *tag == change.tag() => text.push_str(change.value()),
            Some(_) | None => runs.push((change.tag(), change.value().to_owned())),
        }
    }
    let last = runs.len().saturating_sub(1);
    let mut out = String::new();
    for (i, (tag, text)) in runs.iter().enumerate() {
        let text = text.replace('\n', "\\n");
        match tag {
            ChangeTag::Equal => out.push_str(&shortened(&text, i > 0, i < last)),
            ChangeTag::Delete => out.push_str(&format!("[-{text}-]")),
            ChangeTag::Insert => out.push_str(&format!("{{+{text}+}}")),
        }
    }
    out
}

/// Token ids, one a line, as a unified diff.
pub(super) fn tokens(golden: &[u32], current: &[u32]) -> String {
    let lines = |tokens: &[u32]| tokens.iter().map(|t| format!("{t}\n")).collect::<String>();
    let (golden, current) = (lines(golden), lines(current));
    let diff = TextDiff::from_lines(golden.as_str(), current.as_str());
    let text = diff.unified_diff().context_radius(3).header("golden", "now").to_string();
    let num_lines = text.lines().count();
    if num_lines <= MAX_LINES {
        return text.trim_end().to_owned();
    }
    let shown: Vec<_> = text.lines().take(MAX_LINES).collect();
    format!("{}\n... {} more lines", shown.join("\n"), num_lines - MAX_LINES)
}

/// Keeps the end of a stretch that a change follows, and the start of one that a change precedes.
fn shortened(text: &str, keep_start: bool, keep_end: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let kept = CONTEXT_CHARS * (usize::from(keep_start) + usize::from(keep_end)).max(1);
    if chars.len() <= kept + 3 {
        return text.to_owned();
    }
    let head: String = if keep_start { chars[..CONTEXT_CHARS].iter().collect() } else { String::new() };
    let tail: String =
        if keep_end { chars[chars.len() - CONTEXT_CHARS..].iter().collect() } else { String::new() };
    format!("{head}...{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mark_what_changed() {
        assert_eq!(words("the cat sat", "the dog sat"), "the [-cat-]{+dog+} sat");
        assert_eq!(words("same", "same"), "same");
        assert_eq!(words("a\nb", "a\nc"), "a\\n[-b-]{+c+}");
    }

    #[test]
    fn long_equal_stretches_are_cut() {
        let long = "word ".repeat(100);
        let diff = words(&format!("{long}end"), &format!("{long}fin"));
        assert!(diff.starts_with("..."), "{diff}");
        assert!(diff.ends_with("[-end-]{+fin+}"), "{diff}");
        assert!(diff.len() < 80);
    }

    #[test]
    fn tokens_are_a_unified_diff_of_bounded_length() {
        let diff = tokens(&[1, 2, 3], &[1, 9, 3]);
        assert!(diff.starts_with("--- golden\n+++ now\n@@ "), "{diff}");
        assert!(diff.contains("\n-2\n+9\n"), "{diff}");
        let golden: Vec<u32> = (0..500).collect();
        let current: Vec<u32> = (1000..1500).collect();
        let diff = tokens(&golden, &current);
        assert_eq!(diff.lines().count(), 41);
        assert!(diff.ends_with("more lines"), "{diff}");
    }
}
