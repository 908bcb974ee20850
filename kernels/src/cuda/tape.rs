//! The step's launches, collected and then run as one: as a captured CUDA graph if the very same sequence was seen before, else one
//! by one. Replay and eager run the same launches, hence give the same bits; a step that differs in anything (a buffer, a
//! grid, a scalar) is another sequence, and never meets a graph that is not its own.

use std::sync::Arc;

use super::device::Device;
use super::graph_shapes::Room;
use super::launch::Launch;
use crate::ops::error::OpError;
use crate::ops::graph_counts::GraphCounts;

/// Graphs that are kept; the one used longest ago goes first.
const MAX_GRAPHS: usize = 64;

/// Launches that have not run yet, and the graphs of sequences that recur.
pub(super) struct Tape<D: Device> {
    launches: Vec<Launch>,
    memory: Vec<Arc<D::Memory>>,
    /// The step is worth a graph when it comes again; what its launches cover.
    pub(super) room: Option<Room>,
    graphs_enabled: bool,
    entries: Vec<Entry<D>>,
    clock: u64,
    step: Step,
    counts: GraphCounts,
    /// Allocations of the device when the counts were last reset.
    allocations_before: u64,
}

/// What of the step that is under way has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing yet; the device had made so many allocations when it began.
    Begun { allocations: u64 },
    /// Its main sequence; what comes after (reading logits, drawing again) is not a step of its own.
    Counted,
}

/// A sequence that was run, and its graph once it came twice.
struct Entry<D: Device> {
    launches: Vec<Launch>,
    graph: Option<D::Graph>,
    /// Memory that the graph refers to.
    _memory: Vec<Arc<D::Memory>>,
    used: u64,
}

impl<D: Device> Tape<D> {
    pub(super) fn new() -> Self {
        Self {
            launches: Vec::new(),
            memory: Vec::new(),
            room: None,
            graphs_enabled: true,
            entries: Vec::new(),
            clock: 0,
            step: Step::Counted,
            counts: GraphCounts::default(),
            allocations_before: 0,
        }
    }

    /// Totals since the last reset.
    pub(super) fn counts(&self, device: &D) -> GraphCounts {
        GraphCounts { allocations: device.allocations() - self.allocations_before, ..self.counts.clone() }
    }

    pub(super) fn reset_counts(&mut self, device: &D) {
        self.counts = GraphCounts::default();
        self.allocations_before = device.allocations();
    }

    /// A step begins; call before anything is allocated for it.
    pub(super) fn begin_step(&mut self, device: &D) {
        self.step = Step::Begun { allocations: device.allocations() };
    }

    /// Appends a launch whose arguments point into `memory`.
    pub(super) fn push<'a>(&mut self, launch: Launch, memory: impl IntoIterator<Item = &'a Arc<D::Memory>>)
    where
        D::Memory: 'a,
    {
        self.launches.push(launch);
        self.memory.extend(memory.into_iter().cloned());
    }

    /// Buffers were replaced: sequences with the old ones will not come again.
    pub(super) fn forget_graphs(&mut self) {
        self.entries.clear();
    }

    /// Queues everything that was collected. After an error nothing is left of it.
    pub(super) fn run(&mut self, device: &mut D) -> Result<(), OpError> {
        if self.launches.is_empty() {
            return Ok(());
        }
        let room = self.room.take().filter(|_| self.graphs_enabled);
        let outcome = match room {
            Some(_) => self.run_recurring(device),
            None => self.run_eagerly(device).map(|()| false),
        };
        self.launches.clear();
        self.memory.clear();
        self.count(room.filter(|_| outcome == Ok(true)), device);
        outcome.map(|_| ())
    }

    /// Counts the step under way, if this was its main sequence; `replayed`: room of the graph that ran.
    fn count(&mut self, replayed: Option<Room>, device: &D) {
        let Step::Begun { allocations } = std::mem::replace(&mut self.step, Step::Counted) else { return };
        match replayed {
            None => self.counts.eager_steps += 1,
            Some(room) => {
                *self.counts.replays.entry(room.tokens).or_default() += 1;
                *self.counts.replays_by_requests.entry(room.sequences).or_default() += 1;
                self.counts.allocations_in_replays += device.allocations() - allocations;
            }
        }
    }

    fn run_eagerly(&mut self, device: &mut D) -> Result<(), OpError> {
        for launch in &self.launches {
            // SAFETY: operators build launches from checked arguments and hand their memory to the tape, which keeps it until
            // the launch is queued; memory is freed in queue order.
            unsafe { device.launch(launch) }?;
        }
        Ok(())
    }

    /// Whether a graph was replayed.
    fn run_recurring(&mut self, device: &mut D) -> Result<bool, OpError> {
        self.clock += 1;
        let known = self.entries.iter().position(|entry| entry.launches == self.launches);
        let Some(index) = known else {
            self.remember();
            return self.run_eagerly(device).map(|()| false);
        };
        if self.entries[index].graph.is_none() {
            // SAFETY: as in `run_eagerly`; the entry keeps the memory as long as the graph.
            let graph = unsafe { device.capture(&self.launches) }?;
            let Some(graph) = graph else {
                self.graphs_enabled = false;
                return self.run_eagerly(device).map(|()| false);
            };
            self.counts.captured += 1;
            self.entries[index].graph = Some(graph);
            self.entries[index]._memory.clone_from(&self.memory);
        }
        let entry = &mut self.entries[index];
        entry.used = self.clock;
        let Some(graph) = &entry.graph else { return Ok(false) };
        // SAFETY: the entry holds all memory that the graph refers to.
        unsafe { device.replay(graph) }?;
        Ok(true)
    }

    fn remember(&mut self) {
        if self.entries.len() == MAX_GRAPHS {
            let oldest = (0..MAX_GRAPHS).min_by_key(|&index| self.entries[index].used);
            self.entries.swap_remove(oldest.unwrap_or_default());
        }
        let (launches, used) = (self.launches.clone(), self.clock);
        self.entries.push(Entry { launches, graph: None, _memory: Vec::new(), used });
    }
}
