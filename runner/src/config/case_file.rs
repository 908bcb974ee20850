//! Reading one `model_config.yaml`: which schema it follows, and precise errors where it follows none.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use super::diagnostic::{ConfigError, Diagnostic};
use super::entries::Entries;
use super::model_args_file::ModelArgs;
use super::raw_case::{MEGATRON_KEYS, RawCase, RawPerformanceCase, SchemaMarks, TRAINING_KEYS, UniqueArgs};
use super::read_error::read;

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
    Performance(Box<PerformanceFile>),
    /// A case of Megatron's training tests whose keys go beyond [`RawCase`]; holds MODE, if given.
    Training(Option<String>),
    /// A case of Megatron's performance tests that loads its HTTP frontend and runs no model.
    Frontend,
}

/// A case of Megatron's performance tests, with the arguments of its model.
#[derive(Clone, Debug)]
pub struct PerformanceFile {
    /// The case.
    pub case: RawPerformanceCase,
    /// What `MODEL.args` says, or why it says nothing.
    pub model_args: Result<ModelArgs, String>,
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
        let mut this = Self::parse(path, text)?;
        if let RawFile::Performance(file) = &mut this.content {
            file.model_args = ModelArgs::find(path, &file.case.model);
        }
        Ok(this)
    }

    /// Parses the text of a file; `path` is for messages only.
    pub fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let content = parse_content(path, &text)?;
        Ok(Self { path: path.to_owned(), text, content })
    }

    /// The first flag that MODEL_ARGS gives twice.
    pub fn repeated_flag(&self) -> Option<Diagnostic> {
        let RawFile::Functional(case) = &self.content else { return None };
        let mut seen = HashSet::new();
        let mut flags = case.model_args.iter().flat_map(|args| args.iter());
        if flags.all(|(flag, _)| seen.insert(flag)) {
            return None;
        }
        // The strict reader knows the place.
        read::<UniqueArgs>(&self.text).err().map(|error| error.diagnostic(&self.path, &self.text))
    }
}

fn parse_content(path: &Path, text: &str) -> Result<RawFile, ConfigError> {
    let error = match read::<RawCase>(text) {
        // Megatron's cases that a script of their own runs, and no inference script, have MODEL_ARGS without a flag.
        Ok(case) if case.mode.is_none() && case.model_args.is_none() && is_training(None, text) => {
            return Ok(RawFile::Training(None));
        }
        Ok(case) => return Ok(RawFile::Functional(Box::new(case))),
        Err(error) => error,
    };
    if let Ok(marks) = serde_yaml::from_str::<SchemaMarks>(text) {
        let mode = marks.mode.map(|mode| mode.0);
        if marks.num_engines.is_some() && marks.model_args.is_none() {
            return Ok(RawFile::Frontend);
        }
        if marks.model.is_some() || (marks.num_output_tokens.is_some() && marks.model_args.is_none()) {
            let case = read(text).map_err(|error| error.diagnostic(path, text))?;
            let model_args = Err("a text that is no file has no MODEL.args beside it".to_owned());
            return Ok(RawFile::Performance(Box::new(PerformanceFile { case, model_args })));
        }
        if marks.model_args.is_some() && is_training(mode.as_deref(), text) {
            return Ok(RawFile::Training(mode));
        }
    }
    Err(error.diagnostic(path, text).into())
}

/// What keeps a training case from reading as an inference case (merge keys, lists, flags given twice) is no mistake of
/// its: where MODE says so, or is absent and every key is one that such a case has.
fn is_training(mode: Option<&str>, text: &str) -> bool {
    match mode {
        Some("pretraining" | "rl") => true,
        Some(_) => false,
        None => serde_yaml::from_str::<Entries<IgnoredAny>>(text).is_ok_and(|entries| {
            let is_theirs = |key: &str| TRAINING_KEYS.contains(&key) || MEGATRON_KEYS.contains(&key);
            entries.get("MODEL_ARGS").is_some() && entries.iter().all(|(key, _)| is_theirs(key))
        }),
    }
}

impl RawFile {
    /// Parses a text that is no file: the entry for fuzzing.
    pub fn from_text(text: &str) -> Result<Self, ConfigError> {
        parse_content(Path::new("model_config.yaml"), text)
    }

    /// The functional case in it, if it is one.
    pub fn functional(&self) -> Option<&RawCase> {
        match self {
            Self::Functional(case) => Some(case),
            Self::Performance(_) | Self::Training(_) | Self::Frontend => None,
        }
    }
}
