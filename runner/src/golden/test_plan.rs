//! A plan for tests that need one and look at its name, platform and metrics only.

use std::time::Duration;

use crate::plan::{
    Arrival, CasePlan, EngineFeatures, EnginePlan, ModelPlan, Platform, PromptSource, RoutingPlan,
    SamplingPlan, TerminationPlan, TokenizerPlan, Topology, WorkloadPlan,
};

/// The plan.
pub(crate) fn plan(name: &str, platform: Platform, metrics: Vec<String>) -> CasePlan {
    let sampling = SamplingPlan {
        temperature: 1.0,
        top_k: 1,
        top_p: 0.0,
        seed: 1,
        return_log_probs: true,
        skip_prompt_log_probs: false,
        top_n_logprobs: 0,
        stop_words: Vec::new(),
        termination: TerminationPlan::Never,
    };
    CasePlan {
        name: name.to_owned(),
        folder: "/cases/x".into(),
        golden_folder: "/goldens/x".into(),
        platform,
        model: ModelPlan::Checkpoint { path: "/model".into() },
        tokenizer: TokenizerPlan::BuiltIn,
        topology: Topology { tensor_parallel: 1, pipeline_parallel: 1, data_parallel: 1 },
        engine: EnginePlan {
            kv_buffer_bytes: 1 << 20,
            block_size: 16,
            max_requests: None,
            max_tokens: 64,
            max_sequence_length: 64,
            num_threads: None,
            features: EngineFeatures::OFF,
        },
        routing: RoutingPlan::BY_LOAD,
        workload: WorkloadPlan {
            source: PromptSource::Inline(vec!["hi".to_owned()]),
            arrival: Arrival::AllAtOnce,
            sampling,
            num_tokens_to_generate: 4,
            num_tokens_from_file: false,
            max_tokens_to_generate: None,
            conduct: crate::plan::Conduct::default(),
            max_prompt_tokens: None,
        },
        performance: None,
        metrics,
        uncompared: Vec::new(),
        tolerances: Vec::new(),
        time_limit: Duration::from_secs(60),
        num_repeats: 1,
        known_failure: None,
        opt_in: None,
        output: None,
        ignored_flags: Vec::new(),
        settings: Vec::new(),
    }
}
