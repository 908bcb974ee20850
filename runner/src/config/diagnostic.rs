//! What is wrong in a case file, where, and what to do about it: one line a compiler would print, the source line, a caret.

use std::fmt;
use std::path::{Path, PathBuf};

use super::locate::{KeyPath, Location, Part};

/// Widest excerpt of a source line, in characters: prompts can be kilobytes long.
const EXCERPT_WIDTH: usize = 100;

/// One mistake in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub file: PathBuf,
    /// Where, if the mistake has a place.
    pub location: Option<Location>,
    /// The key, what was expected and what was got.
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
    excerpt: Option<Excerpt>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    text: String,
    caret: usize,
}

impl Diagnostic {
    /// A mistake at a known place of `text`.
    pub fn at(
        file: &Path,
        text: &str,
        location: Option<Location>,
        message: String,
        help: Option<String>,
    ) -> Self {
        let excerpt = location.and_then(|at| Excerpt::new(text, at));
        Self { file: file.to_owned(), location, message, help, excerpt }
    }

    /// A mistake at the key or value of `path`, or at the head of a file that has no such key; the message is
    /// prefixed with the path.
    pub fn of_key(
        file: &Path,
        text: &str,
        path: &KeyPath,
        part: Part,
        message: &str,
        help: Option<String>,
    ) -> Self {
        let location = path.locate(text, part).unwrap_or(Location { line: 1, column: 1 });
        Self::at(file, text, Some(location), format!("{path}: {message}"), help)
    }
}

impl Excerpt {
    fn new(text: &str, at: Location) -> Option<Self> {
        let line = text.lines().nth(at.line.checked_sub(1)?)?;
        let column = at.column.saturating_sub(1);
        let first = column.saturating_sub(EXCERPT_WIDTH / 2);
        let first = if line.chars().count() <= EXCERPT_WIDTH { 0 } else { first };
        let visible = |c: char| if c.is_control() { ' ' } else { c };
        let text = line.chars().skip(first).take(EXCERPT_WIDTH).map(visible).collect();
        Some(Self { text, caret: column - first })
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(at) = self.location {
            write!(f, "{}:{}:", at.line, at.column)?;
        }
        write!(f, " {}", self.message)?;
        if let (Some(at), Some(excerpt)) = (self.location, &self.excerpt) {
            let gutter = at.line.to_string();
            write!(
                f,
                "\n  {gutter} | {}\n  {:w$} | {:c$}^",
                excerpt.text,
                "",
                "",
                w = gutter.len(),
                c = excerpt.caret
            )?;
        }
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Everything found wrong in a case's file, in the file's order. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// At least one.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{diagnostic}")?;
        }
        Ok(())
    }
}

impl From<Diagnostic> for ConfigError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { diagnostics: vec![diagnostic] }
    }
}

/// The candidate most like `word`, phrased as a question, if one is alike enough to be a misspelling.
pub fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('_', "-");
    let wanted = plain(word);
    let likeness = |candidate: &str| strsim::jaro_winkler(&wanted, &plain(candidate));
    let best = candidates.into_iter().map(|c| (likeness(c), c)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.85).then(|| format!("did you mean {}?", best.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_value() {
        let text = "MODEL_ARGS:\n  --top_k: one\n";
        let path = KeyPath::new(&["MODEL_ARGS", "--top_k"]);
        let shown = Diagnostic::of_key(
            Path::new("c.yaml"),
            text,
            &path,
            Part::Value,
            "expected an integer",
            Some("write 1".into()),
        );
        assert_eq!(
            shown.to_string(),
            "c.yaml:2:12: MODEL_ARGS.--top_k: expected an integer\n  2 |   --top_k: one\n    |            ^\n  help: write 1"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let text = format!("k: {}!{}", "x".repeat(5000), "y".repeat(5000));
        let at = Location { line: 1, column: 5004 };
        let shown = Diagnostic::at(Path::new("c"), &text, Some(at), "m".into(), None).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        let column = lines[2].find('^').unwrap();
        assert_eq!(lines[1].chars().nth(column), Some('!'));
        assert!(lines[1].len() < 120);
    }

    #[test]
    fn suggestions_are_close_or_absent() {
        let flags = ["--top_k", "--top_p", "--temperature"];
        assert_eq!(suggestion("--top-k", flags).unwrap(), "did you mean --top_k?");
        assert_eq!(suggestion("--temprature", flags).unwrap(), "did you mean --temperature?");
        assert_eq!(suggestion("zebra", flags), None);
    }
}
