//! Reading one `model_config.yaml`: which schema it follows, and precise errors where it follows none.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IgnoredAny};

use super::diagnostic::{ConfigError, Diagnostic, suggestion};
use super::entries::Entries;
use super::locate::{KeyPath, Location, Part};
use super::raw_case::{RawCase, RawPerformanceCase, SchemaMarks, TRAINING_KEYS};

/// A case file has some dozens of lines; a larger one is something else.
const MAX_BYTES: u64 = 1 << 20;

/// A case file as read: its text (for error messages) and what it says.
#[derive(Clone, Debug)]
pub struct CaseFile {
    /// The file.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
    /// What it says.
    pub content: RawFile,
}

/// The schemas that a `model_config.yaml` can follow.
#[derive(Clone, Debug)]
pub enum RawFile {
    /// A functional test case.
    Functional(Box<RawCase>),
    /// A case of Megatron's performance tests.
    Performance(Box<RawPerformanceCase>),
    /// A case of Megatron's training tests whose keys go beyond [`RawCase`]; holds MODE, if given.
    Training(Option<String>),
}

impl CaseFile {
    /// Reads and parses a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let fail = |message: String| Diagnostic::at(path, "", None, message, None);
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|error| fail(format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(fail(format!("is larger than {MAX_BYTES} bytes: this is not a case file")).into());
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            fail(format!("is not UTF-8: first bad byte at offset {}", error.utf8_error().valid_up_to()))
        })?;
        Self::parse(path, text)
    }

    /// Parses the text of a file; `path` is for messages only.
    pub fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let content = parse_content(path, &text)?;
        Ok(Self { path: path.to_owned(), text, content })
    }
}

fn parse_content(path: &Path, text: &str) -> Result<RawFile, ConfigError> {
    let error = match read::<RawCase>(text) {
        Ok(case) => return Ok(RawFile::Functional(Box::new(case))),
        Err(error) => error,
    };
    if let Ok(marks) = serde_yaml::from_str::<SchemaMarks>(text) {
        let mode = marks.mode.map(|mode| mode.0);
        if marks.model.is_some() || (marks.num_output_tokens.is_some() && marks.model_args.is_none()) {
            let case = read(text).map_err(|error| error.diagnostic(path, text))?;
            return Ok(RawFile::Performance(Box::new(case)));
        }
        if marks.model_args.is_some() && mode.as_deref() != Some("inference") && has_training_key(text) {
            return Ok(RawFile::Training(mode));
        }
    }
    Err(error.diagnostic(path, text).into())
}

fn has_training_key(text: &str) -> bool {
    serde_yaml::from_str::<Entries<IgnoredAny>>(text)
        .is_ok_and(|entries| entries.iter().any(|(key, _)| TRAINING_KEYS.contains(&key)))
}

/// What the YAML reader said, taken apart.
struct ReadError {
    path: String,
    message: String,
    location: Option<Location>,
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, ReadError> {
    // The plain reader is quicker; the tracking one is asked again only to explain a failure.
    if let Ok(value) = serde_yaml::from_str(text) {
        return Ok(value);
    }
    serde_path_to_error::deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| {
        let path = error.path().to_string();
        ReadError::new(if path == "." { String::new() } else { path }, error.inner())
    })
}

impl ReadError {
    fn new(path: String, error: &serde_yaml::Error) -> Self {
        let location = error.location().map(|at| Location { line: at.line(), column: at.column() });
        let text = error.to_string();
        let without_place = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
        let message = without_place.strip_prefix(&format!("{path}: ")).unwrap_or(without_place);
        Self { path, message: message.to_owned(), location }
    }

    fn diagnostic(self, file: &Path, text: &str) -> Diagnostic {
        // A key given twice at the top is reported without a place: look for it.
        let this = match serde_yaml::from_str::<Entries<IgnoredAny>>(text) {
            Err(error) if self.message.starts_with("duplicate field") => Self::new(String::new(), &error),
            _ => self,
        };
        let (message, help) = this.explain();
        let at_key =
            |path: &str| KeyPath(path.split('.').map(str::to_owned).collect()).locate(text, Part::Value);
        let location = this.location.or_else(|| at_key(&this.path));
        let prefix = if this.path.is_empty() { String::new() } else { format!("{}: ", this.path) };
        Diagnostic::at(file, text, location, format!("{prefix}{message}"), help)
    }

    /// The message in our words, and advice.
    fn explain(&self) -> (String, Option<String>) {
        let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        if self.message.starts_with("unknown field `") {
            let names = quoted(&self.message);
            let (unknown, known) = (names[0].as_str(), &names[1..]);
            if TRAINING_KEYS.contains(&unknown) {
                let help =
                    "only training cases use it; a case with MODE: inference must do without".to_owned();
                return (format!("unexpected key {unknown}"), Some(help));
            }
            let help = suggestion(unknown, known.iter().map(String::as_str))
                .unwrap_or_else(|| format!("known keys: {}", known.join(", ")));
            return (format!("unknown key {unknown}"), Some(help));
        }
        if let Some(name) = self.message.strip_prefix("missing field ") {
            return (format!("the key {} is missing", name.trim_matches('`')), None);
        }
        match self.message.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected ")) {
            Some((got, expected)) => (format!("expected {expected}, got {got}"), list_help(got)),
            None => (self.message.clone(), None),
        }
    }
}

fn list_help(got: &str) -> Option<String> {
    (got == "sequence").then(|| "several words are written as one text: \"[a b c]\"".to_owned())
}

/// Arbitrary bytes in, no panic out: the entry for fuzzing.
impl RawFile {
    /// Parses a text that comes from nowhere.
    pub fn from_text(text: &str) -> Result<Self, ConfigError> {
        parse_content(Path::new("model_config.yaml"), text)
    }

    /// The functional case in it, if it is one.
    pub fn functional(&self) -> Option<&RawCase> {
        match self {
            Self::Functional(case) => Some(case),
            Self::Performance(_) | Self::Training(_) => None,
        }
    }
}
