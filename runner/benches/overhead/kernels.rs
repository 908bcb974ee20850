//! Steps of a small GPT, to be run under an instruction counter: every operator of the native backend is in them.
//! `GOLDLAP_ISA` chooses the instruction set.

use std::hint::black_box;

use goldlap_kernels::model::config::GptConfig;
use goldlap_kernels::model::gpt::CpuModel;
use goldlap_kernels::model::packed::pack;
use goldlap_kernels::model::random::RandomWeights;
use goldlap_kernels::model::step::{KvCacheShape, LanguageModel, SampleArgs, SequenceSlice};

/// What can be counted.
pub(crate) const NAMES: [&str; 3] = ["kernels-prefill-32", "kernels-decode-8", "kernels-sample-8"];

const BLOCK_SIZE: usize = 64;
/// Greedy, so that the head keeps no logits.
const GREEDY: SampleArgs =
    SampleArgs { temperature: 1.0, top_k: 1, top_p: 0.0, seed: 0, request_key: 0, position: 0 };

pub(crate) fn run(name: &str, iterations: usize) {
    let mut model = model();
    let (sequences, rows, sample) = match name {
        "kernels-prefill-32" => (1, 32, GREEDY),
        "kernels-decode-8" => (8, 1, GREEDY),
        "kernels-sample-8" => (8, 1, SampleArgs { top_k: 0, top_p: 0.9, ..GREEDY }),
        other => panic!("{other} is no path, expected one of {NAMES:?}"),
    };
    let tokens: Vec<u32> = (0..rows).map(|i| i * 37 % 1000).collect();
    // Decodes have a whole block behind them; what is in it does not matter here.
    let start = if rows == 1 { BLOCK_SIZE } else { 0 };
    let tables: Vec<[u32; 2]> = (0..sequences).map(|s| [2 * s, 2 * s + 1]).collect();
    let slice = |block_table| SequenceSlice {
        tokens: &tokens,
        start,
        block_table,
        targets: &[],
        sample: Some(sample),
    };
    let batch: Vec<SequenceSlice<'_>> = tables.iter().map(|table| slice(table.as_slice())).collect();
    for _ in 0..iterations {
        black_box(model.step(&batch).expect("a valid step"));
    }
}

fn model() -> CpuModel {
    let config = GptConfig {
        num_layers: 1,
        hidden_size: 128,
        num_attention_heads: 4,
        num_query_groups: 2,
        kv_channels: 32,
        ffn_hidden_size: 256,
        vocab_size: 1024,
        max_position_embeddings: 256,
        ..GptConfig::GPT_583M
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("packed");
    let weights = RandomWeights::new(config, 1, 0.02).expect("weights");
    pack(&weights, &path, 1).expect("packed");
    CpuModel::open(&path, KvCacheShape { block_size: BLOCK_SIZE, num_blocks: 32 }, 1).expect("a model")
}
