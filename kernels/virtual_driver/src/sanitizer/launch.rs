//! A watched launch: what all its blocks share, and what comes of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::block::BlockWatch;
use super::checks::Checks;
use super::finding::{Finding, Findings};
use super::releases::Releases;
use super::shadow::Shadow;
use crate::machine::{self, Image, LaunchSpec, Observer, Options, Trap};
use crate::memory::{DeviceMemory, Snapshot};

/// What a watched launch ended with.
#[derive(Debug)]
pub struct Outcome {
    /// As of an unwatched launch.
    pub result: Result<(), Box<Trap>>,
    /// What was found, in the order in which it first happened.
    pub findings: Vec<Finding>,
}

/// What is known of the launch from the start.
pub(super) struct Facts<'l> {
    pub(super) image: &'l Image,
    pub(super) kernel: u32,
    pub(super) spec: &'l LaunchSpec,
    pub(super) memory: Snapshot,
    pub(super) checks: Checks,
    describe: &'l (dyn Fn(u64) -> Option<String> + Sync),
}

/// What the blocks find out.
#[derive(Default)]
pub(super) struct State {
    pub(super) findings: Findings,
    pub(super) global: Shadow,
    pub(super) releases: Releases,
    /// Shadows of shared memory to use again; marks of other blocks in them count as none.
    pub(super) spare: Vec<Shadow>,
}

/// Watches one launch.
pub(super) struct LaunchWatch<'l> {
    pub(super) facts: Facts<'l>,
    pub(super) state: Mutex<State>,
}

impl LaunchWatch<'_> {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts<'_> {
    pub(super) fn threads(&self) -> u32 {
        self.spec.block.iter().product()
    }

    /// A number for each block, its index with x fastest.
    pub(super) fn linear_block(&self, [x, y, z]: [u32; 3]) -> u32 {
        let [width, height, _] = self.spec.grid;
        z.wrapping_mul(height).wrapping_add(y).wrapping_mul(width).wrapping_add(x)
    }

    pub(super) fn block_index(&self, linear: u32) -> [u32; 3] {
        let [width, height, _] = self.spec.grid;
        [linear % width, linear / width % height, linear / width / height]
    }

    pub(super) fn thread_index(&self, warp: u32, lane: u32) -> [u32; 3] {
        let ([x, y, _], linear) = (self.spec.block, warp * 32 + lane);
        [linear % x, linear / x % y, linear / x / y]
    }

    /// What lies at an address of device memory.
    pub(super) fn describe_global(&self, address: u64) -> Option<String> {
        let program = self.image.program();
        let variables = program.variables.iter().filter_map(|variable| {
            self.image.variable(&variable.name).map(|(start, bytes)| (&variable.name, start, bytes))
        });
        for (name, start, bytes) in variables {
            if (start..start + bytes).contains(&address) {
                return Some(format!("byte {} of the {bytes} of variable `{name}`", address - start));
            }
        }
        let (start, end) = self.memory.nearest_below(address)?;
        let mut text = format!("byte {} of the {} at 0x{start:x}", address - start, end - start);
        if let Some(more) = (self.describe)(start) {
            text += &format!(", {more}");
        }
        Some(text)
    }

    /// What lies at an offset of shared memory.
    pub(super) fn describe_shared(&self, offset: u64) -> Option<String> {
        let program = self.image.program();
        let layout = program.shared_layout(self.kernel);
        let placed = layout.offsets.iter().zip(&program.shared);
        let found = placed.filter_map(|(start, variable)| {
            let start = u64::from((*start)?);
            let is_inside = start <= offset && (variable.is_dynamic || offset - start < variable.bytes);
            is_inside.then_some((start, variable))
        });
        let (start, variable) = found.max_by_key(|(start, _)| *start)?;
        Some(format!("byte {} of shared `{}`", offset - start, variable.name))
    }
}

impl<'l> Observer for &'l LaunchWatch<'l> {
    type Block = BlockWatch<'l>;

    fn open_block(&self, block: [u32; 3], shared_bytes: u32) -> BlockWatch<'l> {
        let shadow = self.state().spare.pop().unwrap_or_default();
        BlockWatch::new(self, block, shared_bytes, shadow)
    }

    fn close_block(&self, block: BlockWatch<'l>) {
        self.state().spare.push(block.into_shadow());
    }

    fn is_sequential(&self) -> bool {
        true
    }
}

/// Completes what a trap says of its address: the allocation it was in, or is behind.
fn say_more(trap: &mut Trap, memory: &DeviceMemory, describe: &dyn Fn(u64) -> Option<String>) {
    let Some(address) = trap.address else { return };
    let start = if let Some(freed) = memory.find_freed(address) {
        let (start, bytes) = (freed.region.start, freed.region.bytes);
        let offset = address - start;
        trap.what += &format!("; use after free: byte {offset} of the {bytes} that were at 0x{start:x}");
        Some(start)
    } else {
        // What lies further away has nothing to do with it.
        let near = |&(_, end): &(u64, u64)| address.saturating_sub(end) < 1 << 20;
        memory.snapshot().nearest_below(address).filter(near).map(|(start, _)| start)
    };
    if let Some(more) = start.and_then(describe) {
        trap.what += &format!(", {more}");
    }
}

/// Runs a kernel and watches it. `describe` may say more of the allocation that starts at an address.
///
/// A trap ends the launch as always; what was found before it is kept. Findings alone end nothing: it is for the caller
/// to fail. The memory should be [`DeviceMemory::watched`], or uninitialised device memory cannot be told.
pub fn launch(
    image: &Image,
    kernel: u32,
    spec: &LaunchSpec,
    memory: &DeviceMemory,
    options: &Options,
    checks: Checks,
    describe: &(dyn Fn(u64) -> Option<String> + Sync),
) -> Outcome {
    let facts = Facts { image, kernel, spec, memory: memory.snapshot(), checks, describe };
    let watch = LaunchWatch { facts, state: Mutex::default() };
    let mut result = if checks.watches_launches() {
        machine::launch_with(image, kernel, spec, memory, options, &&watch)
    } else {
        machine::launch(image, kernel, spec, memory, options)
    };
    if let Err(trap) = &mut result {
        say_more(trap, memory, describe);
    }
    let state = watch.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    Outcome { result, findings: state.findings.into_list() }
}
