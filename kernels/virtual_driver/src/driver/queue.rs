//! The work of one device: enqueued by any thread, done by one worker, in order.
//!
//! Every asynchronous call adds a command and returns; the device's worker thread takes commands in the order of
//! submission. That single order satisfies everything the API promises of streams, of the legacy default stream and of
//! events on one device. The one exception is a command that has to wait for something outside this queue (an event of
//! another device, a value in memory): it is passed over, together with everything behind it in its stream, until it is
//! ready; the legacy stream and blocking streams hold each other back as the API says.
//!
//! Kernels thus never overlap on one device: a program whose kernel waits for a kernel in another stream hangs here.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::{Error, Result};

/// How often a command that is not ready is asked again.
const POLL: Duration = Duration::from_micros(50);

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Runs a program's host function, during which the driver refuses to be called.
pub fn in_callback(run: impl FnOnce()) {
    IN_CALLBACK.set(true);
    run();
    IN_CALLBACK.set(false);
}

/// Which other streams a stream waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// The legacy default stream: waits for all blocking streams and they for it.
    Legacy,
    /// Waits for the legacy stream and it for this.
    Blocking,
    /// Waits for nobody.
    NonBlocking,
    /// Waits for everything that the device was given before, and everything after waits for it.
    WholeDevice,
}

/// The stream a command belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    /// Number of the stream.
    pub stream: usize,
    /// Number of its context; the legacy stream of another context is nobody's concern.
    pub context: usize,
    /// Whom it waits for.
    pub ordering: Ordering,
}

impl Lane {
    fn holds_back(&self, later: &Lane) -> bool {
        let same_context = self.context == later.context;
        self.stream == later.stream
            || self.ordering == Ordering::WholeDevice
            || later.ordering == Ordering::WholeDevice
            || same_context
                && matches!(
                    (self.ordering, later.ordering),
                    (Ordering::Legacy, Ordering::Blocking) | (Ordering::Blocking, Ordering::Legacy)
                )
    }
}

type Ready = Box<dyn Fn() -> bool + Send>;

struct Command {
    ticket: u64,
    lane: Lane,
    ready: Option<Ready>,
    work: Box<dyn FnOnce() + Send>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Command>,
    issued: u64,
    running: Option<(u64, Option<Lane>)>,
    has_worker: bool,
}

impl State {
    fn is_done(&self, ticket: u64) -> bool {
        self.running.is_none_or(|(running, _)| running != ticket)
            && self.waiting.binary_search_by_key(&ticket, |command| command.ticket).is_err()
    }

    fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// Takes the first command that nothing earlier holds back.
    fn take_ready(&mut self) -> Option<Command> {
        let mut passed: Vec<Lane> = Vec::new();
        let found = self.waiting.iter().position(|command| {
            let is_free = !passed.iter().any(|lane| lane.holds_back(&command.lane));
            let is_ready = is_free && command.ready.as_ref().is_none_or(|ready| ready());
            if !is_ready {
                passed.push(command.lane);
            }
            is_ready
        })?;
        self.waiting.remove(found)
    }
}

/// The work of one device.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("issued", &self.lock().issued).finish_non_exhaustive()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds work for the worker; answers the ticket by which to ask for it.
    ///
    /// # Errors
    /// `NotPermitted` inside a host function; `OperatingSystem` where no thread can be started.
    pub fn submit(
        self: &Arc<Self>,
        lane: Lane,
        ready: Option<Ready>,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<u64> {
        refuse_in_callback()?;
        let mut state = self.lock();
        if !state.has_worker {
            let queue = Arc::clone(self);
            std::thread::Builder::new()
                .name("virtual-gpu".into())
                .spawn(move || queue.work())
                .map_err(|_| Error::OperatingSystem)?;
            state.has_worker = true;
        }
        state.issued += 1;
        let ticket = state.issued;
        state.waiting.push_back(Command { ticket, lane, ready, work: Box::new(work) });
        self.changed.notify_all();
        Ok(ticket)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            let command = if state.running.is_none() { state.take_ready() } else { None };
            if let Some(command) = command {
                state.running = Some((command.ticket, Some(command.lane)));
                drop(state);
                // A panic in the machine must not leave everybody waiting; the work reports it itself.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(command.work));
                state = self.lock();
                state.running = None;
                self.changed.notify_all();
            } else if state.waiting.is_empty() || state.running.is_some() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                state = self.changed.wait_timeout(state, POLL).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn wait_until(&self, is_reached: impl Fn(&State) -> bool) -> Result<MutexGuard<'_, State>> {
        refuse_in_callback()?;
        let mut state = self.lock();
        while !is_reached(&state) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(state)
    }

    /// Runs work on the calling thread once everything submitted before is done, while the worker pauses.
    ///
    /// # Errors
    /// `NotPermitted` inside a host function.
    pub fn run_here<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        let mut state = self.wait_until(State::is_idle)?;
        state.issued += 1;
        state.running = Some((state.issued, None));
        drop(state);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        self.lock().running = None;
        self.changed.notify_all();
        outcome.map_err(|_| Error::Unknown)
    }

    /// Waits for one command.
    ///
    /// # Errors
    /// `NotPermitted` inside a host function.
    pub fn wait(&self, ticket: u64) -> Result<()> {
        self.wait_until(|state| state.is_done(ticket)).map(drop)
    }

    /// Waits for everything that the device has to do.
    ///
    /// # Errors
    /// `NotPermitted` inside a host function.
    pub fn drain(&self) -> Result<()> {
        self.wait_until(State::is_idle).map(drop)
    }

    /// Waits for everything that a stream has to wait for before it is synchronised.
    ///
    /// # Errors
    /// `NotPermitted` inside a host function.
    pub fn drain_lane(&self, lane: Lane) -> Result<()> {
        self.wait_until(|state| !is_busy(state, lane)).map(drop)
    }

    /// Whether a stream has nothing to do.
    pub fn is_lane_idle(&self, lane: Lane) -> bool {
        !is_busy(&self.lock(), lane)
    }

    /// Whether one command is done.
    pub fn is_done(&self, ticket: u64) -> bool {
        self.lock().is_done(ticket)
    }
}

fn is_busy(state: &State, lane: Lane) -> bool {
    let running = state.running.and_then(|(_, running)| running);
    running
        .iter()
        .chain(state.waiting.iter().map(|command| &command.lane))
        .any(|other| other.holds_back(&lane))
}

/// Fails where the calling thread is inside a program's host function.
///
/// # Errors
/// `NotPermitted`
pub fn refuse_in_callback() -> Result<()> {
    if IN_CALLBACK.get() { Err(Error::NotPermitted) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU32};
    use std::sync::mpsc::channel;

    const LEGACY: Lane = Lane { stream: 1, context: 1, ordering: Ordering::Legacy };
    const BLOCKING: Lane = Lane { stream: 2, context: 1, ordering: Ordering::Blocking };
    const FREE: Lane = Lane { stream: 3, context: 1, ordering: Ordering::NonBlocking };

    #[test]
    fn work_is_done_in_order_and_can_be_waited_for() {
        let queue = Arc::new(Queue::default());
        let count = Arc::new(AtomicU32::new(0));
        let mut last = 0;
        for n in 0..100 {
            let count = Arc::clone(&count);
            let step = move || assert_eq!(count.fetch_add(1, std::sync::atomic::Ordering::Relaxed), n);
            last = queue.submit(LEGACY, None, step).unwrap();
        }
        queue.wait(last).unwrap();
        assert!(queue.is_done(last));
        assert_eq!(queue.run_here(|| count.load(std::sync::atomic::Ordering::Relaxed)), Ok(100));
    }

    #[test]
    fn a_command_that_is_not_ready_holds_back_only_its_own() {
        let queue = Arc::new(Queue::default());
        let gate = Arc::new(AtomicBool::new(false));
        let (send, receive) = channel();
        let say = |word: &'static str| {
            let send = send.clone();
            move || send.send(word).unwrap()
        };
        let open = Arc::clone(&gate);
        let ready: Ready = Box::new(move || open.load(std::sync::atomic::Ordering::Acquire));
        queue.submit(BLOCKING, Some(ready), say("gated")).unwrap();
        queue.submit(BLOCKING, None, say("behind")).unwrap();
        queue.submit(LEGACY, None, say("legacy")).unwrap();
        queue.submit(FREE, None, say("free")).unwrap();
        assert_eq!(receive.recv().unwrap(), "free");
        assert!(!queue.is_lane_idle(LEGACY));
        gate.store(true, std::sync::atomic::Ordering::Release);
        queue.drain().unwrap();
        assert_eq!(receive.try_iter().collect::<Vec<_>>(), ["gated", "behind", "legacy"]);
    }

    #[test]
    fn a_panic_ends_one_command_only_and_callbacks_may_not_call() {
        let queue = Arc::new(Queue::default());
        let refused = Arc::new(Mutex::new(None));
        queue.submit(FREE, None, || panic!("planted")).unwrap();
        let (inner, outcome) = (Arc::clone(&queue), Arc::clone(&refused));
        let work = move || in_callback(|| *outcome.lock().unwrap() = Some(inner.drain()));
        queue.submit(FREE, None, work).unwrap();
        queue.drain().unwrap();
        assert_eq!(*refused.lock().unwrap(), Some(Err(Error::NotPermitted)));
    }
}
