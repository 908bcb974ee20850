//! Whole models: the CUDA kernels against the native backend, and what must not change a bit.

use goldlap_kernels::cpu::{CpuBackend, Isa};
use goldlap_kernels::cuda::device::Device;
use goldlap_kernels::cuda::{CudaBackend, GraphShapes, MixedShape};
use goldlap_kernels::model::config::{Activation, GptConfig, Normalization, PositionEmbedding};
use goldlap_kernels::model::gpt::Gpt;
use goldlap_kernels::model::packed::{PackedModel, pack};
use goldlap_kernels::model::random::RandomWeights;
use goldlap_kernels::model::step::{
    Detail, Extras, KvCacheShape, LanguageModel, SampleArgs, SequenceOutput, SequenceSlice,
};
use goldlap_kernels::ops::Backend;

use crate::architectures::{gpt2, llama};

/// Qwen3 and Nemotron mixed: head norm, half rotation, squared ReLU, untied, one key/value head.
fn mixed() -> GptConfig {
    GptConfig {
        hidden_size: 64,
        num_attention_heads: 5,
        num_query_groups: 1,
        kv_channels: 20,
        ffn_hidden_size: 37,
        normalization: Normalization::LayerNorm1p,
        position_embedding: PositionEmbedding::Rope { base: 1e4, percent: 0.5, scaling: None },
        activation: Activation::SquaredRelu,
        qk_norm: true,
        tied_embeddings: false,
        ..llama()
    }
}

pub(crate) struct TestModel {
    packed: PackedModel,
    _folder: tempfile::TempDir,
}

impl TestModel {
    pub(crate) fn new(config: GptConfig) -> Self {
        let weights = RandomWeights::new(config, 7, 0.08).unwrap().with_vector_noise(0.2);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        pack(&weights, &path, 2).unwrap();
        Self { packed: PackedModel::open(&path).unwrap(), _folder: folder }
    }

    pub(crate) fn packed(&self) -> &PackedModel {
        &self.packed
    }

    fn on<B: Backend>(&self, backend: B) -> Gpt<B> {
        let shape = KvCacheShape { block_size: 16, num_blocks: 256 };
        Gpt::new(backend, &self.packed, shape).unwrap()
    }
}

const GREEDY: SampleArgs =
    SampleArgs { temperature: 1.0, top_k: 1, top_p: 0.0, seed: 3, request_key: 5, position: 0 };
const SAMPLED: SampleArgs = SampleArgs { temperature: 0.7, top_k: 0, top_p: 0.9, ..GREEDY };

fn tokens(vocab_size: usize, len: usize, seed: u32) -> Vec<u32> {
    let mut state = seed.wrapping_mul(2_654_435_761);
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % vocab_size as u32
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// A step's slice of `rows` tokens from `start`, in blocks that start at `first_block`.
fn slice<'a>(
    sequence: &'a [u32],
    (start, rows): (usize, usize),
    blocks: &'a [u32],
    sample: Option<SampleArgs>,
) -> SequenceSlice<'a> {
    let end = start + rows;
    let targets = &sequence[(start + 1).min(sequence.len())..(end + 1).min(sequence.len())];
    SequenceSlice { tokens: &sequence[start..end], start, block_table: blocks, targets, sample }
}

/// Prompt logprobs and the sampled token of a prompt that enters in chunks, then greedy tokens one by one.
fn generate<B: Backend>(
    model: &mut Gpt<B>,
    prompt: &[u32],
    chunks: &[usize],
    new_tokens: usize,
    sample: SampleArgs,
) -> (Vec<f32>, Vec<(u32, f32)>) {
    let blocks: Vec<u32> = (3..).take((prompt.len() + new_tokens).div_ceil(16)).collect();
    let (mut sequence, mut logprobs, mut drawn) = (prompt.to_vec(), Vec::new(), Vec::new());
    let mut start = 0;
    for &rows in chunks.iter().chain(&[usize::MAX]) {
        let rows = rows.min(prompt.len() - start);
        if rows == 0 {
            break;
        }
        let last = start + rows == prompt.len();
        let step = slice(prompt, (start, rows), &blocks, last.then_some(sample));
        let output = model.step(&[step]).unwrap().remove(0);
        logprobs.extend(output.target_logprobs);
        drawn.extend(output.sampled.map(|sampled| (sampled.token, sampled.logprob)));
        start += rows;
    }
    for position in prompt.len().. {
        if drawn.len() == new_tokens {
            break;
        }
        sequence.push(drawn[drawn.len() - 1].0);
        let args = SampleArgs { position: position as u64, ..sample };
        let step = slice(&sequence, (position, 1), &blocks, Some(args));
        let sampled = model.step(&[step]).unwrap().remove(0).sampled.unwrap();
        drawn.push((sampled.token, sampled.logprob));
    }
    (logprobs, drawn)
}

/// Makes a CUDA backend with graphs of these shapes.
pub(crate) type Make<'a, D> = &'a dyn Fn(GraphShapes) -> CudaBackend<D>;

pub(crate) fn agrees_with_the_native_backend<D: Device>(make: Make<'_, D>) {
    for config in [llama(), gpt2(), mixed()] {
        let model = TestModel::new(config.clone());
        let prompt = tokens(config.vocab_size, 90, 3);
        let native = CpuBackend::new(Isa::best(), 1).unwrap();
        let (expected, expected_drawn) = generate(&mut model.on(native), &prompt, &[], 6, GREEDY);
        let (got, drawn) =
            generate(&mut model.on(make(GraphShapes::decode_steps())), &prompt, &[], 6, GREEDY);
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got - expected).abs() < 0.02, "{got} for {expected}");
        }
        assert_eq!(got.len(), expected.len());
        for (got, expected) in drawn.iter().zip(&expected_drawn) {
            assert!((got.1 - expected.1).abs() < 0.02, "{got:?} for {expected:?}");
        }
    }
}

pub(crate) fn chunks_and_graphs_do_not_change_a_bit<D: Device>(make: Make<'_, D>) {
    for config in [llama(), mixed()] {
        let model = TestModel::new(config.clone());
        let prompt = tokens(config.vocab_size, 75, 3);
        for sample in [GREEDY, SAMPLED] {
            let expected = generate(&mut model.on(make(GraphShapes::none())), &prompt, &[], 8, sample);
            assert_eq!(
                generate(&mut model.on(make(GraphShapes::decode_steps())), &prompt, &[1, 30, 2], 8, sample),
                expected
            );
        }
    }
}

/// Decode steps of a growing and shrinking batch: each sequence gets what it gets alone, and graphs are replayed.
pub(crate) fn batched_decode_replays_graphs<D: Device>(make: Make<'_, D>) {
    let model = TestModel::new(llama());
    let prompts: Vec<Vec<u32>> = (0..5).map(|i| tokens(331, 5 + 3 * i, 20 + i as u32)).collect();
    let tables: Vec<Vec<u32>> = (0..5).map(|i| (0..6).map(|block| block * 5 + i).collect()).collect();
    let run = |model: &mut Gpt<CudaBackend<D>>, members: &[usize], steps: usize| {
        let mut sequences: Vec<Vec<u32>> = members.iter().map(|&i| prompts[i].clone()).collect();
        let mut outputs: Vec<Vec<SequenceOutput>> = vec![Vec::new(); members.len()];
        for step in 0..steps {
            let slices: Vec<SequenceSlice<'_>> = sequences
                .iter()
                .zip(members)
                .map(|(sequence, &i)| {
                    let start = if step == 0 { 0 } else { sequence.len() - 1 };
                    let args = [GREEDY, SAMPLED][i % 2];
                    let args = SampleArgs { position: sequence.len() as u64, request_key: i as u64, ..args };
                    slice(sequence, (start, sequence.len() - start), &tables[i], Some(args))
                })
                .collect();
            let stepped = model.step(&slices).unwrap();
            for ((sequence, outputs), output) in sequences.iter_mut().zip(&mut outputs).zip(stepped) {
                sequence.extend(output.sampled.map(|sampled| sampled.token));
                outputs.push(output);
            }
        }
        outputs
    };
    let mut together = model.on(make(GraphShapes::decode_steps()));
    let all = run(&mut together, &[0, 1, 2, 3, 4], 8);
    let counts = together.graph_counts().unwrap();
    // From the embedding to the drawn tokens: no launch of a replayed step lies outside its graph.
    assert!(counts.captured >= 1 && counts.replays[&8] >= 3, "{counts:?}");
    assert_eq!(counts.eager_steps + counts.num_replays(), 8, "{counts:?}");
    assert_eq!((counts.replays.len(), counts.allocations_in_replays), (1, 0), "{counts:?}");
    assert_eq!(run(&mut together, &[1, 3, 4], 8), [1, 3, 4].map(|i| all[i].clone()));
    for (i, expected) in all.iter().enumerate() {
        assert_eq!(run(&mut model.on(make(GraphShapes::none())), &[i], 8)[0], *expected, "sequence {i}");
    }
}

/// A sequence that decodes while prompts of equal length come and go: those steps are replayed too where shapes hold them, and
/// give the bits of eager steps. Once everything was seen, no step allocates.
pub(crate) fn mixed_steps_replay_graphs<D: Device>(make: Make<'_, D>) {
    let model = TestModel::new(llama());
    let table: Vec<u32> = (0..8).collect();
    let run = |model: &mut Gpt<CudaBackend<D>>, num_steps: usize| {
        let mut sequence = tokens(331, 5, 9);
        let mut outputs = Vec::new();
        for step in 0..num_steps {
            let start = if step == 0 { 0 } else { sequence.len() - 1 };
            let args = SampleArgs { position: sequence.len() as u64, ..SAMPLED };
            let prompt = tokens(331, 7, 50 + step as u32);
            let old = slice(&sequence, (start, sequence.len() - start), &table, Some(args));
            let new = slice(&prompt, (0, 7), &[9], Some(GREEDY));
            let mut stepped = model.step(&[old, new]).unwrap();
            sequence.extend(stepped[0].sampled.map(|sampled| sampled.token));
            outputs.append(&mut stepped);
        }
        outputs
    };
    let shapes = vec![MixedShape { tokens: 8, prefills: 1, decodes: 1 }];
    let mut with_graphs = model.on(make(GraphShapes::new(vec![1, 2], shapes)));
    let eager = run(&mut model.on(make(GraphShapes::none())), 7);
    assert_eq!(run(&mut with_graphs, 7), eager);
    let counts = with_graphs.graph_counts().unwrap();
    // The first step has twelve rows, which no shape holds; the second is remembered and the third captured.
    assert_eq!((counts.eager_steps, counts.captured, counts.replays[&8]), (2, 1, 5), "{counts:?}");
    assert!(counts.allocations > 0 && counts.allocations_in_replays == 0, "{counts:?}");
    with_graphs.reset_graph_counts();
    assert_eq!(run(&mut with_graphs, 7), eager);
    let counts = with_graphs.graph_counts().unwrap();
    assert_eq!((counts.eager_steps, counts.replays[&8], counts.allocations), (1, 6, 0), "{counts:?}");
}

/// The likeliest tokens in the place of a greedy one: it is the first of them, and the native backend names the same.
pub(crate) fn the_likeliest_tokens_agree<D: Device>(make: Make<'_, D>) {
    let model = TestModel::new(llama());
    let prompt = tokens(331, 20, 4);
    let (first, second) =
        (slice(&prompt, (0, 20), &[1, 2], Some(SAMPLED)), slice(&prompt, (0, 9), &[3], None));
    let third = slice(&prompt, (0, 12), &[4], Some(GREEDY));
    let batch = [first, second, third];
    let wanted = |processed| {
        [3, 0, 331].map(|alternatives| Extras { alternatives, target_alternatives: 2, processed })
    };
    let run = |extras: &[Extras]| {
        let got = model.on(make(GraphShapes::decode_steps())).step_with_extras(&batch, extras).unwrap();
        let native = CpuBackend::new(Isa::best(), 1).unwrap();
        (got, model.on(native).step_with_extras(&batch, extras).unwrap())
    };
    let (got, expected) = run(&wanted(None));
    assert_eq!(got.iter().map(|(_, detail)| detail.alternatives.len()).collect::<Vec<_>>(), [3, 0, 331]);
    assert_eq!(got[2].0.sampled, Some(got[2].1.alternatives[0]));
    assert_close(&got, &expected);
    // After a temperature, without a filter: near its edge the backends' last bits decide who is kept.
    let warm = SampleArgs { temperature: 2.0, top_k: 0, top_p: 0.0, ..SAMPLED };
    let (got, expected) = run(&wanted(Some(warm)));
    assert_close(&got, &expected);
}

fn assert_close(got: &[(SequenceOutput, Detail)], expected: &[(SequenceOutput, Detail)]) {
    for ((_, got), (_, expected)) in got.iter().zip(expected) {
        let lists = |detail: &Detail| {
            let targets = detail.target_alternatives.iter().flatten();
            detail.alternatives.iter().chain(targets).copied().collect::<Vec<_>>()
        };
        let (got, expected) = (lists(got), lists(expected));
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got.logprob - expected.logprob).abs() < 0.02, "{got:?} for {expected:?}");
        }
    }
}

/// Between all steps the cache gives up its place: what was kept comes back, what was dropped is computed again.
pub(crate) fn a_cache_that_was_away_gives_the_same_bits<D: Device>(make: Make<'_, D>) {
    let model = TestModel::new(llama());
    let blocks: Vec<u32> = (3..7).collect();
    let run = |away: Option<bool>| {
        let mut model = model.on(make(GraphShapes::decode_steps()));
        let mut sequence = tokens(331, 40, 8);
        let mut drawn = Vec::new();
        for step in 0..6 {
            let is_lost = away == Some(false);
            let start = if step == 0 || is_lost { 0 } else { sequence.len() - 1 };
            let args = SampleArgs { position: sequence.len() as u64, ..SAMPLED };
            let output =
                model.step(&[slice(&sequence, (start, sequence.len() - start), &blocks, Some(args))]);
            let sampled = output.unwrap().remove(0).sampled.unwrap();
            sequence.push(sampled.token);
            drawn.push(sampled);
            // The second time there is nothing left to give up.
            for (is_kept, is_first) in
                away.into_iter().flat_map(|is_kept| [(is_kept, true), (is_kept, false)])
            {
                assert_eq!(model.release_kv_cache(is_kept).unwrap(), is_kept && is_first);
            }
        }
        drawn
    };
    let expected = run(None);
    assert_eq!(run(Some(true)), expected);
    assert_eq!(run(Some(false)), expected);
}

/// A device is anything that runs launches; the backend must be able to move between threads with it.
#[test]
fn the_backend_can_move_to_another_thread() {
    fn movable<T: Send>() {}
    fn of<D: Device + Send>()
    where
        D::Memory: Send + Sync,
        D::Graph: Send,
    {
        movable::<Gpt<CudaBackend<D>>>();
    }
    of::<goldlap_kernels::cuda::driver::Driver>();
    of::<crate::direct::DirectDevice>();
}
