//! What a sanitizer has found, and how it is told.

use std::collections::HashMap;
use std::fmt;

use crate::lower::Program;

/// The kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// Two threads write, and neither does so before the other.
    WriteAfterWrite,
    /// A thread reads what another wrote, not ordered after it.
    ReadAfterWrite,
    /// A thread writes what another has read, not ordered after it.
    WriteAfterRead,
    /// Memory is read that nobody wrote.
    Uninitialised,
    /// The bytes of a `cp.async` are touched before its wait.
    MissingWait,
    /// A thread ends, and a `cp.async` of its own was never waited for.
    AbandonedCopy,
    /// Lanes of one warp wait at different barriers.
    DivergentBarrier,
    /// A warp operation with a wrong mask.
    WrongMask,
}

impl FindingKind {
    fn name(self) -> &'static str {
        match self {
            FindingKind::WriteAfterWrite => "race (write after write)",
            FindingKind::ReadAfterWrite => "race (read after write)",
            FindingKind::WriteAfterRead => "race (write after read)",
            FindingKind::Uninitialised => "uninitialised memory",
            FindingKind::MissingWait => "missing cp.async wait",
            FindingKind::AbandonedCopy => "cp.async never waited for",
            FindingKind::DivergentBarrier => "divergent barrier",
            FindingKind::WrongMask => "wrong mask",
        }
    }
}

/// A thread at an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// The instruction as PTX text.
    pub instruction: String,
    /// Its line in the PTX text.
    pub ptx_line: u32,
    /// Source file and line, where the PTX says them.
    pub source: Option<(String, u32)>,
    /// Block index.
    pub block: [u32; 3],
    /// Thread index in the block.
    pub thread: [u32; 3],
}

impl Party {
    pub(super) fn new(program: &Program, pc: u32, block: [u32; 3], thread: [u32; 3]) -> Self {
        let origin = program.origins.get(pc as usize).copied().unwrap_or_default();
        Self {
            instruction: program.text(pc).to_owned(),
            ptx_line: origin.ptx_line,
            source: program.source(pc).map(|(file, line)| (file.to_owned(), line)),
            block,
            thread,
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((file, line)) = &self.source {
            write!(f, "{file}:{line}, ")?;
        }
        let ([bx, by, bz], [tx, ty, tz]) = (self.block, self.thread);
        writeln!(f, "PTX line {}: {}", self.ptx_line, self.instruction)?;
        write!(f, "    in block ({bx}, {by}, {bz}), thread ({tx}, {ty}, {tz})")
    }
}

/// A finding; the first of those that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub kind: FindingKind,
    /// What happened, in words.
    pub what: String,
    /// The kernel.
    pub kernel: String,
    /// Who and where.
    pub at: Party,
    /// The address (device memory) or offset (shared and local memory), where one is concerned.
    pub address: Option<u64>,
    /// What lies at the address.
    pub target: Option<String>,
    /// The other party, and what it did.
    pub other: Option<(String, Party)>,
    /// How often: accesses of single threads.
    pub count: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in kernel {}: {}", self.kind.name(), self.kernel, self.what)?;
        if let Some(address) = self.address {
            write!(f, "  address 0x{address:x}")?;
            match &self.target {
                Some(target) => writeln!(f, ", {target}")?,
                None => writeln!(f)?,
            }
        }
        write!(f, "  at {}", self.at)?;
        if let Some((what, other)) = &self.other {
            write!(f, "\n  {what} {other}")?;
        }
        if self.count > 1 {
            write!(f, "\n  {} times alike", self.count)?;
        }
        Ok(())
    }
}

/// Findings of a launch: one for each kind and pair of instructions.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    known: HashMap<(FindingKind, u32, u32), usize>,
}

impl Findings {
    /// Counts a finding; the first of its kind at these instructions is made and kept.
    pub(super) fn add(&mut self, kind: FindingKind, pc: u32, other: u32, make: impl FnOnce() -> Finding) {
        if let Some(&index) = self.known.get(&(kind, pc, other)) {
            self.list[index].count += 1;
            return;
        }
        self.known.insert((kind, pc, other), self.list.len());
        self.list.push(make());
    }

    pub(super) fn into_list(self) -> Vec<Finding> {
        self.list
    }
}
