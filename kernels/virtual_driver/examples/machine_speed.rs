//! How fast the machine is on one host thread: lane-operations per second and, through `mma.sync`, FLOP/s.
//!
//! `cargo run --release -p goldlap-virtual-driver --example machine_speed`

use std::error::Error;
use std::sync::Arc;

use goldlap_virtual_driver::machine::{Image, Isa, LaunchSpec, Options, launch};
use goldlap_virtual_driver::memory::{DeviceMemory, Fill, Kind};
use goldlap_virtual_driver::{lower, ptx};

/// Processor time of this thread: what others do on the machine must not count. From Linux's scheduler statistics.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().ok_or("no scheduler statistics")?.parse()?;
    Ok(nanoseconds * 1e-9)
}

struct Bench {
    memory: DeviceMemory,
    image: Image,
}

impl Bench {
    fn load(text: &str) -> Result<Self, Box<dyn Error>> {
        let module = ptx::parse(text).map_err(|diagnostics| diagnostics[0].to_string())?;
        let program = lower::lower(&module).map_err(|diagnostics| diagnostics[0].to_string())?;
        let memory = DeviceMemory::new(4 << 30, Fill::Zeros);
        let image = Image::load(Arc::new(program), &memory)?;
        Ok(Self { memory, image })
    }

    fn buffer(&self, bytes: u64) -> Result<u64, Box<dyn Error>> {
        Ok(self.memory.allocate(bytes, Kind::Device)?)
    }

    /// Best of five, in seconds.
    fn time(
        &self,
        kernel: &str,
        grid: [u32; 3],
        block: [u32; 3],
        args: &[u64],
        isa: Isa,
    ) -> Result<f64, Box<dyn Error>> {
        let (number, function) = self.image.kernel(kernel).ok_or("no such kernel")?;
        let mut params = vec![0; function.param_bytes as usize];
        for (param, arg) in function.params.iter().zip(args) {
            params[param.offset as usize..][..param.bytes as usize]
                .copy_from_slice(&arg.to_le_bytes()[..param.bytes as usize]);
        }
        let spec = LaunchSpec { grid, block, params, ..LaunchSpec::default() };
        let options = Options { threads: 1, isa, ..Options::default() };
        let mut best = f64::INFINITY;
        let rounds = std::env::args().nth(2).map_or(5, |text| if kernel == text { 50 } else { 1 });
        for _ in 0..rounds {
            let start = cpu_seconds()?;
            launch(&self.image, number, &spec, &self.memory, &options)?;
            best = best.min(cpu_seconds()? - start);
        }
        Ok(best)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let saxpy = Bench::load(include_str!("../tests/ptx/saxpy.ptx"))?;
    let kernels = Bench::load(include_str!("../tests/ptx/kernels.ptx"))?;
    let wide = Bench::load(include_str!("../tests/ptx/matmul.ptx"))?;
    // An argument such as `Avx512` runs that one only.
    let only = std::env::args().nth(1);
    for isa in Isa::available() {
        if only.as_ref().is_some_and(|name| *name != format!("{isa:?}")) {
            continue;
        }
        let n = 1_u64 << 20;
        let (x, y) = (saxpy.buffer(n * 4)?, saxpy.buffer(n * 4)?);
        let seconds = saxpy.time(
            "saxpy",
            [(n / 256) as u32, 1, 1],
            [256, 1, 1],
            &[n, u64::from(2.0_f32.to_bits()), x, y],
            isa,
        )?;
        // 20 PTX instructions a thread, the branch that is not taken among them.
        println!(
            "{isa:?}: saxpy {:.2e} lane-operations/s, {:.2} ns an element",
            n as f64 * 20.0 / seconds,
            seconds * 1e9 / n as f64
        );

        let size = 256_u64;
        let [a, b, c] = [
            kernels.buffer(size * size * 4)?,
            kernels.buffer(size * size * 4)?,
            kernels.buffer(size * size * 4)?,
        ];
        let tiles = size / 16;
        let grid = [tiles as u32, tiles as u32, 1];
        let seconds = kernels.time("matmul_f32", grid, [16, 16, 1], &[a, b, c, size], isa)?;
        let flops = 2.0 * (size as f64).powi(3);
        // The inner loop is 65 PTX instructions a tile, for 256 threads of each block.
        let operations = (tiles * tiles * tiles * 256 * 65) as f64;
        println!(
            "{isa:?}: tiled f32 matmul {:.2e} lane-operations/s, {:.2} GFLOP/s",
            operations / seconds,
            flops / seconds / 1e9
        );

        let (m, n, k) = (256_u64, 512_u64, 1024_u64);
        let flops = 2.0 * (m * n * k) as f64;
        for (bench, kernel, rows, columns, threads) in
            [(&kernels, "matmul_bf16", 16, 64, 32), (&wide, "matmul_bf16_wide", 128, 128, 128)]
        {
            let [a, b, c] = [bench.buffer(m * k * 2)?, bench.buffer(n * k * 2)?, bench.buffer(m * n * 4)?];
            let grid = [(n / columns) as u32, (m / rows) as u32, 1];
            let seconds = bench.time(kernel, grid, [threads, 1, 1], &[a, b, c, n, k], isa)?;
            println!(
                "{isa:?}: mma.sync bf16 {rows} by {columns} a block {:.2} GFLOP/s",
                flops / seconds / 1e9
            );
        }
    }
    Ok(())
}
