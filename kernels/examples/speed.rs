//! How fast the forward pass is on this machine, beside what the machine could do: decode in GB/s, prefill in GFLOP/s.
//!
//!     cargo run --release -p goldlap-kernels --example speed -- [THREADS] [LAYERS]

use std::time::Instant;

use goldlap_kernels::cpu::limits::measure_limits;
use goldlap_kernels::model::config::GptConfig;
use goldlap_kernels::model::gpt::CpuModel;
use goldlap_kernels::model::packed::pack;
use goldlap_kernels::model::random::RandomWeights;
use goldlap_kernels::model::step::{KvCacheShape, LanguageModel, SampleArgs, SequenceSlice};

const GREEDY: SampleArgs =
    SampleArgs { temperature: 1.0, top_k: 1, top_p: 0.0, seed: 0, request_key: 0, position: 0 };
const NUCLEUS: SampleArgs = SampleArgs { top_k: 0, top_p: 0.9, ..GREEDY };

/// A step to measure: `sequences` sequences with `rows` new tokens each, from position `start`.
struct Step {
    label: &'static str,
    sequences: usize,
    rows: usize,
    start: usize,
    sample: SampleArgs,
    repeats: usize,
}

const STEPS: [Step; 8] = [
    Step { label: "decode 1", sequences: 1, rows: 1, start: 100, sample: GREEDY, repeats: 20 },
    Step { label: "decode 4", sequences: 4, rows: 1, start: 100, sample: GREEDY, repeats: 20 },
    Step { label: "decode 16", sequences: 16, rows: 1, start: 100, sample: GREEDY, repeats: 12 },
    Step { label: "decode 16, top-p 0.9", sequences: 16, rows: 1, start: 100, sample: NUCLEUS, repeats: 12 },
    Step { label: "decode 64", sequences: 64, rows: 1, start: 100, sample: GREEDY, repeats: 5 },
    Step { label: "decode 1 at 4000", sequences: 1, rows: 1, start: 4000, sample: GREEDY, repeats: 10 },
    Step { label: "prefill 512", sequences: 1, rows: 512, start: 0, sample: GREEDY, repeats: 2 },
    Step { label: "prefill 2048", sequences: 1, rows: 2048, start: 0, sample: GREEDY, repeats: 1 },
];

/// Runs a step and prints its mean time beside its cost.
fn measure(model: &mut CpuModel, threads: usize, step: &Step) {
    let Step { label, sequences, rows, start, sample, repeats } = *step;
    let tokens: Vec<u32> = (0..rows as u32).map(|i| i * 37 % 131_072).collect();
    let tables: Vec<Vec<u32>> = (0..sequences as u32).map(|s| (s * 16..(s + 1) * 16).collect()).collect();
    let slices: Vec<SequenceSlice<'_>> = tables
        .iter()
        .map(|block_table| SequenceSlice {
            tokens: &tokens,
            start,
            block_table,
            targets: &[],
            sample: Some(sample),
        })
        .collect();
    model.step(&slices).expect("a valid step");
    let (clock, before) = (Instant::now(), on_cpu_s());
    for _ in 0..repeats {
        model.step(&slices).expect("a valid step");
    }
    let wall = clock.elapsed().as_secs_f64();
    // Other programs do not count against a single thread.
    let on_cpu = on_cpu_s().zip(before).filter(|_| threads == 1);
    let seconds = on_cpu.map_or(wall, |(after, before)| after - before) / repeats as f64;
    let cost = model.last_step_cost();
    let gigabytes = (cost.weight_bytes + cost.kv_bytes) as f64 / seconds / 1e9;
    let gigaflops = cost.flops as f64 / seconds / 1e9;
    println!("{label:28} {:8.2} ms  {gigabytes:6.1} GB/s  {gigaflops:7.1} GFLOP/s", seconds * 1e3);
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
    pack(&RandomWeights::new(GptConfig { num_layers: layers, ..GptConfig::GPT_583M }, 1, 0.02)?, &path, 2)?;
    println!("packed in {:.1} s", clock.elapsed().as_secs_f64());
    let mut model = CpuModel::open(&path, KvCacheShape { block_size: 256, num_blocks: 1024 }, threads)?;
    std::fs::remove_file(&path)?;
    let limits = measure_limits(threads, 1.0, &|| clock.elapsed().as_secs_f64())?;
    println!("limits: {:.1} GB/s, {:.1} GFLOP/s", limits.read_bytes_per_s / 1e9, limits.flops_per_s / 1e9);
    for step in &STEPS {
        measure(&mut model, threads, step);
    }
    Ok(())
}
