//! Work: what a stream does and what a graph's nodes are made of.

use std::ffi::c_void;
use std::sync::Arc;

use super::context::Context;
use super::copying::{Copy, Fill};
use super::error::{Error, Result};
use super::event::{Event, Mark};
use super::graph::Graph;
use super::launch::Launch;
use super::memory_word::{WaitWord, WriteWord};
use super::{driver, queue};

/// A function of the program, to be called in stream order.
#[derive(Clone, Copy, Debug)]
pub struct HostCall {
    /// The function.
    pub function: extern "C" fn(*mut c_void),
    /// Its argument.
    pub argument: usize,
}

/// A function of the program that is told the stream and its state.
#[derive(Clone, Copy, Debug)]
pub struct Callback {
    /// The function.
    pub function: extern "C" fn(usize, u32, *mut c_void),
    /// The stream's handle as the program gave it.
    pub stream: usize,
    /// Its argument.
    pub argument: usize,
}

/// One piece of work.
#[derive(Clone, Debug)]
pub enum Work {
    /// Nothing; a node that only orders others.
    Empty,
    /// A kernel.
    Kernel(Arc<Launch>),
    /// A copy.
    Copy(Copy),
    /// A copy of bytes that were taken from the program when it was enqueued.
    Upload(u64, Arc<[u8]>),
    /// A fill.
    Fill(Fill),
    /// A host function.
    Host(HostCall),
    /// A stream callback.
    Callback(Callback),
    /// A mark is reached.
    Reach(Arc<Mark>),
    /// A mark is waited for.
    Await(Arc<Mark>),
    /// An event is recorded by a graph.
    Record(Arc<Event>),
    /// A graph waits for an event.
    AwaitEvent(Arc<Event>),
    /// Memory that was allocated when this was enqueued; the address and its size.
    Allocated(u64, u64),
    /// Memory is freed.
    Free(u64),
    /// A word of memory is written.
    WriteWord(WriteWord),
    /// A word of memory is waited for.
    WaitWord(WaitWord),
    /// A graph within a graph.
    Graph(Arc<Graph>),
    /// A launched graph: its pieces in order.
    Steps(Arc<[Work]>),
}

impl Work {
    /// What has to hold before the work can start, beyond the order of its stream.
    pub fn gate(&self) -> Option<Box<dyn Fn() -> bool + Send>> {
        if let Work::Await(mark) = self {
            let mark = Arc::clone(mark);
            Some(Box::new(move || mark.is_reached()))
        } else if let Work::WaitWord(wait) = *self {
            Some(Box::new(move || wait.is_over()))
        } else {
            None
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// What the context fails with.
    pub fn run(&self, context: &Context) -> Result<()> {
        let allocations = &driver()?.allocations;
        match self {
            Work::Empty | Work::Allocated(..) | Work::Await(_) | Work::Graph(_) => Ok(()),
            Work::Kernel(launch) => launch.run(context),
            // SAFETY: whoever enqueued the copy promised that host memory stays valid until it is done.
            Work::Copy(copy) => unsafe { copy.run(allocations) }.map_err(|_| Error::IllegalAddress),
            Work::Upload(to, bytes) => {
                allocations.memory().write(*to, bytes).map_err(|_| Error::IllegalAddress)
            }
            Work::Fill(fill) => fill.run(allocations).map_err(|_| Error::IllegalAddress),
            Work::Host(call) => {
                queue::in_callback(|| (call.function)(call.argument as *mut c_void));
                Ok(())
            }
            Work::Callback(callback) => {
                let state = context.check().map_or_else(Error::code, |()| 0);
                let run = || (callback.function)(callback.stream, state, callback.argument as *mut c_void);
                queue::in_callback(run);
                Ok(())
            }
            Work::Reach(mark) => {
                mark.reach();
                Ok(())
            }
            Work::Record(event) => {
                event.mark().reach();
                Ok(())
            }
            Work::AwaitEvent(event) => {
                wait_by_polling(|| event.last_mark().is_none_or(|mark| mark.is_reached()));
                Ok(())
            }
            Work::Free(address) => allocations.free(*address),
            Work::WriteWord(write) => write.run(allocations),
            Work::WaitWord(wait) => {
                wait_by_polling(|| wait.is_over());
                Ok(())
            }
            Work::Steps(steps) => steps.iter().try_for_each(|step| step.run(context)),
        }
    }
}

/// Waits inside a graph, where work cannot be passed over.
fn wait_by_polling(is_over: impl Fn() -> bool) {
    while !is_over() {
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
}

impl Context {
    /// Does a piece of work, or leaves it where the context has failed; a failure fails the context.
    pub fn carry_out(&self, work: &Work) {
        let is_told_anyway = matches!(work, Work::Callback(_) | Work::Reach(_) | Work::Free(_));
        if self.check().is_err() && !is_told_anyway {
            return;
        }
        let run = std::panic::AssertUnwindSafe(|| work.run(self));
        let outcome = std::panic::catch_unwind(run).unwrap_or(Err(Error::LaunchFailed));
        if let Err(error) = outcome {
            self.fail(error);
        }
    }
}
