//! Stream capture: work is written down as a graph instead of being done.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::context::thread_number;
use super::error::{Error, Result};
use super::graph::Graph;
use super::handle::{self, Handle};
use super::queue::Ordering;
use super::stream::{Stream, StreamKind};
use super::work::Work;
use super::{Driver, driver};

/// How strictly a capture forbids calls that are unsafe while it goes on; `CU_STREAM_CAPTURE_MODE_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To all threads.
    Global,
    /// To the thread that began it.
    ThreadLocal,
    /// To nobody.
    Relaxed,
}

impl Mode {
    /// From the API's number.
    ///
    /// # Errors
    /// `InvalidValue`
    pub fn from_number(number: u32) -> Result<Self> {
        match number {
            0 => Ok(Mode::Global),
            1 => Ok(Mode::ThreadLocal),
            2 => Ok(Mode::Relaxed),
            _ => Err(Error::InvalidValue),
        }
    }
}

thread_local! {
    static THREAD_MODE: Cell<Mode> = const { Cell::new(Mode::Global) };
}

/// Sets the calling thread's own strictness and answers the one before.
pub fn exchange_thread_mode(mode: Mode) -> Mode {
    THREAD_MODE.replace(mode)
}

#[derive(Debug, Default)]
struct Progress {
    is_invalid: bool,
    /// The nodes that come last in each stream that takes part.
    last: HashMap<Handle, Vec<Handle>>,
}

/// A capture that goes on.
#[derive(Debug)]
pub struct Capture {
    /// Number, unique in the process.
    pub id: u64,
    /// What is written.
    pub graph: Arc<Graph>,
    mode: Mode,
    thread: usize,
    origin: Handle,
    progress: Mutex<Progress>,
}

/// Begins a capture in a stream, into a new graph or at given nodes of an existing one.
///
/// # Errors
/// `StreamCaptureUnsupported` for the legacy stream, `IllegalState` where the stream captures already.
pub fn begin(stream: &Stream, mode: Mode, into: Option<(Arc<Graph>, Vec<Handle>)>) -> Result<()> {
    stream.owner()?;
    if stream.kind == StreamKind::Legacy {
        return Err(Error::StreamCaptureUnsupported);
    }
    if stream.capture().is_some() {
        return Err(Error::IllegalState);
    }
    let driver = driver()?;
    let (graph, last) = into.unwrap_or_else(|| (Graph::create(driver), Vec::new()));
    let progress = Progress { is_invalid: false, last: HashMap::from([(stream.handle, last)]) };
    let capture = Arc::new(Capture {
        id: handle::fresh() as u64,
        graph,
        mode,
        thread: thread_number(),
        origin: stream.handle,
        progress: Mutex::new(progress),
    });
    captures(driver).push(Arc::clone(&capture));
    stream.set_capture(Some(capture));
    Ok(())
}

/// Ends the capture that began in a stream.
///
/// # Errors
/// `IllegalState` where the stream does not capture; `StreamCaptureUnmatched`, `StreamCaptureWrongThread`,
/// `StreamCaptureInvalidated`, `StreamCaptureUnjoined`.
pub fn end(stream: &Stream) -> Result<Arc<Graph>> {
    let capture = stream.capture().ok_or(Error::IllegalState)?;
    if capture.origin != stream.handle {
        return Err(capture.invalidate(Error::StreamCaptureUnmatched));
    }
    if capture.mode != Mode::Relaxed && capture.thread != thread_number() {
        return Err(Error::StreamCaptureWrongThread);
    }
    let is_joined = capture.is_joined();
    let is_invalid = capture.progress().is_invalid;
    forget(&capture);
    if is_invalid {
        return Err(Error::StreamCaptureInvalidated);
    }
    if is_joined { Ok(Arc::clone(&capture.graph)) } else { Err(Error::StreamCaptureUnjoined) }
}

/// Releases all streams that take part in a capture.
pub fn forget(capture: &Arc<Capture>) {
    let Ok(driver) = driver() else { return };
    captures(driver).retain(|other| !Arc::ptr_eq(other, capture));
    for stream in driver.streams.all() {
        if stream.capture().is_some_and(|other| Arc::ptr_eq(&other, capture)) {
            stream.set_capture(None);
        }
    }
}

fn captures(driver: &Driver) -> MutexGuard<'_, Vec<Arc<Capture>>> {
    driver.captures.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fails where a call that is unsafe during captures is made while one forbids it; that capture is then invalid.
///
/// # Errors
/// `StreamCaptureUnsupported`
pub fn check_unsafe_call() -> Result<()> {
    let (mine, me) = (THREAD_MODE.get(), thread_number());
    let captures = captures(driver()?);
    let forbids = |capture: &&Arc<Capture>| {
        let is_own = capture.thread == me && capture.mode != Mode::Relaxed;
        match mine {
            Mode::Global => is_own || capture.mode == Mode::Global,
            Mode::ThreadLocal => is_own,
            Mode::Relaxed => false,
        }
    };
    let mut forbidding = captures.iter().filter(forbids).peekable();
    if forbidding.peek().is_none() {
        return Ok(());
    }
    for capture in forbidding {
        capture.invalidate(Error::StreamCaptureUnsupported);
    }
    Err(Error::StreamCaptureUnsupported)
}

/// Fails where the legacy stream is used while a blocking stream of its context captures: the two wait for each other.
///
/// # Errors
/// `StreamCaptureImplicit`
pub fn check_legacy_use(stream: &Stream) -> Result<()> {
    if stream.kind != StreamKind::Legacy {
        return Ok(());
    }
    let driver = driver()?;
    if captures(driver).is_empty() {
        return Ok(());
    }
    for other in driver.streams.all() {
        let is_blocking = other.context == stream.context && other.lane().ordering == Ordering::Blocking;
        if let (true, Some(capture)) = (is_blocking, other.capture()) {
            return Err(capture.invalidate(Error::StreamCaptureImplicit));
        }
    }
    Ok(())
}

impl Capture {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the capture fail at its end; answers the error of the call that spoils it.
    pub fn invalidate(&self, error: Error) -> Error {
        self.progress().is_invalid = true;
        error
    }

    /// Whether it will fail at its end.
    pub fn is_invalid(&self) -> bool {
        self.progress().is_invalid
    }

    /// The nodes that come last in a stream.
    ///
    /// # Errors
    /// `StreamCaptureInvalidated`
    pub fn last_of(&self, stream: &Stream) -> Result<Vec<Handle>> {
        let progress = self.progress();
        if progress.is_invalid {
            return Err(Error::StreamCaptureInvalidated);
        }
        Ok(progress.last.get(&stream.handle).cloned().unwrap_or_default())
    }

    /// Sets the nodes that come last in a stream, or adds to them.
    ///
    /// # Errors
    /// `StreamCaptureInvalidated`; `InvalidValue` for nodes of another graph.
    pub fn set_last_of(&self, stream: &Stream, nodes: &[Handle], keep_old: bool) -> Result<()> {
        self.graph.check_nodes(nodes)?;
        let mut progress = self.progress();
        if progress.is_invalid {
            return Err(Error::StreamCaptureInvalidated);
        }
        let last = progress.last.entry(stream.handle).or_default();
        if !keep_old {
            last.clear();
        }
        for node in nodes {
            if !last.contains(node) {
                last.push(*node);
            }
        }
        Ok(())
    }

    /// Writes work down behind what comes last in the stream.
    ///
    /// # Errors
    /// `StreamCaptureInvalidated`, `StreamCaptureUnsupported` for a stream callback.
    pub fn add(&self, stream: &Stream, work: Work) -> Result<Handle> {
        if matches!(work, Work::Callback(_)) {
            return Err(self.invalidate(Error::StreamCaptureUnsupported));
        }
        let before = self.last_of(stream)?;
        let node = self.graph.add(driver()?, work, before)?;
        self.set_last_of(stream, &[node.handle], false)?;
        Ok(node.handle)
    }

    /// Makes a stream wait for captured nodes, whereby it takes part.
    ///
    /// # Errors
    /// `StreamCaptureInvalidated`; `StreamCaptureMerge` where the stream takes part in another capture;
    /// `StreamCaptureImplicit` for the legacy stream; `CapturedEvent` where the capture has ended.
    pub fn join(self: &Arc<Self>, stream: &Stream, before: &[Handle]) -> Result<()> {
        match stream.capture() {
            Some(other) if !Arc::ptr_eq(&other, self) => {
                self.invalidate(Error::StreamCaptureMerge);
                return Err(other.invalidate(Error::StreamCaptureMerge));
            }
            None if stream.kind == StreamKind::Legacy => {
                return Err(self.invalidate(Error::StreamCaptureImplicit));
            }
            None if !captures(driver()?).iter().any(|other| Arc::ptr_eq(other, self)) => {
                return Err(Error::CapturedEvent);
            }
            Some(_) | None => {}
        }
        self.set_last_of(stream, before, true)?;
        stream.set_capture(Some(Arc::clone(self)));
        Ok(())
    }

    /// Whether everything that other streams wrote comes before what the first stream wrote last.
    fn is_joined(&self) -> bool {
        let progress = self.progress();
        let mut open: Vec<Handle> = progress.last.get(&self.origin).cloned().unwrap_or_default();
        let mut before: HashSet<Handle> = HashSet::new();
        while let Some(node) = open.pop() {
            if before.insert(node) {
                open.extend(self.graph.dependencies_of(node));
            }
        }
        progress.last.values().flatten().all(|node| before.contains(node))
    }
}
