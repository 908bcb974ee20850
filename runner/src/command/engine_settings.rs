//! What `serve` and `rank` are told of model and engine: by options, by a case's model_config.yaml, or by both.

use std::path::PathBuf;

use clap::Args;

use super::CommandError;
use super::generate::{Limits, tokenizer_plan};
use super::plan_of_case::plan_of_case;
use crate::plan::{AbsentModel, EnginePlan, ModelPlan, Platform, RoutingPlan, TokenizerPlan, Topology};

/// Key of the sampler where nobody names one, as in a case.
const DEFAULT_SEED: u64 = 1234;

#[derive(Args)]
pub(super) struct EngineSettings {
    /// Hugging Face folder: config.json, safetensors, tokenizer
    #[arg(long, value_name = "DIR", required_unless_present = "config")]
    model: Option<PathBuf>,
    /// model_config.yaml of a case: its model, vocabulary, seed, engine flags, replicas and routing hold, where no option says
    /// otherwise; its requests and METRICS are of no interest
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// tokenizer.json, a folder with one, a TikTokenizer vocabulary or tekken.json [default: the model's own, else the built-in]
    #[arg(long, value_name = "PATH")]
    tokenizer: Option<PathBuf>,
    /// Sampling seed [default: 1234]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    #[command(flatten)]
    limits: Limits,
}

/// Everything resolved.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) model: ModelPlan,
    pub(super) tokenizer: TokenizerPlan,
    pub(super) seed: u64,
    pub(super) engine: EnginePlan,
    pub(super) routing: RoutingPlan,
    pub(super) num_ranks: u32,
}

impl EngineSettings {
    /// `num_ranks` as an option says, if one does.
    pub(super) fn resolve(
        &self,
        platform: &Platform,
        num_ranks: Option<u32>,
    ) -> Result<Resolved, CommandError> {
        let mut settings = match &self.config {
            Some(config) => {
                // Weights that another option names need not be where the case has them.
                let absent = if self.model.is_some() { AbsentModel::IsReplaced } else { AbsentModel::Skips };
                let plan = plan_of_case(config, platform, absent)?;
                Resolved {
                    model: plan.model,
                    tokenizer: plan.tokenizer,
                    seed: plan.workload.sampling.seed,
                    engine: plan.engine,
                    routing: plan.routing,
                    num_ranks: replicas(plan.topology)?,
                }
            }
            None => Resolved {
                model: ModelPlan::Elsewhere,
                tokenizer: TokenizerPlan::BuiltIn,
                seed: DEFAULT_SEED,
                engine: Limits::default_plan(),
                routing: RoutingPlan::BY_LOAD,
                num_ranks: 1,
            },
        };
        if let Some(model) = &self.model {
            settings.model = ModelPlan::Checkpoint { path: model.clone() };
            settings.tokenizer = tokenizer_plan(model, None);
        }
        if let Some(tokenizer) = &self.tokenizer {
            settings.tokenizer = tokenizer_plan(tokenizer, Some(tokenizer));
        }
        settings.seed = self.seed.unwrap_or(settings.seed);
        settings.num_ranks = num_ranks.unwrap_or(settings.num_ranks);
        settings.engine = self.limits.over(settings.engine, settings.num_ranks as usize)?;
        Ok(settings)
    }
}

fn replicas(topology: Topology) -> Result<u32, CommandError> {
    u32::try_from(topology.data_parallel).map_err(CommandError::from_error)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::plan::RoutingPolicy;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: EngineSettings,
    }

    /// A case of two replicas that routes by prefix, in a folder of that name.
    fn resolved(options: &[&str], num_ranks: Option<u32>) -> Result<Resolved, CommandError> {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("gpt_tp1_pp1_dp2_routed");
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("model_config.yaml");
        let text = "MODE: inference\nMODEL_ARGS:\n  --num-layers: 2\n  --hidden-size: 64\n  --num-attention-heads: 4\n  \
            --max-position-embeddings: 64\n  --prompts: hi\n  --seed: 7\n  --inference-max-seq-length: 48\n  \
            --inference-dynamic-batching-prefix-caching: true\n  \
            --inference-dynamic-batching-prefix-caching-coordinator-policy: longest_prefix\nMETRICS: [generated_tokens]\n";
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        let words = ["goldlap", "--config", &file].into_iter().chain(options.iter().copied());
        Line::parse_from(words).settings.resolve(&Platform::Cpu, num_ranks)
    }

    #[test]
    fn a_case_says_everything() {
        let settings = resolved(&[], None).unwrap();
        assert!(matches!(settings.model, ModelPlan::Random { seed: 7, .. }), "{:?}", settings.model);
        assert_eq!((settings.num_ranks, settings.seed), (2, 7));
        assert_eq!(settings.routing.policy, RoutingPolicy::LongestPrefix);
        assert_eq!(settings.engine.max_sequence_length, 48);
        assert!(settings.engine.features.prefix_caching.is_some());
    }

    #[test]
    fn options_go_before_the_case() {
        let options = ["--seed", "8", "--inference-max-seq-length", "32", "--model", "m", "--threads", "1"];
        let settings = resolved(&options, Some(3)).unwrap();
        assert!(matches!(&settings.model, ModelPlan::Checkpoint { path } if path.ends_with("m")));
        assert_eq!((settings.num_ranks, settings.seed), (3, 8));
        assert_eq!((settings.engine.max_sequence_length, settings.engine.num_threads), (32, Some(1)));
        assert!(settings.engine.features.prefix_caching.is_some(), "what no option names stays");
    }

    #[test]
    fn one_of_the_two_is_needed() {
        let Err(error) = Line::try_parse_from(["goldlap"]) else { panic!("accepted") };
        assert!(error.to_string().contains("--model <DIR>"), "{error}");
    }
}
