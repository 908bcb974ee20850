//! Sanitizers: what a kernel does wrong though its results may look right.
//!
//! [`launch()`] runs a kernel as [`crate::machine::launch`] does and watches every access and every synchronisation. Its
//! blocks run one after the other in index order on one host thread, so the findings are the same on every machine and
//! for any number of threads; tests of different programs run side by side instead.
//!
//! # What is found, and what it means
//! - **Addresses** (`memcheck`): the machine always traps at an access outside live memory, outside a block's shared or a
//!   thread's local memory, or at a misaligned one. Unwatched, device memory may be touched up to the end of the last 512
//!   bytes of an allocation, as on a GPU ([`crate::memory::Bounds`]); watched, it ends at the last byte asked for, and
//!   freed memory is not used again at once. Overflows from one variable into the next of the same allocation or of the
//!   same block's shared memory are not seen.
//! - **Uninitialised memory** (`initcheck`): a load, atomic or `cp.async` that reads a byte of device, shared or local
//!   memory that nobody has written. It is told at the load, as compute-sanitizer tells it, not where the value decides
//!   something: values in registers carry no history. Copies between allocations carry the state of each byte with
//!   them; a copy to the host of bytes never written is told too. Pinned, registered and managed memory counts as
//!   written, for the host writes it unseen. Registers are not watched. A function's frame is new at every call.
//! - **Races** (`racecheck`): two accesses to the same byte by different threads of one launch, at least one a write, not
//!   both atomic (or `.volatile`, `.relaxed` and stronger), and neither before the other. *Before* is: program order of a
//!   thread; block barriers, for the warps that took part (`bar.arrive` orders one way); `bar.warp.sync` for its members,
//!   but no other warp operation, for shuffles and votes promise no order of memory; and release and acquire. A
//!   write of the value that is there already is no race.
//! - **Release and acquire**: an atomic, or a strong store, publishes everything that came before the last fence of
//!   its warp, or before the fences of all warps that its warp has met at a barrier since; between blocks a fence of the
//!   scope of the block (`__threadfence_block`) does not count. Who reads that address by a strong load or an atomic that
//!   returns the old value acquires it at once, for its whole warp, and passes it on at barriers. So a "last block
//!   done" counter needs `__threadfence()` before the atomic; a fence behind it, which the memory model asks for too, is
//!   not insisted on, because NVIDIA's own examples leave it out. An atomic without a fence publishes nothing.
//! - **`cp.async`** (`racecheck`): any access to shared bytes whose copy was issued and not waited for by the thread that
//!   issued it, and threads that end with copies still on their way. The bytes count as written at the wait.
//!   A write to the source of a copy in flight is not seen.
//! - **Synchronisation** (`synccheck`): lanes of one warp that wait at different aligned barriers; a warp operation by a
//!   lane that its mask does not name, or by lanes with different masks; a shuffle from a lane that the mask names and
//!   that has ended. Barriers that can never complete, and masks that name lanes which never come, are deadlocks, which
//!   the machine always finds. Threads that have ended are not expected at a barrier, as on sm_70 and later. A spin that
//!   never ends is not found; [`crate::machine::Options::step_budget`] ends it.
//! - **Leaks and frees** (`leakcheck`, `memcheck`): see [`crate::driver::ledger`].
//!
//! Not watched: the host's reads and writes of memory that a stream still works on.
//!
//! # What is approximate
//! Acquiring and publishing are kept by warp, not by thread: a lane may profit from what another lane of its warp
//! acquired or fenced. Of the readers of a byte since its last write two are remembered, of different blocks or warps if
//! there are such; with three unordered ones and a writer that is ordered after just those two a race can be missed.
//! There are no false alarms from either.
//!
//! # Shadow memory
//! 48 bytes (one writer, two readers) for each 4 bytes of device or shared memory that a launch touches, each 2 or 1 where
//! accesses are so narrow ([`shadow`]); one bit a byte of device memory for what was written.

mod block;
mod checks;
mod clocks;
mod finding;
mod launch;
mod local;
mod order;
mod releases;
mod shadow;
mod shared;
mod telling;
mod words;

pub use checks::Checks;
pub use finding::{Finding, FindingKind, Party};
pub use launch::{Outcome, launch};
