//! Which vocabulary turns text into tokens.

use std::path::{Path, PathBuf};

use super::case_plan::{Origin, TokenizerPlan};
use super::resolution::{PathArgument, Resolution};

impl Resolution<'_> {
    pub(super) fn tokenizer(&mut self) -> Option<TokenizerPlan> {
        let kind = self.text("--tokenizer-type");
        let pattern = self.text("--tiktoken-pattern")?;
        match kind.as_deref() {
            None => self.default_tokenizer(),
            Some("TikTokenizer") => {
                Some(TokenizerPlan::TikToken { path: self.tokenizer_model("TikTokenizer")?, pattern })
            }
            Some("HuggingFaceTokenizer") => {
                Some(TokenizerPlan::HuggingFace { path: self.tokenizer_model("HuggingFaceTokenizer")? })
            }
            Some(other) => {
                self.obstacle(format!("--tokenizer-type {other}: this tokenizer is not implemented yet"));
                None
            }
        }
    }

    fn default_tokenizer(&mut self) -> Option<TokenizerPlan> {
        if self.is_given("--tokenizer-model") {
            let help = "add --tokenizer-type: TikTokenizer or HuggingFaceTokenizer";
            self.error("--tokenizer-model", "needs --tokenizer-type", Some(help));
            return None;
        }
        let meaning = "kind of tokenizer";
        match self.checkpoint_path() {
            PathArgument::Absent => {
                self.note("--tokenizer-type", "built-in", Origin::Default, meaning);
                Some(TokenizerPlan::BuiltIn)
            }
            // The missing checkpoint is an obstacle already.
            PathArgument::Unset(_) => None,
            PathArgument::Given { path, .. } => {
                self.note("--tokenizer-type", "the checkpoint's own", Origin::Default, meaning);
                Some(TokenizerPlan::HuggingFace { path })
            }
        }
    }

    fn tokenizer_model(&mut self, kind: &str) -> Option<PathBuf> {
        match self.path("--tokenizer-model") {
            PathArgument::Absent => {
                let help = "omit --tokenizer-type for the checkpoint's own tokenizer, or the built-in one";
                self.error("--tokenizer-type", format!("{kind} needs --tokenizer-model"), Some(help));
                None
            }
            given => self.existing("--tokenizer-model", given),
        }
    }

    /// The path, if it exists; else an obstacle (it was built from a variable) or a mistake (it was not).
    pub(super) fn existing(&mut self, flag: &'static str, argument: PathArgument) -> Option<PathBuf> {
        match argument {
            PathArgument::Absent => None,
            PathArgument::Unset(variable) => {
                self.obstacle(format!("the environment variable {variable} is not set"));
                None
            }
            PathArgument::Given { path, variable } => {
                if (self.inputs.exists)(&path) {
                    return Some(path);
                }
                self.report_absent(flag, &path, variable);
                None
            }
        }
    }

    fn report_absent(&mut self, flag: &'static str, path: &Path, variable: Option<&'static str>) {
        match variable {
            Some("FETCHED_MODELS") => {
                let models = self.inputs.environment.get("FETCHED_MODELS").unwrap_or_default();
                let below = path.strip_prefix(models).unwrap_or(path);
                let model = below
                    .components()
                    .next()
                    .map_or_else(Default::default, |c| c.as_os_str().to_string_lossy());
                self.obstacle(format!("model absent: run `cargo xtask fetch-model {model}`"));
            }
            Some(variable) => {
                self.obstacle(format!(
                    "{flag}: {} does not exist (from the environment variable {variable})",
                    path.display()
                ));
            }
            None => self.error(flag, format!("{} does not exist", path.display()), None),
        }
    }
}
