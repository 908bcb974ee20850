//! A device for tests: programs from PTX text, buffers of plain numbers, launches, all of them under the sanitizers.

use std::sync::Arc;

use goldlap_virtual_driver::machine::{Image, LaunchSpec, Options, Trap};
use goldlap_virtual_driver::memory::{DeviceMemory, Fill, Kind};
use goldlap_virtual_driver::sanitizer::{Checks, launch};
use goldlap_virtual_driver::{lower, ptx};

/// A kernel argument.
#[derive(Clone, Copy)]
pub(crate) enum Arg {
    U32(u32),
    F32(f32),
    U64(u64),
}

pub(crate) struct Device {
    pub(crate) memory: DeviceMemory,
    pub(crate) image: Image,
    pub(crate) options: Options,
    pub(crate) checks: Checks,
}

impl Device {
    /// Loads a module; panics with all diagnostics if it does not load.
    pub(crate) fn load(text: &str) -> Device {
        let module = ptx::parse(text).unwrap_or_else(|diagnostics| panic!("{}", list(&diagnostics)));
        let program = lower::lower(&module).unwrap_or_else(|diagnostics| panic!("{}", list(&diagnostics)));
        let memory = DeviceMemory::new(1 << 30, Fill::default()).watched();
        let image = Image::load(Arc::new(program), &memory).unwrap();
        Device { memory, image, options: Options { threads: 2, ..Options::default() }, checks: Checks::ALL }
    }

    pub(crate) fn upload_u32(&self, values: &[u32]) -> u64 {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let address = self.memory.allocate(bytes.len() as u64, Kind::Device).unwrap();
        self.memory.write(address, &bytes).unwrap();
        address
    }

    pub(crate) fn upload(&self, values: &[f32]) -> u64 {
        let bits: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
        self.upload_u32(&bits)
    }

    pub(crate) fn download_u32(&self, address: u64, count: usize) -> Vec<u32> {
        let mut bytes = vec![0; count * 4];
        self.memory.read(address, &mut bytes).unwrap();
        bytes.chunks_exact(4).map(|chunk| u32::from_le_bytes(chunk.try_into().unwrap())).collect()
    }

    pub(crate) fn download(&self, address: u64, count: usize) -> Vec<f32> {
        self.download_u32(address, count).into_iter().map(f32::from_bits).collect()
    }

    pub(crate) fn try_launch(
        &self,
        kernel: &str,
        grid: [u32; 3],
        block: [u32; 3],
        dynamic_shared: u32,
        args: &[Arg],
    ) -> Result<(), Box<Trap>> {
        let (number, function) = self.image.kernel(kernel).unwrap_or_else(|| panic!("no kernel {kernel}"));
        assert_eq!(function.params.len(), args.len(), "arguments of {kernel}");
        let mut params = vec![0; function.param_bytes as usize];
        for (param, arg) in function.params.iter().zip(args) {
            let bytes = match arg {
                Arg::U32(value) => u64::from(*value),
                Arg::F32(value) => value.to_bits().into(),
                Arg::U64(value) => *value,
            }
            .to_le_bytes();
            let start = param.offset as usize;
            params[start..start + param.bytes as usize].copy_from_slice(&bytes[..param.bytes as usize]);
        }
        let spec = LaunchSpec { grid, block, dynamic_shared, params, cooperative: false };
        let (memory, options) = (&self.memory, &self.options);
        let outcome = launch(&self.image, number, &spec, memory, options, self.checks, &|_| None);
        let findings: Vec<String> = outcome.findings.iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
        outcome.result
    }

    pub(crate) fn launch(
        &self,
        kernel: &str,
        grid: [u32; 3],
        block: [u32; 3],
        dynamic_shared: u32,
        args: &[Arg],
    ) {
        self.try_launch(kernel, grid, block, dynamic_shared, args).unwrap_or_else(|trap| panic!("{trap}"));
    }
}

pub(crate) fn list(diagnostics: &[ptx::Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
}
