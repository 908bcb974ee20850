//! Which vocabulary turns text into tokens.

use std::path::{Path, PathBuf};

use super::case_plan::{Origin, TokenizerPlan};
use super::inputs::AbsentModel;
use super::resolution::{PathArgument, Resolution};

impl Resolution<'_> {
    pub(super) fn tokenizer(&mut self) -> Option<TokenizerPlan> {
        let kind = self.text("--tokenizer-type");
        let pattern = self.text("--tiktoken-pattern")?;
        let model = self.path("--tokenizer-model");
        match (kind.as_deref(), model) {
            (None, PathArgument::Absent) => self.default_tokenizer(),
            (None, _) => {
                let help = "add --tokenizer-type: TikTokenizer or HuggingFaceTokenizer";
                self.error("--tokenizer-model", "needs --tokenizer-type", Some(help));
                None
            }
            (Some("TikTokenizer"), PathArgument::Absent) => {
                self.note("--tokenizer-model", "built-in", Origin::Default, "vocabulary of the tokenizer");
                Some(TokenizerPlan::BuiltIn)
            }
            (Some("TikTokenizer" | "HuggingFaceTokenizer"), model) if self.is_replaced(&model) => {
                self.ignore("--tokenizer-model", "not there: the built-in vocabulary stands for it");
                Some(TokenizerPlan::BuiltIn)
            }
            (Some("TikTokenizer"), model) => {
                Some(TokenizerPlan::TikToken { path: self.existing("--tokenizer-model", model)?, pattern })
            }
            (Some("HuggingFaceTokenizer"), PathArgument::Absent) => self.checkpoint_tokenizer(),
            (Some("HuggingFaceTokenizer"), model) => {
                Some(TokenizerPlan::HuggingFace { path: self.existing("--tokenizer-model", model)? })
            }
            (Some(other), _) => {
                self.obstacle(format!("--tokenizer-type {other}: this tokenizer is not implemented yet"));
                None
            }
        }
    }

    fn default_tokenizer(&mut self) -> Option<TokenizerPlan> {
        if self.is_given("--load") {
            return self.checkpoint_tokenizer();
        }
        self.note("--tokenizer-type", "built-in", Origin::Default, "kind of tokenizer");
        Some(TokenizerPlan::BuiltIn)
    }

    /// The tokenizer in the checkpoint's own folder.
    fn checkpoint_tokenizer(&mut self) -> Option<TokenizerPlan> {
        match self.path("--load") {
            PathArgument::Absent => {
                let help = "give --tokenizer-model, or --load a folder that has a tokenizer.json";
                self.error("--tokenizer-type", "HuggingFaceTokenizer needs --tokenizer-model", Some(help));
                None
            }
            argument if self.is_replaced(&argument) => Some(TokenizerPlan::BuiltIn),
            // The missing checkpoint is an obstacle already, unless its weights are not needed here.
            PathArgument::Unset(variable) => {
                if self.inputs.absent == AbsentModel::IsElsewhere {
                    self.obstacle(format!(
                        "the environment variable {variable} is not set, and requests need the checkpoint's vocabulary"
                    ));
                }
                None
            }
            PathArgument::Given { path, .. } => {
                self.note(
                    "--tokenizer-model",
                    "the checkpoint's own",
                    Origin::Default,
                    "vocabulary of the tokenizer",
                );
                Some(TokenizerPlan::HuggingFace { path })
            }
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
