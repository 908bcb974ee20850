//! How long each CUDA kernel takes, beside its floor on this device: bytes over measured bandwidth, or products over measured
//! peak. On device 0 of whatever CUDA driver the machine has.
//!
//!     cargo run --release -p goldlap-kernels --example kernel_times -- [583m|tiny] [PASSES]
//!
//! `tiny` is for trying the program out, on the virtual driver say (`goldlap virtual-driver -- ...`), where the floors are the
//! virtual machine's.

use std::time::Instant;

use goldlap_kernels::cuda::driver::Driver;
use goldlap_kernels::cuda::limits::measure_limits;
use goldlap_kernels::cuda::{KernelTime, KernelTimer, UniformStep, devices};
use goldlap_kernels::model::config::GptConfig;
use goldlap_kernels::model::packed::{PackedModel, pack};
use goldlap_kernels::model::random::RandomWeights;
use goldlap_kernels::model::step::KvCacheShape;

const STEPS: [(&str, UniformStep); 8] = [
    ("decode 1", UniformStep { sequences: 1, rows: 1, start: 100, draws: false }),
    ("decode 8", UniformStep { sequences: 8, rows: 1, start: 500, draws: false }),
    ("decode 32, drawn", UniformStep { sequences: 32, rows: 1, start: 500, draws: true }),
    ("decode 128", UniformStep { sequences: 128, rows: 1, start: 500, draws: false }),
    ("decode 8 at 4096", UniformStep { sequences: 8, rows: 1, start: 4096, draws: false }),
    ("prefill 512", UniformStep { sequences: 1, rows: 512, start: 0, draws: false }),
    ("prefill 4 x 512", UniformStep { sequences: 4, rows: 512, start: 0, draws: false }),
    ("prefill 512 after 4096", UniformStep { sequences: 1, rows: 512, start: 4096, draws: false }),
];
const BLOCK_SIZE: usize = 256;

/// For trials: small enough for a device that is a program.
const TINY: GptConfig = GptConfig {
    num_layers: 2,
    hidden_size: 128,
    num_attention_heads: 4,
    num_query_groups: 2,
    kv_channels: 32,
    ffn_hidden_size: 256,
    vocab_size: 1024,
    ..GptConfig::GPT_583M
};

/// Blocks that the largest step needs.
fn num_blocks() -> usize {
    let blocks = |step: &UniformStep| step.sequences * (step.start + step.rows).div_ceil(BLOCK_SIZE);
    STEPS.iter().map(|(_, step)| blocks(step)).max().unwrap_or_default()
}

fn print(label: &str, times: &[KernelTime]) {
    let total: f64 = times.iter().map(|time| time.seconds * time.launches as f64).sum();
    let floor: f64 = times.iter().map(|time| time.floor_s * time.launches as f64).sum();
    for time in times {
        let KernelTime { kernel, grid, launches, seconds, work, floor_s } = time;
        println!(
            "| {label} | {} | {}x{} | {launches} | {:.1} | {:.2} | {:.2} | {:.1} | {:.0} % | {:.0} % |",
            kernel.name(),
            grid[0],
            grid[1],
            seconds * 1e6,
            work.bytes as f64 / 1e6,
            work.flops as f64 / 1e9,
            floor_s * 1e6,
            floor_s / seconds * 100.0,
            seconds * *launches as f64 / total * 100.0
        );
    }
    println!(
        "| {label} | all | | | {:.1} | | | {:.1} | {:.0} % | 100 % |",
        total * 1e6,
        floor * 1e6,
        floor / total * 100.0
    );
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let config = match arguments.next().as_deref() {
        None | Some("583m") => GptConfig::GPT_583M,
        Some("tiny") => TINY,
        Some(other) => return Err(format!("model {other:?}: expected 583m or tiny").into()),
    };
    let passes = arguments.next().map_or(Ok(9), |passes| passes.parse())?;
    let name = devices()?.first().map(|device| device.name.clone()).ok_or("there is no CUDA device")?;
    let path = std::env::temp_dir().join(format!("goldlap-kernel-times-{}", std::process::id()));
    pack(&RandomWeights::new(config, 1, 0.02)?, &path, std::thread::available_parallelism()?.get())?;
    let packed = PackedModel::open(&path)?;
    std::fs::remove_file(&path)?;
    let clock = Instant::now();
    let now_s = || clock.elapsed().as_secs_f64();
    let limits = measure_limits(&mut Driver::new(0)?, 2.0, &now_s)?;
    println!(
        "{name}: {:.1} GB/s read, {:.1} TFLOP/s of bf16 products (both measured)\n",
        limits.read_bytes_per_s / 1e9,
        limits.flops_per_s / 1e12
    );
    println!("| step | kernel | blocks | launches | us | MB | GFLOP | floor us | floor / time | share |");
    println!("|---|---|---|--:|--:|--:|--:|--:|--:|--:|");
    let shape = KvCacheShape { block_size: BLOCK_SIZE, num_blocks: num_blocks() };
    let mut timer = KernelTimer::new(Driver::new(0)?, &packed, shape, limits, passes, &now_s)?;
    for (label, step) in &STEPS {
        print(label, &timer.time(step)?);
    }
    Ok(())
}
