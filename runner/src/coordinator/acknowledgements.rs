//! Which ranks have obeyed which control signals. The original acknowledges none; our ranks say how many they have obeyed.

use std::collections::{BTreeMap, VecDeque};

use super::ranks::Ranks;
use super::state::State;

/// Signals that are waited for at most; a client that floods us must not fill the memory.
const MOST_AWAITED: usize = 256;

/// Signals that not every rank has obeyed yet, oldest first.
#[derive(Default)]
pub(super) struct Acknowledgements {
    awaited: VecDeque<Awaited>,
}

struct Awaited {
    signal: String,
    sent_s: f64,
    num_ranks: usize,
    /// The signal's number at each rank that has not obeyed it.
    missing: BTreeMap<u32, u64>,
    /// Ranks that went before they had.
    num_gone: usize,
}

impl Acknowledgements {
    /// A signal goes to all live ranks; those of ours will say when they have obeyed it.
    pub(super) fn expect(&mut self, signal: String, now_s: f64, ranks: &mut Ranks) {
        let missing = ranks.count_signal();
        if self.awaited.len() == MOST_AWAITED {
            self.awaited.pop_front();
        }
        if !missing.is_empty() {
            self.awaited.push_back(Awaited {
                signal,
                sent_s: now_s,
                num_ranks: missing.len(),
                missing,
                num_gone: 0,
            });
        }
    }

    /// A rank has obeyed `num_signals` signals so far. What has thereby been obeyed everywhere, in words.
    pub(super) fn obeyed(&mut self, rank: u32, num_signals: u64, now_s: f64) -> Vec<String> {
        for Awaited { missing, .. } in &mut self.awaited {
            if missing.get(&rank).is_some_and(|&number| number <= num_signals) {
                missing.remove(&rank);
            }
        }
        self.take_done(now_s)
    }

    /// A rank cannot obey any more.
    pub(super) fn forget(&mut self, rank: u32, now_s: f64) -> Vec<String> {
        for Awaited { missing, num_gone, .. } in &mut self.awaited {
            *num_gone += usize::from(missing.remove(&rank).is_some());
        }
        self.take_done(now_s)
    }

    fn take_done(&mut self, now_s: f64) -> Vec<String> {
        let done = self.awaited.iter().filter(|awaited| awaited.missing.is_empty());
        let line = |Awaited { signal, sent_s, num_ranks, num_gone, .. }: &Awaited| {
            let (obeyed, ms) = (num_ranks - num_gone, (now_s - sent_s) * 1e3);
            match num_gone {
                0 => format!("{signal}: acknowledged by all {num_ranks} ranks, the last after {ms:.1} ms"),
                _ => format!("{signal}: acknowledged by {obeyed} of {num_ranks} ranks, the others are gone"),
            }
        };
        let lines = done.map(line).collect();
        self.awaited.retain(|awaited| !awaited.missing.is_empty());
        lines
    }
}

impl State {
    pub(super) fn on_obeyed(&mut self, rank: u32, num_signals: u64) {
        let lines = self.acknowledgements.obeyed(rank, num_signals, self.now_s);
        lines.into_iter().for_each(|line| self.note(line));
    }

    pub(super) fn expect_no_obedience(&mut self, rank: u32) {
        let lines = self.acknowledgements.forget(rank, self.now_s);
        lines.into_iter().for_each(|line| self.note(line));
    }
}
