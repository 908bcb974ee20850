//! A program bound to the memory of a device: its variables have addresses and initial values.

use std::sync::Arc;

use super::FUNCTION_WINDOW;
use crate::isa::{Builtin, Op};
use crate::lower::Program;
use crate::lower::program::{Function, Target};
use crate::memory::{DeviceMemory, Heap, Kind, MemoryError};

/// A loaded module. Dropping it does not free its variables: call [`Image::unload`].
#[derive(Clone, Debug)]
pub struct Image {
    program: Arc<Program>,
    addresses: Vec<u64>,
    /// Where kernels allocate.
    heap: Option<Arc<Heap>>,
}

impl Image {
    /// Allocates and initialises the global and constant variables.
    ///
    /// # Errors
    /// [`MemoryError::OutOfMemory`]; what was allocated before is freed again.
    pub fn load(program: Arc<Program>, memory: &DeviceMemory) -> Result<Self, MemoryError> {
        let heap = uses_heap(&program).then(|| memory.heap()).transpose()?;
        let mut image = Self { program, addresses: Vec::new(), heap };
        for variable in &image.program.variables {
            match memory.allocate(variable.bytes, Kind::Device) {
                Ok(address) => image.addresses.push(address),
                Err(error) => {
                    image.unload(memory);
                    return Err(error);
                }
            }
        }
        for (variable, &address) in image.program.variables.iter().zip(&image.addresses) {
            let mut bytes = variable.initial.clone();
            bytes.resize(variable.bytes as usize, 0);
            for relocation in &variable.relocations {
                let target = match relocation.target {
                    Target::Variable(index) => image.addresses[index as usize],
                    Target::Function(index) => Self::function_address(index),
                    Target::Shared(_) => 0,
                };
                let value = target.wrapping_add_signed(relocation.addend).to_le_bytes();
                let start = relocation.offset as usize;
                let width = (relocation.bytes as usize).min(8);
                bytes[start..start + width].copy_from_slice(&value[..width]);
            }
            memory.write(address, &bytes)?;
        }
        Ok(image)
    }

    /// Frees the variables.
    pub fn unload(&self, memory: &DeviceMemory) {
        for &address in &self.addresses {
            // A variable that someone freed already is gone; nothing is left to do for it.
            let _ = memory.free(address);
        }
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Address and size in bytes of a global or constant variable.
    pub fn variable(&self, name: &str) -> Option<(u64, u64)> {
        let index = self.program.variables.iter().position(|variable| variable.name == name)?;
        Some((self.addresses[index], self.program.variables[index].bytes))
    }

    /// The kernel called `name`: its number and what is known of it.
    pub fn kernel(&self, name: &str) -> Option<(u32, &Function)> {
        let index = self.program.kernel(name)?;
        Some((index, &self.program.functions[index as usize]))
    }

    /// Where its kernels allocate, if they do.
    pub(super) fn heap(&self) -> Option<&Heap> {
        self.heap.as_deref()
    }

    pub(super) fn variable_address(&self, index: u32) -> u64 {
        self.addresses[index as usize]
    }

    /// The value of a pointer to a function.
    pub(super) fn function_address(index: u32) -> u64 {
        FUNCTION_WINDOW | (u64::from(index) + 1) << 4
    }

    /// The function a pointer points to.
    pub(super) fn function_at(&self, address: u64) -> Option<u32> {
        let index = u32::try_from((address ^ FUNCTION_WINDOW) >> 4).ok()?.checked_sub(1)?;
        let function = self.program.functions.get(index as usize)?;
        (address & 0xF == 0 && !function.is_entry && function.end > function.start).then_some(index)
    }
}

fn uses_heap(program: &Program) -> bool {
    let is_heap = |op: &Op| matches!(op, Op::CallBuiltin { builtin: Builtin::Malloc | Builtin::Free, .. });
    program.code.iter().any(|instruction| is_heap(&instruction.op))
}
