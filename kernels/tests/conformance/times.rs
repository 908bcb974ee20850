//! The instrument that times kernels: it finds every kernel of a step, and its floors add up to what the step costs.

use std::collections::BTreeSet;
use std::time::Instant;

use goldlap_kernels::cpu::limits::Limits;
use goldlap_kernels::cuda::{KernelTime, KernelTimer, UniformStep};
use goldlap_kernels::model::config::GptConfig;
use goldlap_kernels::model::step::KvCacheShape;

use crate::architectures::llama;
use crate::direct::DirectDevice;
use crate::model::TestModel;

/// A step, and the floating-point operations of its products and of its attention, counted by hand.
fn expected_flops(config: &GptConfig, step: &UniformStep) -> u64 {
    let (hidden, heads) = (config.hidden_size, config.num_attention_heads * config.kv_channels);
    let kv = 2 * config.num_query_groups * config.kv_channels;
    let weights = hidden * (heads + kv) + heads * hidden + 3 * hidden * config.ffn_hidden_size;
    let rows = step.sequences * step.rows;
    let keys: usize = (1..=step.rows).map(|row| step.start + row).sum::<usize>() * step.sequences;
    let layers = config.num_layers * (2 * rows * weights + 4 * keys * heads);
    (layers + 2 * step.sequences * hidden * config.vocab_size) as u64
}

#[test]
fn kernel_times_cover_the_whole_step() {
    // Whole tiles and chunks, so that nothing is rounded up.
    let config = GptConfig { hidden_size: 64, ffn_hidden_size: 96, vocab_size: 512, ..llama() };
    let model = TestModel::new(config.clone());
    let clock = Instant::now();
    let now_s = || clock.elapsed().as_secs_f64();
    let limits = Limits { read_bytes_per_s: 1e9, flops_per_s: 1e9 };
    let shape = KvCacheShape { block_size: 16, num_blocks: 256 };
    let mut timer = KernelTimer::new(DirectDevice::new(), model.packed(), shape, limits, 2, &now_s).unwrap();
    let steps = [
        UniformStep { sequences: 1, rows: 70, start: 0, draws: false },
        UniformStep { sequences: 3, rows: 1, start: 33, draws: true },
        UniformStep { sequences: 1, rows: 1, start: 600, draws: false },
    ];
    let mut seen = BTreeSet::new();
    for step in &steps {
        let times = timer.time(step).unwrap();
        let flops: u64 = times.iter().map(|time| time.work.flops * time.launches as u64).sum();
        assert_eq!(flops, expected_flops(&config, step), "{step:?}");
        let all_positive =
            |time: &KernelTime| time.seconds > 0.0 && time.floor_s > 0.0 && time.work.bytes > 0;
        assert!(times.iter().all(all_positive), "{times:?}");
        seen.extend(times.iter().map(|time| time.kernel.name()));
    }
    for kernel in
        ["embed_rows", "norm_rows", "rotate_and_append", "sample_rows", "lm_head_few", "lm_head_combine"]
    {
        assert!(seen.contains(kernel), "{kernel}: {seen:?}");
    }
    for part in ["attention_few_32", "attention_many_32", "attention_combine", "matmul_few", "matmul_block"] {
        assert!(seen.contains(part), "{part}: {seen:?}");
    }
}
