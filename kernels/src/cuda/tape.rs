//! The step's launches, collected and then run as one: as a captured CUDA graph if the very same sequence was seen before, else one
//! by one. Replay and eager run the same launches, hence give the same bits; a step that differs in anything (a buffer, a
//! grid, a scalar) is another sequence, and never meets a graph that is not its own.

use std::sync::Arc;

use super::device::Device;
use super::launch::Launch;
use crate::ops::error::OpError;

/// Graphs that are kept; the one used longest ago goes first.
const MAX_GRAPHS: usize = 64;

/// What was run, for tests and reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapeCounts {
    /// Sequences that ran launch by launch.
    pub eager: u64,
    /// Graphs made.
    pub captured: u64,
    /// Sequences that ran as a graph.
    pub replayed: u64,
}

/// Launches that have not run yet, and the graphs of sequences that recur.
pub(super) struct Tape<D: Device> {
    launches: Vec<Launch>,
    memory: Vec<Arc<D::Memory>>,
    /// The sequence is worth a graph when it comes again.
    pub(super) recurring: bool,
    pub(super) graphs_enabled: bool,
    entries: Vec<Entry<D>>,
    clock: u64,
    counts: TapeCounts,
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
    pub(super) fn new(graphs_enabled: bool) -> Self {
        Self {
            launches: Vec::new(),
            memory: Vec::new(),
            recurring: false,
            graphs_enabled,
            entries: Vec::new(),
            clock: 0,
            counts: TapeCounts::default(),
        }
    }

    pub(super) fn counts(&self) -> TapeCounts {
        self.counts
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
        let outcome = if self.recurring && self.graphs_enabled {
            self.run_recurring(device)
        } else {
            self.run_eagerly(device)
        };
        self.launches.clear();
        self.memory.clear();
        self.recurring = false;
        outcome
    }

    fn run_eagerly(&mut self, device: &mut D) -> Result<(), OpError> {
        self.counts.eager += 1;
        for launch in &self.launches {
            // SAFETY: operators build launches from checked arguments and hand their memory to the tape, which keeps it until
            // the launch is queued; memory is freed in queue order.
            unsafe { device.launch(launch) }?;
        }
        Ok(())
    }

    fn run_recurring(&mut self, device: &mut D) -> Result<(), OpError> {
        self.clock += 1;
        let known = self.entries.iter().position(|entry| entry.launches == self.launches);
        let Some(index) = known else {
            self.remember();
            return self.run_eagerly(device);
        };
        if self.entries[index].graph.is_none() {
            // SAFETY: as in `run_eagerly`; the entry keeps the memory as long as the graph.
            let graph = unsafe { device.capture(&self.launches) }?;
            let Some(graph) = graph else {
                self.graphs_enabled = false;
                return self.run_eagerly(device);
            };
            self.counts.captured += 1;
            self.entries[index].graph = Some(graph);
            self.entries[index]._memory.clone_from(&self.memory);
        }
        let entry = &mut self.entries[index];
        entry.used = self.clock;
        if let Some(graph) = &entry.graph {
            self.counts.replayed += 1;
            // SAFETY: the entry holds all memory that the graph refers to.
            unsafe { device.replay(graph) }?;
        }
        Ok(())
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
