//! The door: one kernel over a grid of blocks.

use super::context::Context;
use super::image::Image;
use super::lanes::Isa;
use super::observer::{NoObserver, Observer};
use super::schedule;
use super::trap::{Trap, TrapKind};
use crate::memory::DeviceMemory;

/// One launch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchSpec {
    /// Blocks in x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y, z.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub dynamic_shared: u32,
    /// The parameter block: each parameter at the offset of [`crate::lower::program::Function::params`].
    pub params: Vec<u8>,
    /// All blocks are resident at once and may wait for each other.
    pub cooperative: bool,
}

/// How to execute.
#[derive(Clone, Debug)]
pub struct Options {
    /// Host threads over which blocks are spread; at least one.
    pub threads: usize,
    /// Vector instructions to use, at most what the host has.
    pub isa: Isa,
    /// Instructions that the warps of one block may execute before the launch is stopped; `None`: no limit.
    pub step_budget: Option<u64>,
    /// Local memory of a thread in bytes: frames of all its functions.
    pub local_bytes: u32,
    /// What `%nsmid` says.
    pub multiprocessors: u32,
    /// Largest shared memory of a block in bytes.
    pub shared_limit: u32,
    /// Takes what kernels print, block by block in block order, when the launch ends. `None`: standard output.
    pub print: Option<fn(&[u8])>,
}

impl Default for Options {
    /// One host thread per core, the best vector instructions, the limits of sm_80.
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            isa: Isa::detect(),
            step_budget: None,
            local_bytes: 512 << 10,
            multiprocessors: 108,
            shared_limit: 163 << 10,
            print: None,
        }
    }
}

/// Runs a kernel to its end.
///
/// Results do not depend on the number of host threads. Blocks without order-dependent atomics run side by side;
/// integer reductions commute, so their order cannot be seen. A kernel with float atomics on device memory, or with
/// atomics whose old value it reads, runs its blocks one after the other in index order (x fastest). Blocks of a
/// cooperative launch take turns on one host thread.
///
/// # Errors
/// The trap of the first failing block in index order among those that ran.
pub fn launch(
    image: &Image,
    kernel: u32,
    spec: &LaunchSpec,
    memory: &DeviceMemory,
    options: &Options,
) -> Result<(), Box<Trap>> {
    launch_with(image, kernel, spec, memory, options, &NoObserver)
}

/// As [`launch`], with an observer that is told of every access.
///
/// # Errors
/// As [`launch`].
pub fn launch_with<O: Observer>(
    image: &Image,
    kernel: u32,
    spec: &LaunchSpec,
    memory: &DeviceMemory,
    options: &Options,
    observer: &O,
) -> Result<(), Box<Trap>>
where
    O::Block: Send,
{
    check(image, kernel, spec, options)?;
    let context = Context::new(image, kernel, spec, options, memory.snapshot());
    schedule::run(&context, observer)
}

/// Refuses launches that no device could run.
fn check(image: &Image, kernel: u32, spec: &LaunchSpec, options: &Options) -> Result<(), Box<Trap>> {
    let program = image.program();
    let refuse = |what: String| {
        Err(Box::new(Trap {
            kind: TrapKind::InvalidLaunch,
            what,
            kernel: program
                .functions
                .get(kernel as usize)
                .map_or_else(String::new, |function| function.name.clone()),
            instruction: String::new(),
            ptx_line: 0,
            source: None,
            block: [0; 3],
            thread: [0; 3],
            address: None,
        }))
    };
    let Some(function) = program.functions.get(kernel as usize).filter(|function| function.is_entry) else {
        return refuse(format!("function number {kernel} is not a kernel"));
    };
    let threads: u64 = spec.block.iter().map(|&extent| u64::from(extent)).product();
    let blocks = spec.grid.iter().try_fold(1_u64, |product, &extent| product.checked_mul(u64::from(extent)));
    if threads == 0 || threads > 1024 {
        return refuse(format!("a block has 1 to 1024 threads, not {threads}"));
    }
    if blocks.is_none_or(|blocks| blocks == 0) {
        return refuse(format!("the grid {:?} has no blocks, or too many", spec.grid));
    }
    if function.required_threads.is_some_and(|required| required != spec.block) {
        return refuse(format!(
            "the kernel requires blocks of {:?}, not {:?}",
            function.required_threads, spec.block
        ));
    }
    let most =
        function.max_threads.map_or(1024, |most| most.iter().map(|&extent| u64::from(extent)).product());
    if threads > most {
        return refuse(format!("the kernel was compiled for at most {most} threads a block, not {threads}"));
    }
    if spec.params.len() < function.param_bytes as usize {
        return refuse(format!(
            "{} bytes of parameters are given, {} are needed",
            spec.params.len(),
            function.param_bytes
        ));
    }
    let shared = u64::from(program.shared_layout(kernel).static_bytes) + u64::from(spec.dynamic_shared);
    if shared > u64::from(options.shared_limit) {
        return refuse(format!(
            "{shared} bytes of shared memory are asked for, a block has {}",
            options.shared_limit
        ));
    }
    Ok(())
}
