//! Where sanitizers look in: an observer is told of every access and every synchronisation, and costs nothing when off.
//!
//! The observer of a launch opens one [`BlockObserver`] per block and gets it back at the end, so that per-block state
//! needs no lock. All calls for one block come from one thread, in program order of the interleaving that was executed.

use crate::isa::memory::MemorySpace;
use crate::lower::Program;

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// Reads.
    Load,
    /// Writes.
    Store,
    /// Reads and writes as one.
    Atomic,
    /// The read of a `cp.async`, when it is issued.
    CopySource,
    /// The write of a `cp.async`, when it is issued; the bytes appear at the wait.
    CopyTarget,
    /// The bytes of a `cp.async` appear, at the wait of the thread that issued it.
    CopyArrival,
}

/// What a store replaces and by what, lane by lane, in the low bytes; only to be asked for lanes of the access.
#[derive(Clone, Copy)]
pub struct Change<'a>(pub &'a dyn Fn(u32) -> (u128, u128));

impl std::fmt::Debug for Change<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Change")
    }
}

/// One access of up to 32 lanes. It has passed the checks of bounds and alignment.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// What it does.
    pub kind: AccessKind,
    /// The space it reached: Global (host addresses), Shared or Local (offsets), Param (offsets). Never Generic.
    pub space: MemorySpace,
    /// The lanes that take part.
    pub mask: u32,
    /// The first byte by lane, valid where the mask is set.
    pub addresses: &'a [u64; 32],
    /// Bytes by lane.
    pub bytes: u32,
    /// `.volatile` or ordered.
    pub volatile: bool,
    /// For stores to global and shared memory: what they change.
    pub change: Option<Change<'a>>,
}

/// Where a warp stands.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The program.
    pub program: &'a Program,
    /// The kernel's number.
    pub kernel: u32,
    /// The instruction.
    pub pc: u32,
    /// Block index.
    pub block: [u32; 3],
    /// Warp in the block.
    pub warp: u32,
    /// Lanes that have neither exited nor wait elsewhere.
    pub mask: u32,
    /// Lanes of the warp that have not exited.
    pub live: u32,
    /// Threads of a block.
    pub block_dim: [u32; 3],
}

/// Lanes that stand at another instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The instruction of the others.
    pub pc: u32,
    /// Their warp.
    pub warp: u32,
    /// Which lanes.
    pub lanes: u32,
    /// Where the rest of their warp stands.
    pub rest: (u32, u32),
}

/// What is wrong with the lanes of a warp operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneError {
    /// A lane executes it that its own mask does not name.
    NotNamed,
    /// A lane that the mask names executes it with another mask.
    OtherMask,
    /// A shuffle reads from a lane that the mask names but that has ended.
    SourceEnded,
}

/// What a warp or block did to order its accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronisation {
    /// A block barrier was completed; all warps that took part see it once, before any goes on.
    BlockBarrier {
        /// Number of the barrier.
        id: u32,
        /// Warps that took part, by bit (warps 0 to 31).
        warps: u32,
        /// Where other lanes of one of the warps wait, if not at the same instruction.
        divergent: Option<Elsewhere>,
    },
    /// The warp arrives at a block barrier without waiting.
    Arrive {
        /// Number of the barrier.
        id: u32,
    },
    /// Lanes of a warp met.
    Warp {
        /// Which.
        members: u32,
    },
    /// A fence.
    Fence,
    /// `cp.async.commit_group`
    CopyCommit,
    /// `cp.async.wait_group` or `.wait_all`
    CopyWait {
        /// Groups that may stay open.
        pending: u32,
        /// Copies in no group are waited for too.
        all: bool,
    },
}

/// Watches one launch.
pub trait Observer: Sync {
    /// The state of one block.
    type Block: BlockObserver;
    /// A block starts.
    fn open_block(&self, block: [u32; 3], shared_bytes: u32) -> Self::Block;
    /// A block ended (not called for the block that traps).
    fn close_block(&self, block: Self::Block);
    /// Whether blocks must run one after the other in index order, so that what is observed does not hang on threads.
    fn is_sequential(&self) -> bool {
        false
    }
}

/// Watches one block.
pub trait BlockObserver {
    /// Whether the calls are made at all.
    const ON: bool;
    /// An access, before it is carried out.
    fn access(&mut self, site: &Site<'_>, access: &Access<'_>);
    /// A synchronisation, before it takes effect.
    fn synchronise(&mut self, site: &Site<'_>, what: Synchronisation);
    /// A shuffle, vote or other warp operation with the mask `members`, in which `wrong` lanes are at fault.
    fn wrong_lanes(&mut self, site: &Site<'_>, members: u32, wrong: u32, what: LaneError);
    /// The lanes of the site enter a function: `bytes` of local memory from `start` are a new frame.
    fn frame_opened(&mut self, site: &Site<'_>, start: u32, bytes: u32);
    /// The lanes of the site pass `bytes` of local memory to or from a function.
    fn passed(&mut self, site: &Site<'_>, from: u32, to: u32, bytes: u32);
    /// A warp's lanes ended; `pending_copies` says whether a `cp.async` was never waited for.
    fn exited(&mut self, site: &Site<'_>, pending_copies: bool);
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    type Block = NoObserver;
    fn open_block(&self, _: [u32; 3], _: u32) -> NoObserver {
        NoObserver
    }
    fn close_block(&self, _: NoObserver) {}
}

impl BlockObserver for NoObserver {
    const ON: bool = false;
    fn access(&mut self, _: &Site<'_>, _: &Access<'_>) {}
    fn synchronise(&mut self, _: &Site<'_>, _: Synchronisation) {}
    fn wrong_lanes(&mut self, _: &Site<'_>, _: u32, _: u32, _: LaneError) {}
    fn frame_opened(&mut self, _: &Site<'_>, _: u32, _: u32) {}
    fn passed(&mut self, _: &Site<'_>, _: u32, _: u32, _: u32) {}
    fn exited(&mut self, _: &Site<'_>, _: bool) {}
}
