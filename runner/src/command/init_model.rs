//! `goldlap init-model`: a random model as a Hugging Face folder.

use std::path::PathBuf;

use clap::Args;
use goldlap_kernels::model::hugging_face::init_model;
use goldlap_kernels::model::random::RandomWeights;
use goldlap_kernels::model::weights::WeightSource;

use super::output::print;
use super::plan_of_case::model_of_case;
use super::{CommandError, Exit};
use crate::config::CaseFile;
use crate::plan::ModelPlan;

/// The architecture is given by Megatron's flags, as in a case's MODEL_ARGS: for instance
/// `goldlap init-model --output m --num-layers 2 --hidden-size 64 --num-attention-heads 4 --swiglu
/// --normalization RMSNorm --position-embedding-type rope --disable-bias-linear --padded-vocab-size 512
/// --max-position-embeddings 256 --seed 1`.
#[derive(Args)]
pub(super) struct InitModel {
    /// Folder to write; must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Take the flags of this model_config.yaml, instead of FLAGS
    #[arg(long, value_name = "FILE")]
    case: Option<PathBuf>,
    /// Megatron's model flags, --seed and --init-method-std
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    flags: Vec<String>,
}

impl InitModel {
    pub(super) fn run(mut self) -> Result<Exit, CommandError> {
        let among_flags = take_value(&mut self.flags, "--output").map(PathBuf::from);
        let Some(output) = self.output.take().or(among_flags) else {
            return Err(CommandError("--output DIR is missing: expected the folder to write".to_owned()));
        };
        let (config, seed, std) = match self.model()? {
            ModelPlan::Random { config, seed, init_method_std } => (config, seed, init_method_std),
            ModelPlan::Checkpoint { path } => {
                let text =
                    format!("--load {}: init-model writes random models; leave --load out", path.display());
                return Err(CommandError(text));
            }
            ModelPlan::Elsewhere => return Err(CommandError("there is no model to write here".to_owned())),
        };
        let weights = RandomWeights::new(config, seed, std).map_err(CommandError::from_error)?;
        let tokenizer =
            "the built-in vocabulary (cl100k_base ranks + 1000), where ids are below the vocabulary size";
        let model_type = init_model(&weights, &output, tokenizer).map_err(CommandError::from_error)?;
        print(&format!(
            "{}: {} with {} parameters, seed {seed}, standard deviation {std}\n",
            output.display(),
            model_type.name(),
            weights.config().num_parameters()
        ))?;
        Ok(Exit::Success)
    }

    /// Plans a case that has just these flags: one flag table, one set of error messages.
    fn model(&self) -> Result<ModelPlan, CommandError> {
        let (path, case) = match &self.case {
            Some(path) if self.flags.is_empty() => (path.clone(), CaseFile::read(path)),
            Some(path) => {
                let text = format!("--case {}: give either a case or flags, not both", path.display());
                return Err(CommandError(text));
            }
            None => {
                let path = PathBuf::from("command line");
                let case = CaseFile::parse(&path, case_text(&self.flags)?);
                (path, case)
            }
        };
        model_of_case(&path, &case.map_err(CommandError::from_error)?)
    }
}

/// Takes an option of ours out of the model's flags: it may stand behind them.
fn take_value(flags: &mut Vec<String>, name: &str) -> Option<String> {
    let at = flags.iter().position(|flag| flag == name).filter(|at| at + 1 < flags.len())?;
    flags.remove(at);
    Some(flags.remove(at))
}

/// `--flag value --flag=value --switch ...` as a case's file.
fn case_text(flags: &[String]) -> Result<String, CommandError> {
    let mut text =
        String::from("TEST_TYPE: frozen-start\nMODE: inference\nMETRICS: [generated_tokens]\nMODEL_ARGS:\n");
    text.push_str("  --prompts: none\n");
    let mut rest = flags.iter().peekable();
    while let Some(flag) = rest.next() {
        if !flag.starts_with("--") {
            return Err(CommandError(format!("expected a flag such as --num-layers, got {flag:?}")));
        }
        let (flag, value) = match flag.split_once('=') {
            Some(pair) => pair,
            None => {
                (flag.as_str(), rest.next_if(|next| !next.starts_with("--")).map_or("true", String::as_str))
            }
        };
        let quoted = serde_json::to_string(value).map_err(CommandError::from_error)?;
        text.push_str(&format!("  {flag}: {quoted}\n"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_flags_come_in_any_order_and_spelling() {
        let words = ["--num-layers=2", "--output", "m", "--swiglu", "--seed", "7"];
        let mut flags = words.map(str::to_owned).to_vec();
        assert_eq!(take_value(&mut flags, "--output").as_deref(), Some("m"));
        let text = case_text(&flags).unwrap();
        for line in ["  --num-layers: \"2\"\n", "  --swiglu: \"true\"\n", "  --seed: \"7\"\n"] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(take_value(&mut vec!["--output".to_owned()], "--output"), None);
        assert!(case_text(&["2".to_owned()]).unwrap_err().to_string().contains("got \"2\""));
    }
}
