//! The typed instruction: what lowering produces and the machine executes.
//!
//! Operands are registers only: literals, special registers and addresses of variables live in registers that are filled
//! before a function starts, so the machine has one path per operation. Narrow integers (8, 16 bits) are kept
//! zero-extended in 32-bit registers. Predicates are registers of one bit per lane.

use super::arith::{CompareType, Comparison, FloatMode, FloatOp, HalfOp, HalfType, IntOp, Logic};
use super::convert::Conversion;
use super::memory::{Address, AtomicOp, MemorySpace};
use super::tensor::Tensor;

/// A register of one, two or four slots of 32 lanes by 32 bits; a virtual number until slots are assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct R(pub u32);

impl R {
    /// No register: an unused operand or the sink `_`.
    pub const NONE: R = R(u32::MAX);

    /// Whether this is a register at all.
    pub fn is_some(self) -> bool {
        self != R::NONE
    }
}

/// A predicate register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct P(pub u32);

impl P {
    /// The predicate that is true in every lane; no instruction writes it.
    pub const TRUE: P = P(0);
    /// No predicate.
    pub const NONE: P = P(u32::MAX);

    /// Whether this is a predicate at all.
    pub fn is_some(self) -> bool {
        self != P::NONE
    }
}

/// A predicate or its complement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cond {
    /// The predicate.
    pub p: P,
    /// Complemented.
    pub negated: bool,
}

impl Cond {
    /// Always true.
    pub const TRUE: Cond = Cond { p: P::TRUE, negated: false };
    /// Never true.
    pub const FALSE: Cond = Cond { p: P::TRUE, negated: true };
}

/// How wide a register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// Up to 32 bits a lane: one slot.
    W32,
    /// 64 bits a lane: two slots.
    W64,
    /// 128 bits a lane: four slots, the low 64 bits of all lanes first.
    W128,
}

impl Width {
    /// Slots of 32 lanes by 32 bits.
    pub fn slots(self) -> u32 {
        match self {
            Width::W32 => 1,
            Width::W64 => 2,
            Width::W128 => 4,
        }
    }
}

/// How parts are put together in, or taken out of, a wider register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Four bytes in 32 bits.
    B8x4,
    /// Two halves in 32 bits.
    B16x2,
    /// Four halves in 64 bits.
    B16x4,
    /// Two words in 64 bits.
    B32x2,
    /// Four words in 128 bits.
    B32x4,
    /// Two double words in 128 bits.
    B64x2,
}

/// `shfl` modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShuffleMode {
    /// From a lower lane.
    Up,
    /// From a higher lane.
    Down,
    /// From the lane whose number differs in the given bits.
    Butterfly,
    /// From the lane with the given number.
    Index,
}

/// `vote` modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteMode {
    /// True in all lanes.
    All,
    /// True in some lane.
    Any,
    /// The same in all lanes.
    Uniform,
    /// The lanes where it is true.
    Ballot,
}

/// What a barrier does besides waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierKind {
    /// Waits.
    Sync,
    /// Does not wait, counts only.
    Arrive,
    /// Counts the threads whose predicate is true, into a register.
    Popc,
    /// Whether all predicates are true.
    And,
    /// Whether some predicate is true.
    Or,
}

/// A function that programs may call without defining it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// `vprintf(format, arguments)`
    Vprintf,
    /// `__assertfail(message, file, line, function, char_size)`
    Assertfail,
    /// `malloc(bytes)`
    Malloc,
    /// `free(address)`
    Free,
}

/// Values that change while a thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// `%clock`: instructions the warp has executed, low 32 bits.
    Clock,
    /// `%clock_hi`
    ClockHi,
    /// `%clock64`
    Clock64,
    /// `%globaltimer`: counts up, not wall time, so that results repeat.
    GlobalTimer,
}

/// One argument or result of a call: bytes copied between the caller's frame and the callee's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Offset in the caller's frame.
    pub caller: u32,
    /// Offset in the callee's frame.
    pub callee: u32,
    /// Size in bytes.
    pub bytes: u32,
}

/// Arguments and results of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallPlan {
    /// Copied in before the callee starts.
    pub arguments: Vec<Passed>,
    /// Copied out when it returns.
    pub results: Vec<Passed>,
}

/// What lanes of a warp do once all that one of them names are there.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "fields are the operands the manual calls by the same letters")]
pub enum GroupOp {
    /// Warp barrier
    Sync,
    /// d = a of another lane; e = whether that lane was in range
    Shuffle { mode: ShuffleMode, d: R, e: P, a: R, b: R, c: R },
    /// d or e = vote
    Vote { mode: VoteMode, d: R, e: P, c: Cond },
    /// d = lanes with the same a; e = all have
    Match { all: bool, wide: bool, d: R, e: P, a: R },
    /// d = reduction of a
    Redux { op: IntOp, d: R, a: R },
    /// d = the lowest member; e = whether this lane is it
    Elect { d: R, e: P },
}

/// An operation. Field `d` (and `e`) are written, the others read; R::NONE and P::NONE stand for what is absent.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "fields are the operands the manual calls by the same letters")]
pub enum Op {
    /// d = a
    Move { width: Width, d: R, a: R },
    /// d = op(a, b, c) on 32-bit lanes
    Int32 { op: IntOp, d: R, a: R, b: R, c: R },
    /// d = op(a, b, c) on 64-bit lanes
    Int64 { op: IntOp, d: R, a: R, b: R, c: R },
    /// d = b with `len` low bits of a at `pos`
    BitInsert { width: Width, d: R, a: R, b: R, pos: R, len: R },
    /// 64-bit d = 32-bit a * b + 64-bit c (c may be absent)
    MulWide { signed: bool, d: R, a: R, b: R, c: R },
    /// d = a ± b ± carry in, with carry out
    Carry { width: Width, subtract: bool, d: R, a: R, b: R, carry_in: P, carry_out: P },
    /// d = any logic of a, b, c
    Lop3 { table: u8, d: R, a: R, b: R, c: R },
    /// d = op(a, b, c) on f32
    Float32 { op: FloatOp, mode: FloatMode, d: R, a: R, b: R, c: R },
    /// d = op(a, b, c) on f64
    Float64 { op: FloatOp, mode: FloatMode, d: R, a: R, b: R, c: R },
    /// d = op(a, b, c) on 16-bit floats or pairs
    Half { op: HalfOp, ty: HalfType, mode: FloatMode, d: R, a: R, b: R, c: R },
    /// d = (a cmp b) logic c; e = !(a cmp b) logic c. For pairs d is the low half, e the high half.
    Compare { ty: CompareType, cmp: Comparison, ftz: bool, logic: Logic, d: P, e: P, a: R, b: R, c: Cond },
    /// d = class of a
    TestFloat { class: super::arith::FloatClass, wide: bool, d: P, a: R },
    /// d = c ? a : b
    Select { width: Width, d: R, a: R, b: R, c: Cond },
    /// d = a logic b on predicates
    Predicate { logic: Logic, d: P, a: Cond, b: Cond },
    /// d = conversion of a (and b for pairs)
    Convert { how: Conversion, d: R, a: R, b: R },
    /// d = parts put together, lowest first
    Pack { how: Packing, d: R, parts: [R; 4] },
    /// parts = a taken apart, lowest first
    Unpack { how: Packing, parts: [R; 4], a: R },
    /// d = address of the frame plus offset, in local space
    FrameAddress { d: R, offset: u32 },
    /// d = whether a lies in the space
    IsSpace { space: MemorySpace, d: P, a: R },
    /// d = memory; `bytes` per element, `count` elements
    Load {
        space: MemorySpace,
        bytes: u8,
        signed: bool,
        count: u8,
        volatile: bool,
        d: [R; 4],
        address: Address,
    },
    /// memory = a
    Store { space: MemorySpace, bytes: u8, count: u8, volatile: bool, a: [R; 4], address: Address },
    /// d = kernel parameter bytes at a fixed offset, the same for all lanes
    LoadParam { bytes: u8, signed: bool, count: u8, d: [R; 4], offset: u32 },
    /// d = old value; memory = op(old, b, c)
    Atomic { space: MemorySpace, op: AtomicOp, d: R, b: R, c: R, address: Address },
    /// Starts a copy of `bytes` from global to shared; `source_bytes` of them are read, the rest is zeros
    CopyAsync { bytes: u8, source_bytes: R, to: Address, from: Address },
    /// Closes the group of copies
    CopyCommit,
    /// Waits until at most `pending` groups are open; `all` also waits for copies in no group
    CopyWait { pending: u32, all: bool },
    /// Jump
    Branch { target: u32 },
    /// Jump through a table
    BranchIndexed { index: R, targets: Box<[u32]> },
    /// Call of a function of the program
    Call { function: u32, plan: Box<CallPlan> },
    /// Call through a register
    CallIndirect { address: R, plan: Box<CallPlan> },
    /// Call of a function the machine provides; arguments lie in the frame
    CallBuiltin { builtin: Builtin, plan: Box<CallPlan> },
    /// Return
    Return,
    /// The thread ends
    Exit,
    /// The launch fails
    Trap,
    /// Lets other warps run
    Yield,
    /// Orders memory
    Fence,
    /// Block barrier
    Barrier { kind: BarrierKind, id: R, threads: R, d: R, e: P, c: Cond },
    /// What lanes with equal `members` do together
    Group { op: GroupOp, members: R },
    /// d = lanes that run now
    ActiveMask { d: R },
    /// d = clock
    ReadClock { clock: Clock, d: R },
    /// Tensor-core operation on fragments
    Tensor(Box<Tensor>),
}

/// An instruction: an operation under a guard.
#[derive(Clone, Debug)]
pub struct Inst {
    /// Runs in the lanes where this holds.
    pub guard: Cond,
    /// What runs.
    pub op: Op,
}
