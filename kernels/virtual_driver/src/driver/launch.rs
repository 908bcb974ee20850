//! Launches: checked when they are enqueued, run by the machine, and what becomes of a trap.

use std::sync::Arc;
use std::sync::OnceLock;

use super::context::Context;
use super::error::{Error, Result};
use super::function::Function;
use super::module::Module;
use super::{attribute, driver, report};
use crate::machine::{self, LaunchSpec, Options, TrapKind};

/// A kernel with everything it needs to run.
#[derive(Debug)]
pub struct Launch {
    /// The kernel.
    pub function: Arc<Function>,
    /// Grid, block, shared memory and parameters.
    pub spec: LaunchSpec,
    module: Arc<Module>,
}

/// Largest grid in x, y, z.
const MOST_BLOCKS: [u32; 3] = [0x7FFF_FFFF, 65535, 65535];
/// Largest block in x, y, z.
const MOST_THREADS: [u32; 3] = [1024, 1024, 64];

impl Launch {
    /// Checks a launch.
    ///
    /// # Errors
    /// `InvalidValue` for extents, shared memory or parameters out of range; `LaunchOutOfResources` for more threads than
    /// the kernel was compiled for; `CooperativeLaunchTooLarge`; `InvalidHandle` where the module is unloaded.
    pub fn new(function: Arc<Function>, spec: LaunchSpec) -> Result<Self> {
        let module = function.module()?;
        let fits = |extents: [u32; 3], most: [u32; 3]| {
            extents.iter().zip(most).all(|(&extent, most)| (1..=most).contains(&extent))
        };
        let threads: u32 = spec.block.iter().fold(1, |product: u32, &n| product.saturating_mul(n));
        let is_sane = fits(spec.grid, MOST_BLOCKS) && fits(spec.block, MOST_THREADS) && threads <= 1024;
        let has_params = spec.params.len() >= function.facts.param_bytes as usize;
        if !is_sane || !has_params || spec.dynamic_shared > function.max_dynamic_shared() {
            return Err(Error::InvalidValue);
        }
        if function.facts.required_threads.is_some_and(|required| required != spec.block) {
            return Err(Error::InvalidValue);
        }
        if threads > function.max_threads() {
            return Err(Error::LaunchOutOfResources);
        }
        if spec.cooperative {
            let per_unit =
                function.blocks_per_multiprocessor(threads as i32, u64::from(spec.dynamic_shared))?;
            let most = u64::from(per_unit) * u64::from(multiprocessors());
            let blocks = spec.grid.iter().fold(1_u64, |product, &n| product.saturating_mul(u64::from(n)));
            if blocks > most {
                return Err(Error::CooperativeLaunchTooLarge);
            }
        }
        Ok(Self { function, spec, module })
    }

    /// Runs it.
    ///
    /// # Errors
    /// What a trap means to the context; the trap itself is reported for people.
    pub fn run(&self, context: &Context) -> Result<()> {
        context.check()?;
        let memory = driver()?.allocations.memory();
        machine::launch(self.module.image(), self.function.index, &self.spec, memory, options()).map_err(
            |trap| {
                let error = error_of(trap.kind);
                report::tell(&format!("{error}\n{trap}"));
                error
            },
        )
    }
}

/// Multiprocessors of the device.
pub fn multiprocessors() -> u32 {
    attribute::value_of(attribute::MULTIPROCESSORS).unwrap_or(1) as u32
}

fn options() -> &'static Options {
    static OPTIONS: OnceLock<Options> = OnceLock::new();
    OPTIONS.get_or_init(Options::default)
}

/// The result code by which hardware would fail.
fn error_of(kind: TrapKind) -> Error {
    match kind {
        TrapKind::IllegalAddress => Error::IllegalAddress,
        TrapKind::Misaligned => Error::MisalignedAddress,
        TrapKind::IllegalInstruction => Error::IllegalInstruction,
        TrapKind::Assert => Error::Assert,
        TrapKind::StackOverflow => Error::HardwareStackError,
        TrapKind::Timeout => Error::LaunchTimeout,
        TrapKind::Deadlock => Error::LaunchFailed,
        TrapKind::InvalidLaunch => Error::InvalidValue,
    }
}
