//! The link shared by two threads: the engine loop, and a side thread that keeps the heart beating while a step runs.
//!
//! A step may take seconds on a busy machine, and the rank is well. A step that never ends is a hang, and then a
//! beating heart would lie: after [`LONGEST_STEP_S`] in one step the side thread falls silent, and the coordinator
//! sees a dead rank.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::coordinator::wire::{FinalReply, PartialReply, RankCommand, RankStats};
use crate::coordinator::{LinkError, RankLink};
use crate::engine::CacheChanges;
use crate::metrics::{Clock, RankRecord};

/// No honest step takes longer: a prompt of 16,384 tokens through 583 M parameters is 2e13 operations,
/// ten minutes at 32 GFLOP/s.
const LONGEST_STEP_S: f64 = 600.0;

/// What a rank needs of its connection.
pub(super) trait Link: Send + 'static {
    fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<RankCommand>, LinkError>;
    fn send_partials(&mut self, partials: Vec<PartialReply>) -> Result<(), LinkError>;
    fn send_finals(&mut self, replies: Vec<FinalReply>) -> Result<(), LinkError>;
    fn send_cache_changes(&mut self, changes: CacheChanges) -> Result<(), LinkError>;
    fn heartbeat(&mut self, stats: RankStats) -> Result<(), LinkError>;
    /// Whoever waits for what STOP cut short is told, unless the coordinator does that itself.
    fn send_dropped(&mut self, replies: Vec<FinalReply>) -> Result<(), LinkError>;
    fn send_report(&mut self, record: RankRecord) -> Result<(), LinkError>;
    fn disconnect(self) -> Result<(), LinkError>;
}

impl Link for RankLink {
    fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<RankCommand>, LinkError> {
        RankLink::recv_timeout(self, timeout)
    }
    fn send_partials(&mut self, partials: Vec<PartialReply>) -> Result<(), LinkError> {
        RankLink::send_partials(self, partials)
    }
    fn send_finals(&mut self, replies: Vec<FinalReply>) -> Result<(), LinkError> {
        RankLink::send_finals(self, replies)
    }
    fn send_cache_changes(&mut self, changes: CacheChanges) -> Result<(), LinkError> {
        RankLink::send_cache_changes(self, changes)
    }
    fn heartbeat(&mut self, stats: RankStats) -> Result<(), LinkError> {
        RankLink::heartbeat(self, stats)
    }
    /// Ours has answered them when it passed STOP on.
    fn send_dropped(&mut self, _replies: Vec<FinalReply>) -> Result<(), LinkError> {
        Ok(())
    }
    fn send_report(&mut self, record: RankRecord) -> Result<(), LinkError> {
        RankLink::send_report(self, record)
    }
    fn disconnect(self) -> Result<(), LinkError> {
        RankLink::disconnect(self)
    }
}

/// The engine loop's handle on the link.
pub(super) struct Pulse<L: Link> {
    heart: Arc<Mutex<Heart<L>>>,
    /// Dropped to end the side thread.
    life: Sender<()>,
    side: JoinHandle<()>,
}

struct Heart<L> {
    link: L,
    clock: Clock,
    interval_s: f64,
    last_beat_s: f64,
    /// Start of the step that is running.
    step_began_s: Option<f64>,
    stats: RankStats,
}

impl<L: Link> Heart<L> {
    fn beat_if_due(&mut self) -> Result<(), LinkError> {
        let now_s = self.clock.now_s();
        let hangs = self.step_began_s.is_some_and(|began_s| now_s - began_s > LONGEST_STEP_S);
        if hangs || now_s < self.last_beat_s + self.interval_s {
            return Ok(());
        }
        self.last_beat_s = now_s;
        self.link.heartbeat(self.stats)
    }

    fn until_next_beat(&self) -> Duration {
        self.clock.until(self.last_beat_s + self.interval_s)
    }
}

impl<L: Link> Pulse<L> {
    /// Takes the registered link over; a heartbeat goes out every `interval` from now on.
    pub(super) fn start(link: L, interval: Duration, clock: Clock) -> io::Result<Self> {
        let heart = Arc::new(Mutex::new(Heart {
            link,
            clock,
            interval_s: interval.as_secs_f64(),
            last_beat_s: clock.now_s(),
            step_began_s: None,
            stats: RankStats::default(),
        }));
        let (life, ended) = mpsc::channel();
        let side_heart = Arc::clone(&heart);
        let beat = move || {
            while ended.recv_timeout(interval / 4) == Err(RecvTimeoutError::Timeout) {
                // While the engine loop holds the lock it is awake, and beats by itself.
                // A broken link shows there too, with a reason.
                let _result = lock(&side_heart).beat_if_due();
            }
        };
        let side = thread::Builder::new().name("pulse".into()).spawn(beat)?;
        Ok(Self { heart, life, side })
    }

    /// The next command. With `wait`, sleeps until one comes or the next heartbeat is due; `None` if none came.
    pub(super) fn receive(&self, wait: bool) -> Result<Option<RankCommand>, LinkError> {
        let mut heart = lock(&self.heart);
        heart.beat_if_due()?;
        let timeout = if wait { heart.until_next_beat() } else { Duration::ZERO };
        heart.link.recv_timeout(timeout)
    }

    /// A step begins; from now on the side thread beats.
    pub(super) fn step_begins(&self) {
        let mut heart = lock(&self.heart);
        heart.step_began_s = Some(heart.clock.now_s());
    }

    /// A step ended.
    pub(super) fn step_ended(&self, stats: RankStats) {
        let mut heart = lock(&self.heart);
        heart.step_began_s = None;
        heart.stats = stats;
    }

    /// A signal was obeyed: says so at once.
    pub(super) fn acknowledge(&self, stats: RankStats) -> Result<(), LinkError> {
        let mut heart = lock(&self.heart);
        heart.stats = stats;
        heart.last_beat_s = heart.clock.now_s();
        heart.link.heartbeat(stats)
    }

    /// Sends what a step or a command brought.
    pub(super) fn send(&self, partials: Vec<PartialReply>, finals: Vec<FinalReply>) -> Result<(), LinkError> {
        let mut heart = lock(&self.heart);
        heart.link.send_partials(partials)?;
        heart.link.send_finals(finals)
    }

    /// Says what changed in the prefix cache, if something did.
    pub(super) fn send_cache_changes(&self, changes: CacheChanges) -> Result<(), LinkError> {
        if changes.is_empty() {
            return Ok(());
        }
        lock(&self.heart).link.send_cache_changes(changes)
    }

    /// Stops everything this rank does, heartbeats included, without ending it.
    pub(super) fn hang(&self) -> ! {
        let _heart = lock(&self.heart);
        loop {
            thread::park();
        }
    }

    /// Answers what is unfinished, hands over the record and leaves.
    pub(super) fn end(self, dropped: Vec<FinalReply>, record: RankRecord) -> Result<(), LinkError> {
        drop(self.life);
        // The side thread only beats; had it panicked, the link would still be ours.
        let _panicked = self.side.join();
        {
            let mut heart = lock(&self.heart);
            heart.link.send_dropped(dropped)?;
            heart.link.send_report(record)?;
        }
        match Arc::into_inner(self.heart) {
            Some(heart) => heart.into_inner().unwrap_or_else(PoisonError::into_inner).link.disconnect(),
            None => Ok(()),
        }
    }
}

fn lock<L>(heart: &Mutex<Heart<L>>) -> MutexGuard<'_, Heart<L>> {
    // Each change of the heart is complete by itself, whatever panicked meanwhile.
    heart.lock().unwrap_or_else(PoisonError::into_inner)
}
