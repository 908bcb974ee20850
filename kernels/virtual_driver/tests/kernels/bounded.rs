//! Any text at all: parsed, lowered, and every kernel of it run for a bounded number of steps.

use std::sync::Arc;

use goldlap_virtual_driver::machine::{Image, LaunchSpec, Options, launch};
use goldlap_virtual_driver::memory::{DeviceMemory, Fill, Kind};
use goldlap_virtual_driver::{lower, ptx};

/// Ends in diagnostics, traps or results; what must not happen is a crash, a hang or memory without bound.
pub(crate) fn run_all(text: &str) {
    let Ok(module) = ptx::parse(text) else { return };
    let Ok(program) = lower::lower(&module) else { return };
    let memory = DeviceMemory::new(1 << 26, Fill::default());
    let Ok(image) = Image::load(Arc::new(program), &memory) else { return };
    let buffer = memory.allocate(4096, Kind::Device).unwrap();
    let options =
        Options { threads: 1, step_budget: Some(20_000), print: Some(|_| {}), ..Options::default() };
    let kernels: Vec<String> = image.program().kernels().map(str::to_owned).collect();
    for name in kernels {
        let (number, function) = image.kernel(&name).unwrap();
        let mut params = vec![3; function.param_bytes as usize];
        for param in &function.params {
            let value = if param.bytes == 8 { buffer } else { 17 };
            let bytes = (param.bytes as usize).min(8);
            params[param.offset as usize..][..bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
        }
        let spec = LaunchSpec {
            grid: [2, 1, 1],
            block: [40, 1, 1],
            params,
            dynamic_shared: 512,
            cooperative: false,
        };
        // A result or a trap, both are fine.
        let _ = launch(&image, number, &spec, &memory, &options);
    }
}
