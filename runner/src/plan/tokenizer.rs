//! Which vocabulary turns text into tokens.

use std::path::{Component, Path, PathBuf};

use super::case_plan::{Origin, TokenizerPlan};
use super::inputs::AbsentModel;
use super::resolution::{PathArgument, Resolution};

/// Where the original has its cases.
const CASES_OF_THE_ORIGINAL: &str = "tests/functional_tests/test_cases";

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
                if self.is_on_the_hub(&model) {
                    return None;
                }
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
                    self.absence(format!(
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

    /// Whether the tokenizer is one that the original would fetch by its name, OWNER/MODEL; then the case is skipped.
    fn is_on_the_hub(&mut self, model: &PathArgument) -> bool {
        let PathArgument::Given { path, variable: None } = model else { return false };
        let Ok(name) = path.strip_prefix(self.inputs.folder) else { return false };
        let mut parts = name.components().map(|part| matches!(part, Component::Normal(_)));
        let is_name = parts.next() == Some(true) && parts.next() == Some(true) && parts.next().is_none();
        if !is_name || (self.inputs.exists)(path) || path.extension().is_some_and(|end| end == "json") {
            return false;
        }
        let name = name.display();
        self.absence(format!(
            "--tokenizer-model: {name} is no folder here, and models are not fetched by their names on the Hugging Face hub"
        ));
        true
    }

    /// The path, if it exists; else an obstacle (it was built from a variable) or a mistake (it was not).
    pub(super) fn existing(&mut self, flag: &'static str, argument: PathArgument) -> Option<PathBuf> {
        match argument {
            PathArgument::Absent => None,
            PathArgument::Unset(variable) => {
                self.absence(format!("the environment variable {variable} is not set"));
                None
            }
            PathArgument::Given { path, variable } => {
                if (self.inputs.exists)(&path) {
                    return Some(path);
                }
                let found = self.below_the_cases(&path);
                if found.is_none() {
                    self.report_absent(flag, &path, variable);
                }
                found
            }
        }
    }

    /// The original's scripts run in the root of its checkout, and its cases name their own files from there: the part of such
    /// a path that lies below the folder of all cases.
    fn named_from_the_checkout<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        path.strip_prefix(self.inputs.folder).ok()?.strip_prefix(CASES_OF_THE_ORIGINAL).ok()
    }

    /// The file that such a path means, wherever the folder of all cases is.
    fn below_the_cases(&self, path: &Path) -> Option<PathBuf> {
        let below = self.named_from_the_checkout(path)?;
        let above = self.inputs.folder.ancestors().skip(1);
        above.map(|above| above.join(below)).find(|path| (self.inputs.exists)(path))
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
                self.absence(format!("model absent: run `cargo xtask fetch-model {model}`"));
            }
            Some(variable) => {
                self.absence(format!(
                    "{flag}: {} does not exist (from the environment variable {variable})",
                    path.display()
                ));
            }
            None => match self.named_from_the_checkout(path) {
                Some(below) => {
                    let message = format!("no folder above this case has {}", below.display());
                    self.error(flag, message, None);
                }
                None => self.error(flag, format!("{} does not exist", path.display()), None),
            },
        }
    }
}
