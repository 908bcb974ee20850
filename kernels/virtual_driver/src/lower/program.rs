//! The lowered program: flat code, resolved names, laid-out variables, and where each instruction came from.

use crate::isa::special::Special;
use crate::isa::{Inst, R};
use crate::ptx::ast::Space;

/// Begins the pragma by which linked PTX carries the linker's limit of registers: `.pragma "max_registers 38";`.
pub const MAX_REGISTERS_PRAGMA: &str = "max_registers ";

/// A lowered module. It holds no addresses: an [`crate::machine::Image`] binds it to the memory of a device.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// `.version`
    pub version: (u32, u32),
    /// The architecture of `.target`.
    pub target: String,
    /// Registers a thread may have, where the text or the program that loads it says so; see [`MAX_REGISTERS_PRAGMA`].
    pub max_registers: Option<u32>,
    /// All functions' instructions, one after the other.
    pub code: Vec<Inst>,
    /// Where each instruction came from; as long as `code`.
    pub origins: Vec<Origin>,
    /// Instruction texts that origins point to.
    pub texts: Vec<Box<str>>,
    /// Source file names by `.file` number.
    pub files: Vec<(u32, String)>,
    /// Kernels and functions.
    pub functions: Vec<Function>,
    /// Global and constant variables.
    pub variables: Vec<ModuleVariable>,
    /// Shared variables of all functions.
    pub shared: Vec<SharedVariable>,
}

/// Where an instruction came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Line in the PTX text.
    pub ptx_line: u32,
    /// Number of the source file, 0 where unknown.
    pub file: u32,
    /// Line in the source file.
    pub source_line: u32,
    /// Index into the program's texts.
    pub text: u32,
}

/// A value that is put into a register before a function starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Constant {
    /// 32 bits in every lane.
    Bits32(u32),
    /// 64 bits in every lane.
    Bits64(u64),
    /// 128 bits in every lane.
    Bits128(u128),
    /// Address of a module variable plus bytes, 64 bits.
    Variable(u32, i64),
    /// Address of a shared variable in shared space plus bytes, 64 bits.
    Shared(u32, i64),
    /// The same in 32 bits.
    Shared32(u32, i64),
    /// Address of a function, 64 bits.
    Function(u32),
    /// A special register, 32 bits.
    Special(Special),
}

/// A parameter of a kernel, or of a function in its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Name.
    pub name: String,
    /// Offset in bytes.
    pub offset: u32,
    /// Size in bytes.
    pub bytes: u32,
}

/// A kernel or function.
#[derive(Clone, Debug, Default)]
pub struct Function {
    /// Name.
    pub name: String,
    /// A kernel.
    pub is_entry: bool,
    /// Index of its first instruction.
    pub start: u32,
    /// Index behind its last instruction.
    pub end: u32,
    /// Slots of 32 lanes by 32 bits that its registers take.
    pub slots: u32,
    /// Predicates it uses; number 0 is always true.
    pub predicates: u32,
    /// Bytes of its frame in local memory: parameters of a function, local variables, parameters of its calls.
    pub frame_bytes: u32,
    /// Registers to fill before it starts.
    pub constants: Vec<(R, Constant)>,
    /// Parameters; of a kernel with offsets in the parameter block, of a function in the frame.
    pub params: Vec<Param>,
    /// Results of a function, in the frame.
    pub returns: Vec<Param>,
    /// Size of a kernel's parameter block in bytes.
    pub param_bytes: u32,
    /// Functions it calls; an indirect call counts as a call of all functions whose address is taken.
    pub calls: Vec<u32>,
    /// Makes an indirect call.
    pub calls_indirectly: bool,
    /// Shared variables it names.
    pub shared: Vec<u32>,
    /// `.maxntid`
    pub max_threads: Option<[u32; 3]>,
    /// `.reqntid`
    pub required_threads: Option<[u32; 3]>,
    /// `.maxnreg`
    pub max_registers: Option<u32>,
    /// Has atomics on memory other than shared whose result depends on the order of blocks.
    pub is_order_dependent: bool,
}

/// What a relocation points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A module variable.
    Variable(u32),
    /// A function.
    Function(u32),
    /// A shared variable; its address depends on the kernel, so only offset 0 blocks can be named.
    Shared(u32),
}

/// An address to be written into an initial value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// Byte offset in the variable.
    pub offset: u64,
    /// Bytes written.
    pub bytes: u32,
    /// Whose address.
    pub target: Target,
    /// Bytes added.
    pub addend: i64,
}

/// A global or constant variable.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleVariable {
    /// Name.
    pub name: String,
    /// Global or Const.
    pub space: Space,
    /// Size in bytes.
    pub bytes: u64,
    /// Alignment in bytes.
    pub alignment: u64,
    /// Initial bytes; what is missing is zero.
    pub initial: Vec<u8>,
    /// Addresses in the initial bytes.
    pub relocations: Vec<Relocation>,
}

/// A shared variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedVariable {
    /// Name.
    pub name: String,
    /// Size in bytes; 0 where the launch decides.
    pub bytes: u64,
    /// Alignment in bytes.
    pub alignment: u64,
    /// `.extern .shared x[]`: starts where the static ones end.
    pub is_dynamic: bool,
}

/// Where a kernel's shared variables lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedLayout {
    /// Offset of each of the program's shared variables, where the kernel uses it.
    pub offsets: Vec<Option<u32>>,
    /// Bytes of the static variables; dynamic memory starts here.
    pub static_bytes: u32,
}

impl Program {
    /// The kernel called `name`.
    pub fn kernel(&self, name: &str) -> Option<u32> {
        let index = self.functions.iter().position(|function| function.is_entry && function.name == name)?;
        u32::try_from(index).ok()
    }

    /// Names of all kernels.
    pub fn kernels(&self) -> impl Iterator<Item = &str> {
        self.functions.iter().filter(|function| function.is_entry).map(|function| function.name.as_str())
    }

    /// The functions a kernel can reach, itself first.
    pub fn reachable(&self, kernel: u32) -> Vec<u32> {
        let mut found = vec![kernel];
        let mut next = 0;
        while let Some(&index) = found.get(next) {
            next += 1;
            let function = &self.functions[index as usize];
            let indirect = function
                .calls_indirectly
                .then(|| (0..self.functions.len() as u32).filter(|&i| !self.functions[i as usize].is_entry));
            for callee in function.calls.iter().copied().chain(indirect.into_iter().flatten()) {
                if !found.contains(&callee) {
                    found.push(callee);
                }
            }
        }
        found
    }

    /// Lays out the shared variables that a kernel and what it calls use: the static ones in order, dynamic ones behind.
    pub fn shared_layout(&self, kernel: u32) -> SharedLayout {
        let mut used: Vec<u32> = self
            .reachable(kernel)
            .iter()
            .flat_map(|&f| self.functions[f as usize].shared.iter().copied())
            .collect();
        used.sort_unstable();
        used.dedup();
        let mut layout = SharedLayout { offsets: vec![None; self.shared.len()], static_bytes: 0 };
        let (mut end, mut dynamic_alignment) = (0_u64, 16_u64);
        for &index in &used {
            let variable = &self.shared[index as usize];
            if variable.is_dynamic {
                dynamic_alignment = dynamic_alignment.max(variable.alignment);
                continue;
            }
            let start = end.next_multiple_of(variable.alignment.max(1));
            layout.offsets[index as usize] = Some(start as u32);
            end = start + variable.bytes;
        }
        let has_dynamic = used.iter().any(|&index| self.shared[index as usize].is_dynamic);
        layout.static_bytes =
            if has_dynamic { end.next_multiple_of(dynamic_alignment) as u32 } else { end as u32 };
        for &index in &used {
            if self.shared[index as usize].is_dynamic {
                layout.offsets[index as usize] = Some(layout.static_bytes);
            }
        }
        layout
    }

    /// The source file and line of an instruction, where the PTX says them.
    pub fn source(&self, pc: u32) -> Option<(&str, u32)> {
        let origin = self.origins.get(pc as usize)?;
        let (_, name) = self.files.iter().find(|(number, _)| *number == origin.file)?;
        Some((name.as_str(), origin.source_line))
    }

    /// The text of an instruction.
    pub fn text(&self, pc: u32) -> &str {
        self.origins
            .get(pc as usize)
            .and_then(|origin| self.texts.get(origin.text as usize))
            .map_or("", |text| text)
    }

    /// The function an instruction belongs to.
    pub fn function_at(&self, pc: u32) -> Option<&Function> {
        self.functions.iter().find(|function| (function.start..function.end).contains(&pc))
    }
}
