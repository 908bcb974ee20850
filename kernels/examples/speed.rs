//! How fast the forward pass is on this machine, beside what the machine could do: decode in GB/s, prefill in GFLOP/s.
//!
//!     cargo run --release -p goldlap-kernels --example speed -- [THREADS] [LAYERS]

use std::time::Instant;

use goldlap_kernels::cpu::limits::measure_limits;
use goldlap_kernels::model::config::{Activation, GptConfig, Normalization, PositionEmbedding};
use goldlap_kernels::model::gpt::CpuModel;
use goldlap_kernels::model::packed::pack;
use goldlap_kernels::model::random::RandomWeights;
use goldlap_kernels::model::step::{KvCacheShape, LanguageModel, SampleArgs, SequenceSlice};

fn config(num_layers: usize) -> GptConfig {
    GptConfig {
        num_layers,
        hidden_size: 1152,
        num_attention_heads: 16,
        num_query_groups: 8,
        kv_channels: 128,
        ffn_hidden_size: 3168,
        vocab_size: 131_072,
        max_position_embeddings: 4096,
        normalization: Normalization::RmsNorm,
        norm_epsilon: 1e-5,
        position_embedding: PositionEmbedding::Rope { base: 1e6, percent: 1.0, scaling: None },
        activation: Activation::SwiGlu,
        qkv_bias: false,
        attention_output_bias: false,
        mlp_bias: false,
        qk_norm: false,
        tied_embeddings: true,
    }
}

/// Runs one step of `sequences` sequences with `rows` new tokens each from `start`, `repeats` times, and prints its cost.
fn measure(model: &mut CpuModel, label: &str, sequences: usize, rows: usize, start: usize, repeats: usize) {
    let tokens: Vec<u32> = (0..rows as u32).map(|i| i * 37 % 131_072).collect();
    let tables: Vec<Vec<u32>> = (0..sequences as u32).map(|s| (s * 16..(s + 1) * 16).collect()).collect();
    let sample =
        Some(SampleArgs { temperature: 1.0, top_k: 1, top_p: 0.0, seed: 0, request_key: 0, position: 0 });
    let slices: Vec<SequenceSlice<'_>> = tables
        .iter()
        .map(|block_table| SequenceSlice { tokens: &tokens, start, block_table, targets: &[], sample })
        .collect();
    let mut best = f64::INFINITY;
    for _ in 0..repeats {
        let clock = Instant::now();
        let before = on_cpu_s();
        model.step(&slices).expect("a valid step");
        let wall = clock.elapsed().as_secs_f64();
        best = best.min(on_cpu_s().zip(before).map_or(wall, |(after, before)| after - before));
    }
    let cost = model.last_step_cost();
    let gigabytes = (cost.weight_bytes + cost.kv_bytes) as f64 / best / 1e9;
    let gigaflops = cost.flops as f64 / best / 1e9;
    println!("{label:28} {:8.2} ms  {gigabytes:6.1} GB/s  {gigaflops:7.1} GFLOP/s", best * 1e3);
}

/// Seconds that this thread has been running: on a busy machine the wall clock says little about one thread's speed.
fn on_cpu_s() -> Option<f64> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    statistics.split(' ').next()?.parse::<f64>().ok().map(|ns| ns * 1e-9)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let threads = arguments.next().transpose()?.unwrap_or(2);
    let layers = arguments.next().transpose()?.unwrap_or(24);
    let path = std::env::temp_dir().join(format!("goldlap-speed-{layers}-{}", std::process::id()));
    let clock = Instant::now();
    pack(&RandomWeights::new(config(layers), 1, 0.02)?, &path, 2)?;
    println!("packed in {:.1} s", clock.elapsed().as_secs_f64());
    let mut model = CpuModel::open(&path, KvCacheShape { block_size: 256, num_blocks: 1024 }, threads)?;
    std::fs::remove_file(&path)?;
    let limits = measure_limits(threads, 1.0, &|| clock.elapsed().as_secs_f64())?;
    println!("limits: {:.1} GB/s, {:.1} GFLOP/s", limits.read_bytes_per_s / 1e9, limits.flops_per_s / 1e9);
    measure(&mut model, "decode 1", 1, 1, 100, 6);
    measure(&mut model, "decode 4", 4, 1, 100, 4);
    measure(&mut model, "decode 16", 16, 1, 100, 3);
    measure(&mut model, "decode 64", 64, 1, 100, 2);
    measure(&mut model, "decode 1 at 4000", 1, 1, 4000, 3);
    measure(&mut model, "prefill 512", 1, 512, 0, 2);
    measure(&mut model, "prefill 2048", 1, 2048, 0, 1);
    Ok(())
}
