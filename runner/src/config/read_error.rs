//! What the YAML reader said, in our words: path, message, place, advice.

use std::path::Path;

use serde::de::{DeserializeOwned, IgnoredAny};

use super::diagnostic::{Diagnostic, suggestion};
use super::entries::Entries;
use super::locate::Location;
use super::raw_case::TRAINING_KEYS;

/// An error of the YAML reader, taken apart.
pub(super) struct ReadError {
    path: String,
    message: String,
    location: Option<Location>,
}

/// Reads a value from YAML.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, ReadError> {
    // The plain reader is quicker; the tracking one is asked again only to explain a failure.
    if let Ok(value) = serde_yaml::from_str(text) {
        return Ok(value);
    }
    serde_path_to_error::deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| {
        let path = error.path().to_string();
        // `?` stands for a key that could not even be read.
        let known = path.strip_suffix('?').unwrap_or(&path);
        ReadError::new(known.trim_end_matches('.').to_owned(), error.inner())
    })
}

impl ReadError {
    fn new(path: String, error: &serde_yaml::Error) -> Self {
        let location = error.location().map(|at| Location { line: at.line(), column: at.column() });
        let mut message = error.to_string();
        if let Some(at) = location {
            message = message.replacen(&format!(" at line {} column {}", at.line, at.column), "", 1);
        }
        // The reader puts the path, or that of a mapping around the key, before its message.
        let parents = path.match_indices(['.', '[']).map(|(end, _)| &path[..end]);
        let prefixes = [path.as_str()].into_iter().chain(parents).map(|parent| format!("{parent}: "));
        if let Some(rest) =
            prefixes.into_iter().find_map(|prefix| message.strip_prefix(&prefix).map(str::to_owned))
        {
            message = rest;
        }
        Self { path, message, location }
    }

    /// The error as it is shown.
    pub(super) fn diagnostic(self, file: &Path, text: &str) -> Diagnostic {
        // A key given twice at the top is reported without a place: look for it.
        let this = match serde_yaml::from_str::<Entries<IgnoredAny>>(text) {
            Err(error) if self.message.starts_with("duplicate field") => Self::new(String::new(), &error),
            _ => self,
        };
        let (message, help) = this.explain();
        let location = match control_character(text) {
            Some(place) if this.message.starts_with("control characters") => Some(place),
            _ => this.location,
        };
        let prefix = if this.path.is_empty() { String::new() } else { format!("{}: ", this.path) };
        Diagnostic::at(file, text, location, format!("{prefix}{message}"), help)
    }

    /// The message in our words, and advice.
    fn explain(&self) -> (String, Option<String>) {
        if self.message.starts_with("unknown field `") {
            return unknown_key(&self.message);
        }
        if let Some(name) = self.message.strip_prefix("missing field ") {
            return (format!("the key {} is missing", name.trim_matches('`')), None);
        }
        if self.message.contains("more than one document") {
            return ("expected one YAML document, got several".to_owned(), None);
        }
        if self.message.starts_with("control characters") {
            return ("control characters are not allowed".to_owned(), None);
        }
        match self.message.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected ")) {
            Some((got, "a sequence")) => (format!("expected a list, got {}", kind(got)), None),
            Some(("sequence", expected)) if self.path.contains("MODEL_ARGS.") => {
                let help = "several words are written as one text: \"[a b c]\"".to_owned();
                (format!("expected {expected}, got a list"), Some(help))
            }
            Some((got, expected)) => (format!("expected {expected}, got {}", kind(got)), None),
            None => (self.message.clone(), None),
        }
    }
}

/// From the reader's "unknown field `X`, expected one of `A`, `B`".
fn unknown_key(message: &str) -> (String, Option<String>) {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next().unwrap_or_default();
    if TRAINING_KEYS.contains(&unknown) {
        let help = "only training cases use it; a case with MODE: inference must do without".to_owned();
        return ("unexpected key".to_owned(), Some(help));
    }
    let known: Vec<&str> = names.collect();
    let help = suggestion(unknown, known.iter().copied())
        .unwrap_or_else(|| format!("known keys: {}", known.join(", ")));
    ("unknown key".to_owned(), Some(help))
}

/// Names of YAML's kinds in place of the reader's.
fn kind(got: &str) -> &str {
    match got {
        "sequence" => "a list",
        "map" => "a mapping",
        "unit value" => "nothing",
        other => other,
    }
}

/// The first character that YAML forbids.
fn control_character(text: &str) -> Option<Location> {
    let forbidden = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let (index, line) = text.split('\n').enumerate().find(|(_, line)| line.contains(forbidden))?;
    let column = line.chars().take_while(|c| !forbidden(*c)).count();
    Some(Location { line: index + 1, column: column + 1 })
}
