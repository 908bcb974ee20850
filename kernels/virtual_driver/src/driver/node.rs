//! Nodes of a graph.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::{Error, Result};
use super::handle::{self, Handle};
use super::launch::Launch;
use super::work::Work;

/// Kinds of nodes by the API's numbers, `CU_GRAPH_NODE_TYPE_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum NodeKind {
    /// A kernel.
    Kernel = 0,
    /// A copy.
    Copy = 1,
    /// A fill.
    Fill = 2,
    /// A host function.
    Host = 3,
    /// A graph.
    Graph = 4,
    /// Nothing.
    Empty = 5,
    /// Waits for an event.
    WaitEvent = 6,
    /// Records an event.
    RecordEvent = 7,
    /// Allocates.
    Allocate = 10,
    /// Frees.
    Free = 11,
    /// Writes or waits for words of memory.
    MemoryWord = 12,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Its handle.
    pub handle: Handle,
    /// Handle of its graph.
    pub graph: Handle,
    work: Mutex<Work>,
    dependencies: Mutex<Vec<Handle>>,
    /// Addresses that were handed out with the node's parameters; they live as long as the node.
    lent: Mutex<Vec<Arc<[usize]>>>,
    /// Launches to whose parameters those addresses point.
    kept: Mutex<Vec<Arc<Launch>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kind of node that a piece of work makes.
pub fn kind_of(work: &Work) -> NodeKind {
    match work {
        Work::Kernel(_) => NodeKind::Kernel,
        Work::Copy(_) | Work::Upload(..) => NodeKind::Copy,
        Work::Fill(_) => NodeKind::Fill,
        Work::Host(_) | Work::Callback(_) => NodeKind::Host,
        Work::Graph(_) | Work::Steps(_) => NodeKind::Graph,
        Work::Empty | Work::Reach(_) | Work::Await(_) => NodeKind::Empty,
        Work::AwaitEvent(_) => NodeKind::WaitEvent,
        Work::Record(_) => NodeKind::RecordEvent,
        Work::Allocated(..) => NodeKind::Allocate,
        Work::Free(_) => NodeKind::Free,
        Work::WriteWord(_) | Work::WaitWord(_) => NodeKind::MemoryWord,
    }
}

impl Node {
    /// A node of a graph.
    pub fn new(graph: Handle, work: Work, dependencies: Vec<Handle>) -> Self {
        Self {
            handle: handle::fresh(),
            graph,
            work: Mutex::new(work),
            dependencies: Mutex::new(dependencies),
            lent: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// What it does.
    pub fn work(&self) -> Work {
        lock(&self.work).clone()
    }

    /// Its kind.
    pub fn kind(&self) -> NodeKind {
        kind_of(&lock(&self.work))
    }

    /// Replaces what it does by something of the same kind.
    ///
    /// # Errors
    /// `InvalidValue` for another kind.
    pub fn set_work(&self, work: Work) -> Result<()> {
        let mut current = lock(&self.work);
        if kind_of(&current) != kind_of(&work) {
            return Err(Error::InvalidValue);
        }
        *current = work;
        Ok(())
    }

    /// The nodes it comes after.
    pub fn dependencies(&self) -> Vec<Handle> {
        lock(&self.dependencies).clone()
    }

    /// Makes it come after a node.
    ///
    /// # Errors
    /// `InvalidValue` where it does already, or for itself.
    pub fn depend_on(&self, other: Handle) -> Result<()> {
        let mut dependencies = lock(&self.dependencies);
        if other == self.handle || dependencies.contains(&other) {
            return Err(Error::InvalidValue);
        }
        dependencies.push(other);
        Ok(())
    }

    /// Takes a dependency away.
    ///
    /// # Errors
    /// `InvalidValue` where there is none.
    pub fn release_from(&self, other: Handle) -> Result<()> {
        let mut dependencies = lock(&self.dependencies);
        let found = dependencies.iter().position(|node| *node == other).ok_or(Error::InvalidValue)?;
        dependencies.remove(found);
        Ok(())
    }

    /// Keeps addresses that a program is given, for as long as the node lives; answers where they lie.
    pub fn lend(&self, addresses: Vec<usize>) -> Arc<[usize]> {
        let addresses: Arc<[usize]> = addresses.into();
        lock(&self.lent).push(Arc::clone(&addresses));
        addresses
    }

    /// Keeps a launch whose parameters a program was shown, for as long as the node lives.
    pub fn keep(&self, launch: &Arc<Launch>) {
        let mut kept = lock(&self.kept);
        if !kept.iter().any(|other| Arc::ptr_eq(other, launch)) {
            kept.push(Arc::clone(launch));
        }
    }
}
