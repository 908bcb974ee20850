//! Why a launch ended early, and where.

use std::fmt;

use super::context::Context;

/// The kinds of traps, as far as a driver must tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrapKind {
    /// An address outside live memory, or outside its space.
    IllegalAddress,
    /// An address that is no multiple of the access size.
    Misaligned,
    /// `trap`, `brkpt`, an invalid function pointer, an invalid operand value.
    IllegalInstruction,
    /// A device-side `assert`.
    Assert,
    /// All that could run waits.
    Deadlock,
    /// Local memory or call depth used up.
    StackOverflow,
    /// The step budget is used up.
    Timeout,
    /// The launch itself is impossible.
    InvalidLaunch,
}

/// A launch that failed: what, where, who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// For the driver.
    pub kind: TrapKind,
    /// For people: what was wrong.
    pub what: String,
    /// The kernel.
    pub kernel: String,
    /// The instruction, as PTX text.
    pub instruction: String,
    /// Line in the PTX text, 0 before the first instruction.
    pub ptx_line: u32,
    /// Source file and line, where the PTX says them.
    pub source: Option<(String, u32)>,
    /// Block index.
    pub block: [u32; 3],
    /// Thread index in the block (the first that failed).
    pub thread: [u32; 3],
    /// The address, where one was at fault.
    pub address: Option<u64>,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel {}: {}", self.kernel, self.what)?;
        if let Some(address) = self.address {
            write!(f, " (address 0x{address:x})")?;
        }
        if self.ptx_line > 0 {
            write!(f, "\n  at PTX line {}: {}", self.ptx_line, self.instruction)?;
        }
        if let Some((file, line)) = &self.source {
            write!(f, "\n  from {file}:{line}")?;
        }
        let ([bx, by, bz], [tx, ty, tz]) = (self.block, self.thread);
        write!(f, "\n  in block ({bx}, {by}, {bz}), thread ({tx}, {ty}, {tz})")
    }
}

impl std::error::Error for Trap {}

/// A failure inside a warp, before it is known where the warp stands.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: TrapKind,
    pub(crate) what: String,
    pub(crate) lane: u32,
    pub(crate) address: Option<u64>,
}

impl Fault {
    #[cold]
    pub(crate) fn new(kind: TrapKind, lane: u32, what: impl Into<String>) -> Box<Self> {
        Box::new(Self { kind, what: what.into(), lane, address: None })
    }

    #[cold]
    pub(crate) fn at(kind: TrapKind, lane: u32, address: u64, what: impl Into<String>) -> Box<Self> {
        Box::new(Self { kind, what: what.into(), lane, address: Some(address) })
    }

    /// The trap for the thread at `lane` of a warp whose next instruction is `pc`.
    pub(crate) fn locate(self, context: &Context<'_>, pc: u32, block: [u32; 3], warp: u32) -> Box<Trap> {
        let program = context.program;
        let origin = program.origins.get(pc as usize).copied().unwrap_or_default();
        Box::new(Trap {
            kind: self.kind,
            what: self.what,
            kernel: program.functions[context.kernel as usize].name.clone(),
            instruction: program.text(pc).to_owned(),
            ptx_line: origin.ptx_line,
            source: program.source(pc).map(|(file, line)| (file.to_owned(), line)),
            block,
            thread: context.thread_index(warp * 32 + self.lane),
            address: self.address,
        })
    }
}
