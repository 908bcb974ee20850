//! The engine over a model that costs nothing: what a step of 32 decoding sequences takes besides the model, and how often
//! it allocates.

use goldlap::engine::{Engine, EngineLimits, EngineRequest, OutputLength, Sampling, StepSummary};
use goldlap::metrics::Clock;
use goldlap::plan::EngineFeatures;
use goldlap_kernels::model::step::{
    Extras, KvCacheShape, LanguageModel, SampledToken, SequenceSlice, StepCost, StepError, StepOutput,
    clear_outputs,
};

use crate::allocations;
use crate::figures::{row, spread};

const SEQUENCES: u64 = 32;
const STEPS: usize = 20_000;
const BLOCK_SIZE: usize = 256;

/// Answers token 7 at once.
struct NoModel;

const SHAPE: KvCacheShape = KvCacheShape { block_size: BLOCK_SIZE, num_blocks: 1 << 18 };

impl LanguageModel for NoModel {
    fn vocab_size(&self) -> usize {
        1000
    }

    fn kv_cache(&self) -> KvCacheShape {
        SHAPE
    }

    fn step_into(
        &mut self,
        batch: &[SequenceSlice<'_>],
        extras: &[Extras],
        outputs: &mut Vec<StepOutput>,
    ) -> Result<(), StepError> {
        Extras::refuse(extras)?;
        clear_outputs(outputs, batch.len());
        for (sequence, (output, _)) in batch.iter().zip(outputs) {
            output.sampled = sequence.sample.map(|_| SampledToken { token: 7, logprob: -1.0 });
        }
        Ok(())
    }

    fn last_step_cost(&self) -> StepCost {
        StepCost::default()
    }
}

/// An engine in the middle of 32 decodes that will not end soon.
pub(crate) fn decoding() -> Engine {
    let limits = EngineLimits {
        block_size: BLOCK_SIZE,
        num_usable_blocks: SHAPE.num_blocks - 1,
        max_requests: 64,
        max_tokens: 16_384,
        max_sequence_length: 1 << 20,
        num_paused_blocks: 0,
        features: EngineFeatures::OFF,
    };
    let mut engine = Engine::new(Box::new(NoModel), limits, 1, Clock::start());
    for id in 0..SEQUENCES {
        let sampling = Sampling { return_log_probs: true, skip_prompt_log_probs: true, ..Sampling::GREEDY };
        let request = EngineRequest {
            id,
            prompt: vec![1; 128],
            output_length: OutputLength::Fill,
            sampling,
            ends: Vec::new(),
        };
        engine.submit(request).expect("taken");
    }
    for _ in 0..8 {
        engine.step();
    }
    engine
}

pub(crate) fn run() {
    let (mut each_us, mut allocated) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let mut engine = decoding();
        let mut summary = StepSummary::default();
        engine.step_into(&mut summary);
        let start_s = on_cpu_s();
        let num_allocations = allocations::during(|| {
            for _ in 0..STEPS {
                engine.step_into(&mut summary);
                assert_eq!(summary.new_tokens.len(), SEQUENCES as usize);
            }
        });
        each_us.push((on_cpu_s() - start_s) * 1e6 / STEPS as f64);
        allocated.push(num_allocations as f64 / STEPS as f64);
    }
    row(
        &format!("engine: us of a core for a step of {SEQUENCES} sequences, without the model"),
        &spread(&mut each_us, 2),
    );
    row("engine: allocations in such a step", &spread(&mut allocated, 2));
}

/// Seconds that this thread has been running: others want the cores too.
fn on_cpu_s() -> f64 {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("statistics");
    let nanoseconds = statistics.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.expect("nanoseconds") / 1e9
}
