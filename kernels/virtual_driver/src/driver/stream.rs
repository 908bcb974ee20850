//! Streams: work in order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::capture::{self, Capture};
use super::context::{self, Context};
use super::driver;
use super::error::{Error, Result};
use super::handle::{self, Handle};
use super::queue::{self, Lane};
use super::work::Work;

/// `CU_STREAM_NON_BLOCKING`
pub const NON_BLOCKING: u32 = 1;
/// `CU_STREAM_LEGACY`
pub const LEGACY_HANDLE: Handle = 1;
/// `CU_STREAM_PER_THREAD`
pub const PER_THREAD_HANDLE: Handle = 2;
/// The highest priority; the lowest is 0.
pub const GREATEST_PRIORITY: i32 = -5;

/// Which kind of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// The default stream that waits for all blocking streams.
    Legacy,
    /// The default stream of one thread.
    PerThread(usize),
    /// Made by the program.
    Created,
}

/// A stream.
#[derive(Debug)]
pub struct Stream {
    /// Its handle.
    pub handle: Handle,
    /// The flags it was made with.
    pub flags: u32,
    /// Priority, kept for who asks.
    pub priority: i32,
    /// Which kind.
    pub kind: StreamKind,
    /// Handle of its context.
    pub context: Handle,
    owner: Weak<Context>,
    last: AtomicU64,
    capture: Mutex<Option<Arc<Capture>>>,
}

impl Stream {
    /// Makes a stream; created and per-thread ones are entered by [`create`] and [`resolve`].
    pub fn new(context: &Arc<Context>, kind: StreamKind, flags: u32, priority: i32) -> Arc<Self> {
        Arc::new(Self {
            handle: handle::fresh(),
            flags,
            priority: priority.clamp(GREATEST_PRIORITY, 0),
            kind,
            context: context.handle,
            owner: Arc::downgrade(context),
            last: AtomicU64::new(0),
            capture: Mutex::default(),
        })
    }

    /// Its context.
    ///
    /// # Errors
    /// `ContextIsDestroyed`, or the error by which the context has failed.
    pub fn owner(&self) -> Result<Arc<Context>> {
        let context = self.owner.upgrade().ok_or(Error::ContextIsDestroyed)?;
        context.check()?;
        Ok(context)
    }

    /// How it stands to other streams.
    pub fn lane(&self) -> Lane {
        let ordering = match self.kind {
            StreamKind::Legacy => queue::Ordering::Legacy,
            StreamKind::PerThread(_) => queue::Ordering::Blocking,
            StreamKind::Created if self.flags & NON_BLOCKING != 0 => queue::Ordering::NonBlocking,
            StreamKind::Created => queue::Ordering::Blocking,
        };
        Lane { stream: self.handle, context: self.context, ordering }
    }

    /// The capture it takes part in.
    pub fn capture(&self) -> Option<Arc<Capture>> {
        self.capture.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes it take part in a capture, or in none.
    pub fn set_capture(&self, capture: Option<Arc<Capture>>) {
        *self.capture.lock().unwrap_or_else(PoisonError::into_inner) = capture;
    }

    /// Adds work: to the capture where it captures, else to the device's queue.
    ///
    /// # Errors
    /// What stands against the work now; what goes wrong later fails the context.
    pub fn enqueue(&self, work: Work) -> Result<()> {
        let context = self.owner()?;
        if let Some(capture) = self.capture() {
            return capture.add(self, work).map(drop);
        }
        capture::check_legacy_use(self)?;
        self.submit(&context, work).map(drop)
    }

    /// Adds work to the device's queue; answers the ticket.
    ///
    /// # Errors
    /// As [`super::queue::Queue::submit`].
    pub fn submit(&self, context: &Arc<Context>, work: Work) -> Result<u64> {
        let (ready, owner) = (work.gate(), Arc::clone(context));
        let ticket = context.device.queue.submit(self.lane(), ready, move || owner.carry_out(&work))?;
        self.last.store(ticket, Ordering::Release);
        Ok(ticket)
    }

    /// Waits until everything enqueued is done.
    ///
    /// # Errors
    /// `StreamCaptureUnsupported` while it captures; whatever its work failed with.
    pub fn synchronize(&self) -> Result<()> {
        let context = self.owner()?;
        if let Some(capture) = self.capture() {
            return Err(capture.invalidate(Error::StreamCaptureUnsupported));
        }
        capture::check_unsafe_call()?;
        match self.kind {
            StreamKind::Legacy => context.device.queue.drain_lane(self.lane())?,
            StreamKind::PerThread(_) | StreamKind::Created => {
                context.device.queue.wait(self.last.load(Ordering::Acquire))?;
            }
        }
        context.check()
    }

    /// Whether everything enqueued is done.
    ///
    /// # Errors
    /// `NotReady` where not; as [`Stream::synchronize`].
    pub fn query(&self) -> Result<()> {
        let context = self.owner()?;
        if let Some(capture) = self.capture() {
            return Err(capture.invalidate(Error::StreamCaptureUnsupported));
        }
        capture::check_unsafe_call()?;
        let queue = &context.device.queue;
        let is_done = match self.kind {
            StreamKind::Legacy => queue.is_lane_idle(self.lane()),
            StreamKind::PerThread(_) | StreamKind::Created => {
                queue.is_done(self.last.load(Ordering::Acquire))
            }
        };
        context.check()?;
        if is_done { Ok(()) } else { Err(Error::NotReady) }
    }
}

/// Makes and enters a stream in the calling thread's context.
///
/// # Errors
/// As [`context::current`]; `InvalidValue` for unknown flags.
pub fn create(flags: u32, priority: i32) -> Result<Handle> {
    let context = context::current()?;
    if flags & !NON_BLOCKING != 0 {
        return Err(Error::InvalidValue);
    }
    let stream = Stream::new(&context, StreamKind::Created, flags, priority);
    driver()?.streams.insert(stream.handle, Arc::clone(&stream));
    Ok(stream.handle)
}

/// The stream a handle stands for, the two default streams included.
///
/// # Errors
/// `InvalidHandle`; as [`context::current`] for a default stream.
pub fn resolve(handle: Handle, zero_is_per_thread: bool) -> Result<Arc<Stream>> {
    let default = if zero_is_per_thread { PER_THREAD_HANDLE } else { LEGACY_HANDLE };
    match if handle == 0 { default } else { handle } {
        LEGACY_HANDLE => Ok(context::current()?.legacy_stream()),
        PER_THREAD_HANDLE => per_thread(),
        created => driver()?.streams.get(created),
    }
}

fn per_thread() -> Result<Arc<Stream>> {
    let (driver, context) = (driver()?, context::current()?);
    let kind = StreamKind::PerThread(context::thread_number());
    let is_mine = |stream: &Arc<Stream>| stream.context == context.handle && stream.kind == kind;
    if let Some(mine) = driver.streams.all().into_iter().find(is_mine) {
        return Ok(mine);
    }
    let stream = Stream::new(&context, kind, 0, 0);
    driver.streams.insert(stream.handle, Arc::clone(&stream));
    Ok(stream)
}

/// Takes a created stream away; what it has still to do is done.
///
/// # Errors
/// `InvalidHandle`
pub fn destroy(handle: Handle) -> Result<()> {
    let driver = driver()?;
    let stream = driver.streams.get(handle)?;
    if stream.kind != StreamKind::Created {
        return Err(Error::InvalidHandle);
    }
    if let Some(capture) = stream.capture() {
        capture.invalidate(Error::StreamCaptureInvalidated);
        capture::forget(&capture);
    }
    driver.streams.remove(handle).map(drop)
}
