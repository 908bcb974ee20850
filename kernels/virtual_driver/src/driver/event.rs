//! Events: marks in a stream, with the time at which they were reached.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use super::capture::{self, Capture};
use super::context::{self, Context};
use super::error::{Error, Result};
use super::handle::{self, Handle};
use super::queue::Queue;
use super::stream::Stream;
use super::work::Work;
use super::{driver, node};

/// `CU_EVENT_DISABLE_TIMING`
pub const DISABLE_TIMING: u32 = 2;
/// `CU_EVENT_INTERPROCESS`
const INTERPROCESS: u32 = 4;
const KNOWN_FLAGS: u32 = 7;

/// One recording of an event.
#[derive(Debug, Default)]
pub struct Mark {
    reached: OnceLock<Instant>,
    place: OnceLock<(Arc<Queue>, u64)>,
}

impl Mark {
    /// Notes the time.
    pub fn reach(&self) {
        self.reached.get_or_init(Instant::now);
    }

    /// Whether the stream has come here; it comes here even when the work before has failed. Takes no lock.
    pub fn is_reached(&self) -> bool {
        self.reached.get().is_some()
    }

    fn wait(&self) -> Result<()> {
        self.place.get().map_or(Ok(()), |(queue, ticket)| queue.wait(*ticket))
    }
}

/// What was recorded last.
#[derive(Clone, Debug, Default)]
pub enum Recorded {
    /// Nothing.
    #[default]
    Never,
    /// A mark in a stream.
    Mark(Arc<Mark>),
    /// A place in a capture: the nodes that come before.
    Captured(Arc<Capture>, Vec<Handle>),
}

/// An event.
#[derive(Debug)]
pub struct Event {
    /// Its handle.
    pub handle: Handle,
    /// Handle of its context.
    pub context: Handle,
    flags: u32,
    recorded: Mutex<Recorded>,
}

/// Makes and enters an event in the calling thread's context.
///
/// # Errors
/// `InvalidValue` for unknown flags, `NotSupported` for an inter-process event.
pub fn create(flags: u32) -> Result<Handle> {
    let context = context::current()?;
    if flags & !KNOWN_FLAGS != 0 || flags & INTERPROCESS != 0 && flags & DISABLE_TIMING == 0 {
        return Err(Error::InvalidValue);
    }
    if flags & INTERPROCESS != 0 {
        return Err(Error::NotSupported);
    }
    let event = Event { handle: handle::fresh(), context: context.handle, flags, recorded: Mutex::default() };
    let handle = event.handle;
    driver()?.events.insert(handle, Arc::new(event));
    Ok(handle)
}

impl Event {
    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a new mark and answers it.
    pub fn mark(&self) -> Arc<Mark> {
        let mark = Arc::new(Mark::default());
        *self.recorded() = Recorded::Mark(Arc::clone(&mark));
        mark
    }

    /// The mark that was recorded last.
    pub fn last_mark(&self) -> Option<Arc<Mark>> {
        match &*self.recorded() {
            Recorded::Mark(mark) => Some(Arc::clone(mark)),
            Recorded::Never | Recorded::Captured(..) => None,
        }
    }

    /// Records it in a stream.
    ///
    /// # Errors
    /// `InvalidHandle` where stream and event have different contexts.
    pub fn record(self: &Arc<Self>, stream: &Stream, is_external: bool) -> Result<()> {
        let owner = stream.owner()?;
        if stream.context != self.context {
            return Err(Error::InvalidHandle);
        }
        if let Some(capture) = stream.capture() {
            if is_external {
                return capture.add(stream, Work::Record(Arc::clone(self))).map(drop);
            }
            let before = capture.last_of(stream)?;
            *self.recorded() = Recorded::Captured(capture, before);
            return Ok(());
        }
        capture::check_legacy_use(stream)?;
        self.record_now(stream, &owner)
    }

    fn record_now(&self, stream: &Stream, owner: &Arc<Context>) -> Result<()> {
        let mark = Arc::new(Mark::default());
        let ticket = stream.submit(owner, Work::Reach(Arc::clone(&mark)))?;
        let _ = mark.place.set((Arc::clone(&owner.device.queue), ticket));
        *self.recorded() = Recorded::Mark(mark);
        Ok(())
    }

    /// Makes a stream wait for what was recorded last.
    ///
    /// # Errors
    /// What the capture rules forbid.
    pub fn hold(self: &Arc<Self>, stream: &Stream, is_external: bool) -> Result<()> {
        stream.owner()?;
        let recorded = self.recorded().clone();
        match (stream.capture(), recorded) {
            (Some(capture), _) if is_external => {
                capture.add(stream, Work::AwaitEvent(Arc::clone(self))).map(drop)
            }
            (_, Recorded::Captured(from, before)) => from.join(stream, &before),
            (Some(_), Recorded::Never) | (None, Recorded::Never) => Ok(()),
            (Some(capture), Recorded::Mark(_)) => Err(capture.invalidate(Error::StreamCaptureIsolation)),
            (None, Recorded::Mark(mark)) => stream.enqueue(Work::Await(mark)),
        }
    }

    /// Whether it was reached; an event never recorded counts as reached.
    ///
    /// # Errors
    /// `NotReady`, `CapturedEvent`
    pub fn query(&self) -> Result<()> {
        match &*self.recorded() {
            Recorded::Never => capture::check_unsafe_call(),
            Recorded::Captured(capture, _) => Err(capture.invalidate(Error::CapturedEvent)),
            Recorded::Mark(mark) => {
                capture::check_unsafe_call()?;
                if mark.is_reached() { Ok(()) } else { Err(Error::NotReady) }
            }
        }?;
        self.check_context()
    }

    /// Waits until it is reached.
    ///
    /// # Errors
    /// `CapturedEvent`; whatever the work before it failed with.
    pub fn synchronize(&self) -> Result<()> {
        let recorded = self.recorded().clone();
        match recorded {
            Recorded::Captured(capture, _) => return Err(capture.invalidate(Error::CapturedEvent)),
            Recorded::Never => capture::check_unsafe_call()?,
            Recorded::Mark(mark) => {
                capture::check_unsafe_call()?;
                mark.wait()?;
            }
        }
        self.check_context()
    }

    fn check_context(&self) -> Result<()> {
        driver()?
            .contexts
            .find(self.context)
            .map_or(Err(Error::ContextIsDestroyed), |context| context.check())
    }

    fn time(&self) -> Result<Instant> {
        match &*self.recorded() {
            Recorded::Never => Err(Error::InvalidHandle),
            Recorded::Captured(..) => Err(Error::CapturedEvent),
            Recorded::Mark(mark) => mark.reached.get().copied().ok_or(Error::NotReady),
        }
    }
}

/// Milliseconds from one event to another, by the host's monotonic clock.
///
/// # Errors
/// `InvalidHandle` where one has no timing or was never recorded; `NotReady` where one is not reached.
pub fn elapsed_ms(start: &Event, end: &Event) -> Result<f32> {
    if (start.flags | end.flags) & DISABLE_TIMING != 0 {
        return Err(Error::InvalidHandle);
    }
    start.check_context()?;
    let (from, to) = (start.time()?, end.time()?);
    let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    let signed = to.checked_duration_since(from).map_or_else(|| -ms(from.duration_since(to)), ms);
    Ok(signed as f32)
}

/// The event of a record or wait node.
///
/// # Errors
/// `InvalidValue` where the node is of another kind.
pub fn of_node(node: &node::Node) -> Result<Handle> {
    let (Work::Record(event) | Work::AwaitEvent(event)) = node.work() else {
        return Err(Error::InvalidValue);
    };
    Ok(event.handle)
}
