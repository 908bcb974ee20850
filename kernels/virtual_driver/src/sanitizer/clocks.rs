//! Logical time in a block: what each warp knows of the others, and the lanes of a warp of each other.
//!
//! A warp's clock goes on whenever it synchronises. An access at clock c of warp v is before what warp w does now if w
//! has *seen* v up to c.

use std::sync::Arc;

use super::releases::{Acquired, Times};

#[derive(Clone, Debug, Default)]
struct WarpClock {
    /// By warp: seen up to this clock. At the warp's own index: its clock.
    seen: Vec<u32>,
    /// All lanes have seen all lanes up to this clock.
    met: u32,
    /// Lane `to` has seen lane `from` up to this clock: `[from][to]`. Made by the first meeting of fewer lanes.
    pairs: Option<Box<[[u32; 32]; 32]>>,
    /// What was seen at the last fence.
    fenced: Option<Times>,
    /// The same for fences that reach beyond the block, with those of warps met since.
    fenced_wide: Option<Times>,
    acquired: Vec<Acquired>,
}

impl WarpClock {
    fn acquire(&mut self, more: Acquired) {
        match self.acquired.iter_mut().find(|known| known.address == more.address) {
            Some(known) => known.count = known.count.max(more.count),
            None => self.acquired.push(more),
        }
    }
}

fn join(into: &mut [u32], other: &[u32]) {
    for (into, other) in into.iter_mut().zip(other) {
        *into = (*into).max(*other);
    }
}

fn join_times(a: Option<Times>, b: Option<&Times>) -> Option<Times> {
    match (a, b) {
        (Some(a), Some(b)) if !Arc::ptr_eq(&a, b) => {
            let mut both = a.to_vec();
            join(&mut both, b);
            Some(both.into())
        }
        (Some(a), _) => Some(a),
        (None, b) => b.cloned(),
    }
}

/// The clocks of a block's warps.
#[derive(Debug)]
pub(super) struct Clocks {
    warps: Vec<WarpClock>,
    /// By barrier: what warps had seen that arrived without waiting.
    arrived: Vec<Option<WarpClock>>,
}

impl Clocks {
    pub(super) fn new(warps: u32) -> Self {
        let start = |own: u32| WarpClock {
            seen: (0..warps).map(|warp| u32::from(warp == own)).collect(),
            ..WarpClock::default()
        };
        Self { warps: (0..warps).map(start).collect(), arrived: vec![None; 16] }
    }

    /// The clock of a warp.
    pub(super) fn now(&self, warp: u32) -> u32 {
        self.warps[warp as usize].seen[warp as usize]
    }

    fn tick(&mut self, warp: u32) {
        self.warps[warp as usize].seen[warp as usize] += 1;
    }

    /// Whether an access of lane `from` of warp `by` at `clock` is before what `lane` of `warp` does now.
    #[inline]
    pub(super) fn is_before(&self, (by, from, clock): (u8, u8, u32), (warp, lane): (u32, u32)) -> bool {
        let own = &self.warps[warp as usize];
        if u32::from(by) != warp {
            return own.seen[usize::from(by)] >= clock;
        }
        u32::from(from) == lane
            || clock <= own.met
            || own.pairs.as_ref().is_some_and(|pairs| pairs[usize::from(from)][lane as usize] >= clock)
    }

    /// The warps (by bit) meet at a barrier.
    pub(super) fn meet(&mut self, warps: u32, barrier: u32) {
        let members = || (0..32_u32).filter(|warp| warps >> warp & 1 == 1);
        let mut all = self.arrived.get_mut(barrier as usize).and_then(Option::take).unwrap_or_default();
        all.seen.resize(self.warps.len(), 0);
        for warp in members() {
            let own = &self.warps[warp as usize];
            join(&mut all.seen, &own.seen);
            all.fenced_wide = join_times(all.fenced_wide, own.fenced_wide.as_ref());
            own.acquired.iter().for_each(|&more| all.acquire(more));
        }
        for warp in members() {
            let own = &mut self.warps[warp as usize];
            own.met = own.seen[warp as usize];
            own.seen.copy_from_slice(&all.seen);
            own.fenced_wide.clone_from(&all.fenced_wide);
            own.acquired.clone_from(&all.acquired);
            self.tick(warp);
        }
    }

    /// A warp arrives at a barrier and goes on.
    pub(super) fn arrive(&mut self, warp: u32, barrier: u32) {
        let own = self.warps[warp as usize].clone();
        let slot = &mut self.arrived[barrier as usize & 15];
        let mut all = slot.take().unwrap_or_default();
        all.seen.resize(own.seen.len(), 0);
        join(&mut all.seen, &own.seen);
        all.fenced_wide = join_times(all.fenced_wide, own.fenced_wide.as_ref());
        own.acquired.iter().for_each(|&more| all.acquire(more));
        *slot = Some(all);
        self.tick(warp);
    }

    /// Lanes of a warp meet.
    pub(super) fn meet_lanes(&mut self, warp: u32, members: u32, live: u32) {
        let clock = self.now(warp);
        let own = &mut self.warps[warp as usize];
        if members & live == live {
            own.met = clock;
        } else {
            let pairs = own.pairs.get_or_insert_with(|| Box::new([[0; 32]; 32]));
            for from in 0..32_usize {
                let is_member = |lane: usize| members >> lane & 1 == 1;
                let known = (0..32).filter(|&lane| is_member(lane)).map(|lane| pairs[from][lane]).max();
                let known = if is_member(from) { clock } else { known.unwrap_or(0) };
                (0..32).filter(|&to| is_member(to)).for_each(|to| pairs[from][to] = known);
            }
        }
        self.tick(warp);
    }

    /// A warp fences.
    pub(super) fn fence(&mut self, warp: u32, is_device_wide: bool) {
        let own = &mut self.warps[warp as usize];
        let seen: Times = own.seen.as_slice().into();
        if is_device_wide {
            own.fenced_wide = Some(Arc::clone(&seen));
        }
        own.fenced = Some(seen);
        self.tick(warp);
    }

    /// What a warp publishes now: to its block, to all, and what it had acquired; `None` without a fence.
    pub(super) fn published(&self, warp: u32) -> Option<(Times, Option<Times>, Arc<[Acquired]>)> {
        let own = &self.warps[warp as usize];
        let in_block = join_times(own.fenced.clone(), own.fenced_wide.as_ref())?;
        Some((in_block, own.fenced_wide.clone(), own.acquired.as_slice().into()))
    }

    /// A warp learns what a warp of its own block has published.
    pub(super) fn learn(&mut self, warp: u32, by: u8, times: &[u32]) {
        let own = &mut self.warps[warp as usize];
        if u32::from(by) == warp {
            own.met = own.met.max(times[usize::from(by)]);
        }
        let clock = own.seen[warp as usize];
        join(&mut own.seen, times);
        own.seen[warp as usize] = clock;
    }

    /// A warp has read the publications at an address.
    pub(super) fn acquire(&mut self, warp: u32, acquired: Acquired) {
        self.warps[warp as usize].acquire(acquired);
    }

    /// All that a warp has acquired.
    pub(super) fn acquired(&self, warp: u32) -> &[Acquired] {
        &self.warps[warp as usize].acquired
    }
}
