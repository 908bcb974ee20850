//! The device of the conformance suite: launches go straight to the virtual machine, without the driver's API in between,
//! and all of them under the sanitizers.

use std::collections::HashMap;
use std::sync::Arc;

use goldlap_kernels::cuda::device::Device;
use goldlap_kernels::cuda::launch::Launch;
use goldlap_kernels::cuda::registry::Module;
use goldlap_kernels::ops::error::OpError;
use goldlap_virtual_driver::machine::{Image, LaunchSpec, Options};
use goldlap_virtual_driver::memory::{DeviceMemory, Fill, Kind};
use goldlap_virtual_driver::sanitizer::{self, Checks};
use goldlap_virtual_driver::{lower, ptx};

/// The virtual machine, one device.
pub(crate) struct DirectDevice {
    memory: Arc<DeviceMemory>,
    images: HashMap<Module, Image>,
    options: Options,
    allocations: u64,
}

/// An allocation; freed when dropped.
pub(crate) struct DirectMemory {
    memory: Arc<DeviceMemory>,
    address: u64,
    bytes: usize,
}

impl Drop for DirectMemory {
    fn drop(&mut self) {
        let freed = self.memory.free(self.address);
        debug_assert!(freed.is_ok(), "{freed:?}");
    }
}

impl DirectDevice {
    pub(crate) fn new() -> Self {
        let memory = Arc::new(DeviceMemory::new(4 << 30, Fill::default()).watched());
        Self {
            memory,
            images: HashMap::new(),
            options: Options { threads: 2, ..Options::default() },
            allocations: 0,
        }
    }

    fn image(&mut self, module: Module) -> Result<&Image, OpError> {
        if !self.images.contains_key(&module) {
            let (name, text) = module.ptx();
            let list = |diagnostics: Vec<_>| {
                let lines: Vec<String> = diagnostics.iter().map(ptx::Diagnostic::to_string).collect();
                OpError::new(name, lines.join("\n"))
            };
            let parsed = ptx::parse(text).map_err(list)?;
            let program = lower::lower(&parsed).map_err(list)?;
            let image = Image::load(Arc::new(program), &self.memory);
            let image = image.map_err(|error| OpError::new(name, error.to_string()))?;
            self.images.insert(module, image);
        }
        Ok(&self.images[&module])
    }
}

impl Device for DirectDevice {
    type Memory = DirectMemory;
    type Graph = Vec<Launch>;

    fn allocate(&mut self, bytes: usize) -> Result<DirectMemory, OpError> {
        let fail =
            |error: goldlap_virtual_driver::memory::MemoryError| OpError::new("allocate", error.to_string());
        let address = self.memory.allocate(bytes as u64, Kind::Device).map_err(fail)?;
        self.memory.write(address, &vec![0; bytes]).map_err(fail)?;
        self.allocations += 1;
        Ok(DirectMemory { memory: Arc::clone(&self.memory), address, bytes })
    }

    fn address(memory: &DirectMemory) -> u64 {
        memory.address
    }

    fn upload(&mut self, host: &[u8], memory: &DirectMemory, offset: usize) -> Result<(), OpError> {
        assert!(offset + host.len() <= memory.bytes, "upload leaves the allocation");
        let written = self.memory.write(memory.address + offset as u64, host);
        written.map_err(|error| OpError::new("upload", error.to_string()))
    }

    fn download(&mut self, memory: &DirectMemory, offset: usize, host: &mut [u8]) -> Result<(), OpError> {
        assert!(offset + host.len() <= memory.bytes, "download leaves the allocation");
        let read = self.memory.read(memory.address + offset as u64, host);
        read.map_err(|error| OpError::new("download", error.to_string()))
    }

    unsafe fn launch(&mut self, launch: &Launch) -> Result<(), OpError> {
        let kernel = launch.kernel;
        let (memory, options) = (Arc::clone(&self.memory), self.options.clone());
        let image = self.image(kernel.module())?;
        let (number, _) = image.kernel(kernel.name()).expect("the registry was tested against the PTX");
        let shape = kernel.launch_shape();
        let spec = LaunchSpec {
            grid: launch.grid,
            block: [shape.threads, 1, 1],
            dynamic_shared: shape.dynamic_shared,
            params: launch.argument_bytes().to_vec(),
            cooperative: false,
        };
        let outcome = sanitizer::launch(image, number, &spec, &memory, &options, Checks::ALL, &|_| None);
        outcome.result.map_err(|trap| OpError::new(kernel.name(), format!("{trap}")))?;
        let findings: Vec<String> = outcome.findings.iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
        Ok(())
    }

    unsafe fn capture(&mut self, launches: &[Launch]) -> Result<Option<Vec<Launch>>, OpError> {
        Ok(Some(launches.to_vec()))
    }

    unsafe fn replay(&mut self, graph: &Vec<Launch>) -> Result<(), OpError> {
        for launch in graph {
            // SAFETY: the caller vouches for every launch of the graph.
            unsafe { self.launch(launch) }?;
        }
        Ok(())
    }

    fn allocations(&self) -> u64 {
        self.allocations
    }

    fn synchronize(&mut self) -> Result<(), OpError> {
        Ok(())
    }
}
