//! Memory that each worker keeps between operators, so that a steady stream of steps allocates nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::attention::AttentionScratch;
use super::sampling::SamplingScratch;

/// One worker's scratch.
#[derive(Default)]
pub(crate) struct WorkerScratch {
    pub(crate) attention: AttentionScratch,
    pub(crate) floats: [Vec<f32>; 1],
    pub(crate) halves: [Vec<u16>; 2],
    pub(crate) sampling: SamplingScratch,
}

/// Scratch of all workers.
pub(crate) struct Scratch(Vec<Mutex<WorkerScratch>>);

impl Scratch {
    /// For `workers` workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Mutex::default()).collect())
    }

    /// A worker's own; nobody else takes it while the worker runs a task.
    pub(crate) fn of(&self, worker: usize) -> MutexGuard<'_, WorkerScratch> {
        self.0[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
