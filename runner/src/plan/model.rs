//! Where the weights come from.

use std::path::{Path, PathBuf};

use super::case_plan::{ModelPlan, TokenizerPlan};
use super::inputs::AbsentModel;
use super::resolution::{PathArgument, Resolution};

/// Flags that a checkpoint's own config answers.
const ARCHITECTURE_FLAGS: [&str; 29] = [
    "--num-layers",
    "--hidden-size",
    "--num-attention-heads",
    "--ffn-hidden-size",
    "--kv-channels",
    "--group-query-attention",
    "--num-query-groups",
    "--max-position-embeddings",
    "--seq-length",
    "--position-embedding-type",
    "--rotary-base",
    "--rotary-percent",
    "--use-rope-scaling",
    "--rope-scaling-factor",
    "--normalization",
    "--norm-epsilon",
    "--apply-layernorm-1p",
    "--qk-layernorm",
    "--swiglu",
    "--squared-relu",
    "--openai-gelu",
    "--no-bias-gelu-fusion",
    "--disable-bias-linear",
    "--add-qkv-bias",
    "--untie-embeddings-and-output-weights",
    "--make-vocab-size-divisible-by",
    "--padded-vocab-size",
    "--vocab-size",
    "--init-method-std",
];

impl Resolution<'_> {
    pub(super) fn model(&mut self, tokenizer: Option<&TokenizerPlan>) -> Option<ModelPlan> {
        let argument = self.path("--load");
        if matches!(argument, PathArgument::Absent) {
            return self.random_model(tokenizer);
        }
        if self.is_replaced(&argument) || self.is_replaced_as_foreign(&argument) {
            self.replaced = true;
            self.ignore("--load", "no weights to read there: random ones were asked for");
            return self.random_model(tokenizer);
        }
        if self.is_elsewhere(&argument) {
            self.ignore("--load", "not there: somebody else's ranks have the weights");
            return Some(ModelPlan::Elsewhere);
        }
        for flag in ARCHITECTURE_FLAGS {
            self.ignore(flag, "the checkpoint's own config decides");
        }
        let path = self.existing("--load", argument)?;
        self.hugging_face_folder(path)
    }

    /// Whether a checkpoint or a vocabulary is missing that the run was told to do without.
    pub(super) fn is_replaced(&self, argument: &PathArgument) -> bool {
        self.inputs.absent == AbsentModel::IsReplaced && self.is_missing(argument)
    }

    /// Whether the weights are there, in Megatron's own format, which is as good as missing.
    fn is_replaced_as_foreign(&self, argument: &PathArgument) -> bool {
        let PathArgument::Given { path, .. } = argument else { return false };
        self.inputs.absent == AbsentModel::IsReplaced && self.is_foreign(path)
    }

    fn is_foreign(&self, path: &Path) -> bool {
        let has = |file: &str| (self.inputs.exists)(&path.join(file));
        !has("config.json") && (has("latest_checkpointed_iteration.txt") || has("metadata.json"))
    }

    fn is_elsewhere(&self, argument: &PathArgument) -> bool {
        let is_foreign = matches!(argument, PathArgument::Given { path, .. } if self.is_foreign(path));
        self.inputs.absent == AbsentModel::IsElsewhere && (self.is_missing(argument) || is_foreign)
    }

    fn is_missing(&self, argument: &PathArgument) -> bool {
        match argument {
            PathArgument::Absent => false,
            PathArgument::Unset(_) => true,
            PathArgument::Given { path, .. } => !(self.inputs.exists)(path),
        }
    }

    fn hugging_face_folder(&mut self, path: PathBuf) -> Option<ModelPlan> {
        if (self.inputs.exists)(&path.join("config.json")) {
            return Some(ModelPlan::Checkpoint { path });
        }
        if self.is_foreign(&path) {
            self.absence(format!(
                "--load: {} is a checkpoint in Megatron's own format, which this version does not read",
                path.display()
            ));
        } else {
            let message = format!("{} has no config.json: expected a Hugging Face folder", path.display());
            self.error("--load", message, None);
        }
        None
    }

    fn random_model(&mut self, tokenizer: Option<&TokenizerPlan>) -> Option<ModelPlan> {
        let config = self.architecture(tokenizer);
        let seed = self.integer("--seed");
        let init_method_std =
            self.number_in("--init-method-std", |std| std > 0.0 && std <= 10.0, "more than 0, at most 10");
        Some(ModelPlan::Random {
            config: config?,
            seed: seed?.unsigned_abs(),
            init_method_std: init_method_std?,
        })
    }
}
