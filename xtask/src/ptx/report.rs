//! ptxas: what each kernel takes of a multiprocessor, and the rule that none spills or uses local memory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use goldlap_kernels::cuda::registry::{Kernel, LaunchShape};

/// A kind of multiprocessor: what limits how many blocks of a kernel it holds (CUDA programming guide, compute capabilities).
struct Architecture {
    name: &'static str,
    max_threads: u32,
    max_blocks: u32,
    shared_bytes: u32,
}

const REGISTERS: u32 = 65_536;
/// Registers are handed to a warp in pieces of this many.
const REGISTER_PIECE: u32 = 256;
/// Shared memory that the system takes of each block.
const RESERVED_SHARED: u32 = 1024;

const ARCHITECTURES: [Architecture; 2] = [
    Architecture { name: "sm_80", max_threads: 2048, max_blocks: 32, shared_bytes: 164 * 1024 },
    Architecture { name: "sm_90", max_threads: 2048, max_blocks: 32, shared_bytes: 228 * 1024 },
];

/// What ptxas says of a kernel.
#[derive(Default)]
struct Resources {
    registers: u32,
    static_shared: u32,
    stack: u32,
    spills: u32,
}

/// The text of REPORT.md for these PTX modules.
pub(super) fn write(files: &BTreeMap<String, String>, ptxas: &Path) -> Result<String> {
    let mut text = HEAD.to_owned();
    let mut wrong = Vec::new();
    for (file, ptx) in files {
        for architecture in &ARCHITECTURES {
            for (kernel, resources) in assemble(file, ptx, architecture.name, ptxas)? {
                let shape =
                    Kernel::ALL.into_iter().find(|known| known.name() == kernel).map(Kernel::launch_shape);
                let shape =
                    shape.with_context(|| format!("{file}: kernel {kernel} is not in cuda/registry.rs"))?;
                if resources.stack > 0 || resources.spills > 0 {
                    wrong.push(format!(
                        "{kernel} on {}: {} bytes of stack",
                        architecture.name, resources.stack
                    ));
                }
                row(&mut text, &kernel, architecture, &resources, shape)?;
            }
        }
    }
    ensure!(wrong.is_empty(), "kernels that spill or use local memory: {}", wrong.join("; "));
    Ok(text)
}

const HEAD: &str = "# What the kernels take of a multiprocessor

Made by `cargo xtask ptx --report` with ptxas 12.9.86. No kernel spills, none uses local memory (the command fails otherwise).
Occupancy: resident threads / 2048, by registers, threads, shared memory (164 KiB on sm_80, 228 KiB on sm_90) and blocks.
Dynamic shared memory is what the launcher asks for.

| kernel | target | threads | registers | static shared | dynamic shared | spills | blocks/SM | occupancy |
|---|---|--:|--:|--:|--:|--:|--:|--:|
";

fn row(
    text: &mut String,
    kernel: &str,
    architecture: &Architecture,
    resources: &Resources,
    shape: LaunchShape,
) -> Result<()> {
    let warps = shape.threads.div_ceil(32);
    let of_warp = (resources.registers * 32).next_multiple_of(REGISTER_PIECE);
    let shared = resources.static_shared + shape.dynamic_shared + RESERVED_SHARED;
    let limits = [
        REGISTERS / of_warp / warps,
        architecture.max_threads / shape.threads,
        architecture.shared_bytes / shared,
        architecture.max_blocks,
    ];
    let blocks = limits.into_iter().min().unwrap_or(0);
    ensure!(blocks > 0, "{kernel} does not fit on {}", architecture.name);
    writeln!(
        text,
        "| {kernel} | {} | {} | {} | {} | {} | {} | {blocks} | {} % |",
        architecture.name,
        shape.threads,
        resources.registers,
        resources.static_shared,
        shape.dynamic_shared,
        resources.spills,
        blocks * shape.threads * 100 / architecture.max_threads
    )?;
    Ok(())
}

fn assemble(file: &str, ptx: &str, target: &str, ptxas: &Path) -> Result<BTreeMap<String, Resources>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(file);
    fs::write(&path, ptx)?;
    let output = Command::new(ptxas)
        .args(["-v", "-arch", target, "-o"])
        .arg(folder.path().join("cubin"))
        .arg(&path)
        .output()
        .with_context(|| format!("cannot start {}", ptxas.display()))?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("ptxas refuses {file} for {target}:\n{log}");
    }
    Ok(parse(&log))
}

/// Reads `ptxas -v`.
fn parse(log: &str) -> BTreeMap<String, Resources> {
    let mut kernels: BTreeMap<String, Resources> = BTreeMap::new();
    let mut current = String::new();
    for line in log.lines() {
        if let Some(name) = line.split("entry function '").nth(1).and_then(|rest| rest.split('\'').next()) {
            current = name.to_owned();
            continue;
        }
        let number_before = |unit: &str| {
            let before = line.split(unit).next().filter(|before| before.len() < line.len())?;
            before.rsplit([' ', ',']).find(|word| !word.is_empty())?.parse::<u32>().ok()
        };
        let entry = kernels.entry(current.clone()).or_default();
        entry.registers = number_before(" registers").unwrap_or(entry.registers);
        entry.static_shared = number_before(" bytes smem").unwrap_or(entry.static_shared);
        entry.stack = number_before(" bytes stack frame").unwrap_or(entry.stack);
        entry.spills = number_before(" bytes spill stores").unwrap_or(entry.spills);
    }
    kernels.remove("");
    kernels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_log_of_ptxas() {
        let log = "ptxas info    : Compiling entry function 'a' for 'sm_80'\n\
            ptxas info    : Function properties for a\n    16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads\n\
            ptxas info    : Used 22 registers, used 1 barriers, 64 bytes smem, 412 bytes cmem[0]\n\
            ptxas info    : Compiling entry function 'b' for 'sm_80'\nptxas info    : Used 255 registers\n";
        let kernels = parse(log);
        let a = &kernels["a"];
        assert_eq!((a.registers, a.static_shared, a.stack, a.spills), (22, 64, 16, 8));
        assert_eq!((kernels["b"].registers, kernels["b"].static_shared), (255, 0));
    }
}
