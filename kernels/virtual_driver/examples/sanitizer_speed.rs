//! What the sanitizers cost: kernels with and without them, one after the other, on one host thread.
//!
//! `cargo run --release -p goldlap-virtual-driver --example sanitizer_speed`

use std::error::Error;
use std::sync::Arc;

use goldlap_virtual_driver::machine::{Image, LaunchSpec, Options, launch};
use goldlap_virtual_driver::memory::{DeviceMemory, Fill, Kind};
use goldlap_virtual_driver::sanitizer::{self, Checks};
use goldlap_virtual_driver::{lower, ptx};

const PAIRS: usize = 7;

/// Processor time of this thread, from Linux's scheduler statistics: what others do on the machine must not count.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().ok_or("no scheduler statistics")?.parse()?;
    Ok(nanoseconds * 1e-9)
}

fn timed(run: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let start = cpu_seconds()?;
    run()?;
    Ok(cpu_seconds()? - start)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Case {
    text: &'static str,
    kernel: &'static str,
    grid: [u32; 3],
    block: [u32; 3],
    /// Bytes of each buffer.
    buffers: [u64; 3],
    /// The arguments, from the addresses of the buffers.
    arguments: fn([u64; 3]) -> Vec<u64>,
}

/// Prints milliseconds without sanitizers and how many times longer it takes with each of them, medians of pairs.
fn measure(case: &Case) -> Result<(), Box<dyn Error>> {
    let module = ptx::parse(case.text).map_err(|diagnostics| diagnostics[0].to_string())?;
    let program = lower::lower(&module).map_err(|diagnostics| diagnostics[0].to_string())?;
    let memory = DeviceMemory::new(4 << 30, Fill::Zeros).watched();
    let image = Image::load(Arc::new(program), &memory)?;
    let mut buffers = [0; 3];
    for (address, bytes) in buffers.iter_mut().zip(case.buffers) {
        *address = memory.allocate(bytes, Kind::Device)?;
        memory.write(*address, &vec![0; bytes as usize])?;
    }
    let (number, function) = image.kernel(case.kernel).ok_or("no such kernel")?;
    let mut params = vec![0; function.param_bytes as usize];
    for (param, value) in function.params.iter().zip((case.arguments)(buffers)) {
        let bytes = param.bytes as usize;
        params[param.offset as usize..][..bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
    }
    let spec = LaunchSpec { grid: case.grid, block: case.block, params, ..LaunchSpec::default() };
    let options = Options { threads: 1, ..Options::default() };
    let off = Checks { leaks: true, ..Checks::NONE };
    let sets = [
        ("all", Checks::ALL),
        ("racecheck", Checks { races: true, ..off }),
        ("initcheck", Checks { uninitialised: true, ..off }),
        ("synccheck", Checks { synchronisation: true, ..off }),
    ];
    let (mut plain, mut ratios) = (Vec::new(), vec![Vec::new(); sets.len()]);
    for _ in 0..PAIRS {
        for (ratios, (_, checks)) in ratios.iter_mut().zip(sets) {
            let without = timed(|| Ok(launch(&image, number, &spec, &memory, &options)?))?;
            let with = timed(|| {
                let outcome = sanitizer::launch(&image, number, &spec, &memory, &options, checks, &|_| None);
                outcome.result?;
                let findings = outcome.findings;
                if findings.is_empty() { Ok(()) } else { Err(findings[0].to_string().into()) }
            })?;
            plain.push(without);
            ratios.push(with / without);
        }
    }
    print!("{:18} {:8.2} ms", case.kernel, median(plain) * 1e3);
    for (ratios, (name, _)) in ratios.into_iter().zip(sets) {
        print!("   {name} {:5.1} x", median(ratios));
    }
    println!();
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    const N: u64 = 1 << 18;
    let kernels = include_str!("../tests/ptx/kernels.ptx");
    measure(&Case {
        text: include_str!("../tests/ptx/saxpy.ptx"),
        kernel: "saxpy",
        grid: [(N / 256) as u32, 1, 1],
        block: [256, 1, 1],
        buffers: [N * 4, N * 4, 4],
        arguments: |[x, y, _]| vec![N, u64::from(2.0_f32.to_bits()), x, y],
    })?;
    measure(&Case {
        text: kernels,
        kernel: "matmul_f32",
        grid: [8, 8, 1],
        block: [16, 16, 1],
        buffers: [128 * 128 * 4; 3],
        arguments: |[a, b, c]| vec![a, b, c, 128],
    })?;
    measure(&Case {
        text: kernels,
        kernel: "matmul_bf16",
        grid: [256 / 64, 128 / 16, 1],
        block: [32, 1, 1],
        buffers: [128 * 512 * 2, 256 * 512 * 2, 128 * 256 * 4],
        arguments: |[a, b, c]| vec![a, b, c, 256, 512],
    })?;
    measure(&Case {
        text: include_str!("../tests/ptx/matmul.ptx"),
        kernel: "matmul_bf16_wide",
        grid: [512 / 128, 256 / 128, 1],
        block: [128, 1, 1],
        buffers: [256 * 1024 * 2, 512 * 1024 * 2, 256 * 512 * 4],
        arguments: |[a, b, c]| vec![a, b, c, 512, 1024],
    })
}
