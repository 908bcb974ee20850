//! Launches: checked when they are enqueued, run by the machine, and what becomes of a trap.

use std::sync::Arc;

use super::context::Context;
use super::error::{Error, Result};
use super::function::Function;
use super::ledger::Ledger;
use super::module::Module;
use super::{attribute, driver, report};
use crate::machine::{self, LaunchSpec, Options, TrapKind};
use crate::memory::{DeviceMemory, Kind};
use crate::sanitizer;

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
        let driver = driver()?;
        let (image, memory) = (self.module.image(), driver.allocations.memory());
        let grid_workspace = if self.spec.cooperative { prepare_workspace(context, memory)? } else { 0 };
        let options = Options { grid_workspace, ..driver.machine.clone() };
        if driver.ledger.is_on() {
            return self.run_watched(&driver.ledger, memory, &options);
        }
        let outcome = machine::launch(image, self.function.index, &self.spec, memory, &options);
        outcome.map_err(|trap| {
            let error = error_of(trap.kind);
            report::tell(&format!("{error}\n{trap}"));
            error
        })
    }

    /// Runs it under the sanitizers. Findings fail the launch as compute-sanitizer's errors do, by
    /// `CUDA_ERROR_LAUNCH_FAILED`: for findings that hardware would not have stopped at, there is no code of their own.
    fn run_watched(&self, ledger: &Ledger, memory: &DeviceMemory, options: &Options) -> Result<()> {
        let (image, index) = (self.module.image(), self.function.index);
        let describe = |address: u64| ledger.describe(address);
        let outcome = sanitizer::launch(image, index, &self.spec, memory, options, ledger.checks, &describe);
        outcome.findings.iter().for_each(|finding| ledger.tell(&finding.to_string()));
        if let Err(trap) = outcome.result {
            let error = error_of(trap.kind);
            ledger.tell(&format!("{error}\n{trap}"));
            ledger.fail();
            return Err(error);
        }
        if outcome.findings.is_empty() || ledger.checks.reports_only {
            return Ok(());
        }
        ledger.fail();
        Err(Error::LaunchFailed)
    }
}

/// Multiprocessors of the device.
pub fn multiprocessors() -> u32 {
    attribute::value_of(attribute::MULTIPROCESSORS).unwrap_or(1) as u32
}

/// The memory through which the blocks meet: a size, and a barrier that starts at zero.
fn prepare_workspace(context: &Context, memory: &DeviceMemory) -> Result<u64> {
    const BYTES: u32 = 8;
    let workspace = &context.device.grid_workspace;
    if workspace.get().is_none() {
        // One launch at a time runs on a device, so nobody sets it in between.
        let _ = workspace.set(memory.allocate(u64::from(BYTES), Kind::Device)?);
    }
    let address = workspace.get().copied().ok_or(Error::OutOfMemory)?;
    memory.write(address, &u64::from(BYTES).to_le_bytes())?;
    Ok(address)
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
