//! Memory operands and atomic operations.

use super::Scalar;
use super::op::R;

/// Where an access goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemorySpace {
    /// The address says.
    Generic,
    /// Device memory.
    Global,
    /// Constant variables; they lie in device memory.
    Const,
    /// Of the block.
    Shared,
    /// Of the thread.
    Local,
    /// Kernel parameters.
    Param,
}

/// What an address starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// A 32-bit register.
    R32(R),
    /// A 64-bit register.
    R64(R),
    /// The function's frame in local memory.
    Frame,
}

/// base + offset
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where it starts.
    pub base: Base,
    /// Bytes added.
    pub offset: i64,
}

/// Atomic operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names of the manual")]
pub enum AtomicKind {
    And,
    Or,
    Xor,
    /// compare and swap
    Cas,
    Exch,
    Add,
    /// old >= b ? 0 : old + 1
    Inc,
    /// old == 0 or old > b ? b : old - 1
    Dec,
    Min,
    Max,
    /// `mbarrier.arrive`
    Arrive,
    /// `mbarrier.arrive_drop`
    ArriveDrop,
}

/// An atomic operation on a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AtomicOp {
    /// What is done.
    pub kind: AtomicKind,
    /// On what.
    pub ty: Scalar,
}
