//! One module on a watched device, with the four parameters that all kernels of these tests have.

use std::sync::Arc;

use goldlap_virtual_driver::machine::{Image, LaunchSpec, Options};
use goldlap_virtual_driver::memory::{DeviceMemory, Fill, Kind};
use goldlap_virtual_driver::sanitizer::{Checks, Outcome, launch};
use goldlap_virtual_driver::{lower, ptx};

/// Floats of `x` and `y`.
pub(crate) const FLOATS: usize = 1024;
/// Floats of `x` that are written.
pub(crate) const WRITTEN: usize = 1000;

/// How a kernel is launched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) blocks: u32,
    pub(crate) threads: u32,
    pub(crate) n: u32,
    pub(crate) dynamic_shared: u32,
    pub(crate) cooperative: bool,
}

pub(crate) struct Bench {
    memory: DeviceMemory,
    image: Image,
    pub(crate) y: u64,
    pub(crate) x: u64,
    counter: u64,
    pub(crate) options: Options,
}

impl Bench {
    pub(crate) fn load(text: &str) -> Bench {
        let list = |diagnostics: Vec<ptx::Diagnostic>| -> String {
            diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
        };
        let module = ptx::parse(text).map_err(list).unwrap();
        let program = lower::lower(&module).map_err(list).unwrap();
        let memory = DeviceMemory::new(1 << 30, Fill::default()).watched();
        let image = Image::load(Arc::new(program), &memory).unwrap();
        let allocate = |bytes: usize| memory.allocate(bytes as u64, Kind::Device).unwrap();
        let (y, x, counter) = (allocate(4 * FLOATS), allocate(4 * FLOATS), allocate(64));
        let options = Options { step_budget: Some(1 << 20), print: Some(|_| {}), ..Options::default() };
        Bench { memory, image, y, x, counter, options }
    }

    /// Runs a kernel from a fresh start.
    pub(crate) fn run(&self, kernel: &str, shape: Shape) -> Outcome {
        let floats: Vec<u8> = (0..WRITTEN).flat_map(|i| (i as f32 + 1.0).to_le_bytes()).collect();
        self.memory.write(self.x, &floats).unwrap();
        self.memory.write(self.y, &[0; 4 * FLOATS]).unwrap();
        self.memory.write(self.counter, &[0; 32]).unwrap();
        self.run_as_it_is(kernel, shape)
    }

    /// Runs a kernel with memory as it is.
    pub(crate) fn run_as_it_is(&self, kernel: &str, shape: Shape) -> Outcome {
        let (number, function) = self.image.kernel(kernel).unwrap_or_else(|| panic!("no kernel {kernel}"));
        let mut params = vec![0; function.param_bytes as usize];
        for (param, value) in function.params.iter().zip([self.y, self.x, shape.n.into(), self.counter]) {
            let bytes = param.bytes as usize;
            params[param.offset as usize..][..bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
        }
        let spec = LaunchSpec {
            grid: [shape.blocks, 1, 1],
            block: [shape.threads, 1, 1],
            dynamic_shared: shape.dynamic_shared,
            params,
            cooperative: shape.cooperative,
        };
        launch(&self.image, number, &spec, &self.memory, &self.options, Checks::ALL, &|_| None)
    }

    /// Gives `x` back.
    pub(crate) fn free_x(&self) {
        self.memory.free(self.x).unwrap();
    }
}
