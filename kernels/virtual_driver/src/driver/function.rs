//! Functions: kernels in a context, their attributes, and how many blocks of them fit on a multiprocessor.

use std::ffi::CString;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Weak};

use super::error::{Error, Result};
use super::handle::{self, Handle};
use super::module::Module;
use crate::lower::program;

/// Shared memory a block can have without asking, in bytes.
pub const SHARED_LIMIT: u32 = 48 << 10;
/// Shared memory a block can have at all, in bytes.
pub const SHARED_OPT_IN: u32 = 163 << 10;
/// Shared memory of a multiprocessor, and what each block takes of it for the system, in bytes.
const SHARED_PER_MULTIPROCESSOR: u32 = 164 << 10;
const SHARED_RESERVED: u32 = 1 << 10;
const SHARED_UNIT: u32 = 128;
const REGISTERS: u32 = 65536;
const REGISTER_UNIT: u32 = 256;
const WARPS: u32 = 64;
const MOST_BLOCKS: u32 = 32;
const MOST_THREADS: u32 = 1024;

/// `CU_FUNC_ATTRIBUTE_*`
const MAX_THREADS: i32 = 0;
const SHARED_BYTES: i32 = 1;
const CONST_BYTES: i32 = 2;
const LOCAL_BYTES: i32 = 3;
const NUM_REGS: i32 = 4;
const PTX_VERSION: i32 = 5;
const BINARY_VERSION: i32 = 6;
const CACHE_MODE_CA: i32 = 7;
const MAX_DYNAMIC_SHARED: i32 = 8;
const CARVEOUT: i32 = 9;
const CLUSTER_POLICY: i32 = 15;

/// A kernel in a context.
#[derive(Debug)]
pub struct Function {
    /// Its handle.
    pub handle: Handle,
    /// Its number in the program.
    pub index: u32,
    /// Its name.
    pub name: CString,
    /// What lowering found out about it.
    pub facts: program::Function,
    static_shared: u32,
    const_bytes: u32,
    ptx_version: i32,
    max_registers: Option<u32>,
    module: Weak<Module>,
    max_dynamic: AtomicI32,
    carveout: AtomicI32,
}

impl Function {
    /// The kernel with a number in a module's program.
    pub fn new(module: &Arc<Module>, index: u32) -> Self {
        let program = module.image().program();
        let facts = program.functions[index as usize].clone();
        let static_shared = program.shared_layout(index).static_bytes;
        let constants = program.variables.iter().filter(|v| v.space == crate::ptx::ast::Space::Const);
        Self {
            handle: handle::fresh(),
            index,
            name: CString::new(facts.name.as_str()).unwrap_or_default(),
            static_shared,
            const_bytes: constants.map(|variable| variable.bytes as u32).sum(),
            ptx_version: (program.version.0 * 10 + program.version.1) as i32,
            max_registers: facts.max_registers.or(program.max_registers),
            module: Arc::downgrade(module),
            max_dynamic: AtomicI32::new(SHARED_LIMIT.saturating_sub(static_shared) as i32),
            carveout: AtomicI32::new(-1),
            facts,
        }
    }

    /// Its module.
    ///
    /// # Errors
    /// `InvalidHandle` where that is unloaded.
    pub fn module(&self) -> Result<Arc<Module>> {
        self.module.upgrade().ok_or(Error::InvalidHandle)
    }

    /// Threads a block of it may have.
    pub fn max_threads(&self) -> u32 {
        let product = |extents: [u32; 3]| extents.iter().product::<u32>();
        self.facts.required_threads.or(self.facts.max_threads).map_or(MOST_THREADS, product).min(MOST_THREADS)
    }

    /// Registers of a thread: 32-bit slots of the lowered program, but never so many that the largest block it may have
    /// would not fit or the program has forbidden, since the machine has no such limit.
    pub fn registers(&self) -> u32 {
        let most = REGISTERS / self.max_threads().next_multiple_of(32).max(256);
        let most = most.min(self.max_registers.unwrap_or(255)).clamp(16, 255);
        self.facts.slots.clamp(16, most)
    }

    /// Bytes of shared memory that a block has without dynamic memory.
    pub fn static_shared(&self) -> u32 {
        self.static_shared
    }

    /// Dynamic shared memory that a launch may ask for.
    pub fn max_dynamic_shared(&self) -> u32 {
        self.max_dynamic.load(Ordering::Relaxed).max(0) as u32
    }

    /// Reads an attribute.
    ///
    /// # Errors
    /// `InvalidValue` for an unknown one.
    pub fn attribute(&self, attribute: i32) -> Result<i32> {
        Ok(match attribute {
            MAX_THREADS => self.max_threads() as i32,
            SHARED_BYTES => self.static_shared as i32,
            CONST_BYTES => self.const_bytes as i32,
            LOCAL_BYTES => self.facts.frame_bytes as i32,
            NUM_REGS => self.registers() as i32,
            PTX_VERSION => self.ptx_version,
            BINARY_VERSION => 80,
            CACHE_MODE_CA => 0,
            MAX_DYNAMIC_SHARED => self.max_dynamic.load(Ordering::Relaxed),
            CARVEOUT => self.carveout.load(Ordering::Relaxed),
            10..=CLUSTER_POLICY => 0,
            _ => return Err(Error::InvalidValue),
        })
    }

    /// Sets an attribute.
    ///
    /// # Errors
    /// `InvalidValue` where it cannot be set, or not to this value.
    pub fn set_attribute(&self, attribute: i32, value: i32) -> Result<()> {
        match attribute {
            MAX_DYNAMIC_SHARED => {
                if !(0..=SHARED_OPT_IN.saturating_sub(self.static_shared) as i32).contains(&value) {
                    return Err(Error::InvalidValue);
                }
                self.max_dynamic.store(value, Ordering::Relaxed);
            }
            CARVEOUT if (-1..=100).contains(&value) => self.carveout.store(value, Ordering::Relaxed),
            11..=CLUSTER_POLICY => {}
            _ => return Err(Error::InvalidValue),
        }
        Ok(())
    }

    /// Blocks of it that one multiprocessor holds at once.
    ///
    /// # Errors
    /// `InvalidValue` for a block size that no device has.
    pub fn blocks_per_multiprocessor(&self, threads: i32, dynamic_shared: u64) -> Result<u32> {
        let threads = u32::try_from(threads).ok().filter(|&n| n > 0).ok_or(Error::InvalidValue)?;
        if threads > self.max_threads() || dynamic_shared > u64::from(self.max_dynamic_shared()) {
            return Ok(0);
        }
        Ok(blocks_that_fit(threads, self.registers(), self.static_shared + dynamic_shared as u32))
    }

    /// The largest dynamic shared memory with which `blocks` blocks of `threads` threads still fit.
    ///
    /// # Errors
    /// `InvalidValue` where they fit with none.
    pub fn dynamic_shared_for(&self, blocks: i32, threads: i32) -> Result<u64> {
        let blocks = u32::try_from(blocks).ok().filter(|&n| n > 0).ok_or(Error::InvalidValue)?;
        if self.blocks_per_multiprocessor(threads, 0)? < blocks {
            return Err(Error::InvalidValue);
        }
        let share = (SHARED_PER_MULTIPROCESSOR / blocks) / SHARED_UNIT * SHARED_UNIT;
        let dynamic = share.saturating_sub(SHARED_RESERVED + self.static_shared);
        Ok(u64::from(dynamic.min(self.max_dynamic_shared())))
    }

    /// The smallest grid that fills `multiprocessors`, and the block size that does so with the most warps.
    pub fn best_block(&self, shared_of: impl Fn(i32) -> u64, most: i32, multiprocessors: u32) -> (u32, u32) {
        let most = if most > 0 { (most as u32).min(self.max_threads()) } else { self.max_threads() };
        let mut best = (0, 0, 0);
        for threads in (1..=most.div_ceil(32)).rev().map(|warps| (warps * 32).min(most)) {
            let fits = self.blocks_per_multiprocessor(threads as i32, shared_of(threads as i32)).unwrap_or(0);
            if fits * threads > best.0 {
                best = (fits * threads, threads, fits);
            }
        }
        (best.2 * multiprocessors, best.1)
    }
}

fn blocks_that_fit(threads: u32, registers: u32, shared: u32) -> u32 {
    let warps = threads.div_ceil(32);
    let by_registers = REGISTERS / (warps * (registers * 32).next_multiple_of(REGISTER_UNIT));
    let by_shared = SHARED_PER_MULTIPROCESSOR / (shared + SHARED_RESERVED).next_multiple_of(SHARED_UNIT);
    (WARPS / warps).min(MOST_BLOCKS).min(by_registers).min(by_shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occupancy_is_limited_by_whatever_runs_out_first() {
        assert_eq!(blocks_that_fit(32, 16, 0), 32, "blocks");
        assert_eq!(blocks_that_fit(1024, 16, 0), 2, "warps");
        assert_eq!(blocks_that_fit(256, 128, 0), 2, "registers");
        assert_eq!(blocks_that_fit(128, 32, 40 << 10), 4, "shared memory");
        assert_eq!(blocks_that_fit(128, 32, SHARED_OPT_IN), 1);
    }
}
