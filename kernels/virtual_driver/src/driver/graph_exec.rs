//! Instantiated graphs: the nodes' work in one order, ready to be launched.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::context::{self, Context};
use super::error::{Error, Result};
use super::graph::Graph;
use super::handle::{self, Handle};
use super::node::{NodeKind, kind_of};
use super::stream::Stream;
use super::work::Work;
use super::{Driver, driver};

#[derive(Clone, Debug)]
struct Step {
    node: Handle,
    /// Positions of the steps it comes after.
    after: Vec<usize>,
    work: Work,
    is_enabled: bool,
}

#[derive(Debug)]
struct Steps {
    steps: Vec<Step>,
    /// What a launch runs; made anew after a change.
    ready: Option<Arc<[Work]>>,
}

/// An instantiated graph.
#[derive(Debug)]
pub struct GraphExec {
    /// Its handle.
    pub handle: Handle,
    /// Flags it was instantiated with.
    pub flags: u64,
    context: Arc<Context>,
    steps: Mutex<Steps>,
}

/// Why an update was refused; `CU_GRAPH_EXEC_UPDATE_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Mismatch {
    /// Other nodes or dependencies.
    Topology = 2,
    /// A node of another kind.
    NodeKind = 3,
}

fn flatten(graph: &Graph, into: &mut Vec<Step>) -> Result<()> {
    let order = graph.in_order()?;
    let mut positions = std::collections::HashMap::new();
    for node in order {
        let after = node.dependencies().iter().filter_map(|from| positions.get(from).copied()).collect();
        let work = node.work();
        if let Work::Graph(inner) = &work {
            flatten(inner, into)?;
        }
        positions.insert(node.handle, into.len());
        into.push(Step { node: node.handle, after, work, is_enabled: true });
    }
    Ok(())
}

impl GraphExec {
    /// Instantiates and enters a graph.
    ///
    /// # Errors
    /// `InvalidValue` where the dependencies go in a circle; as [`context::current`].
    pub fn create(driver: &Driver, graph: &Graph, flags: u64) -> Result<Arc<Self>> {
        let context = context::current()?;
        let mut steps = Vec::new();
        flatten(graph, &mut steps)?;
        let steps = Mutex::new(Steps { steps, ready: None });
        let exec = Arc::new(Self { handle: handle::fresh(), flags, context, steps });
        driver.graph_execs.insert(exec.handle, Arc::clone(&exec));
        Ok(exec)
    }

    fn lock(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enqueues all its work.
    ///
    /// # Errors
    /// As [`Stream::enqueue`]; within a capture the graph becomes a node.
    pub fn launch(&self, stream: &Stream) -> Result<()> {
        if stream.capture().is_some() {
            return self.launch_captured(stream);
        }
        let ready = {
            let mut steps = self.lock();
            let list = steps.ready.take().unwrap_or_else(|| {
                let enabled = steps.steps.iter().filter(|step| step.is_enabled);
                enabled.map(|step| step.work.clone()).collect()
            });
            steps.ready = Some(Arc::clone(&list));
            list
        };
        stream.enqueue(Work::Steps(ready))
    }

    fn launch_captured(&self, stream: &Stream) -> Result<()> {
        let driver = driver()?;
        let graph = Graph::create(driver);
        let mut last = Vec::new();
        for step in self.lock().steps.iter().filter(|step| step.is_enabled) {
            if !matches!(step.work, Work::Graph(_)) {
                last = vec![graph.add(driver, step.work.clone(), last)?.handle];
            }
        }
        stream.enqueue(Work::Graph(graph))
    }

    fn change(&self, node: Handle, change: impl FnOnce(&mut Step) -> Result<()>) -> Result<()> {
        let mut steps = self.lock();
        let step = steps.steps.iter_mut().find(|step| step.node == node).ok_or(Error::InvalidValue)?;
        change(step)?;
        steps.ready = None;
        Ok(())
    }

    /// Replaces what a node does, for launches from now on.
    ///
    /// # Errors
    /// `InvalidValue` where the node is not of this graph or of another kind.
    pub fn set_work(&self, node: Handle, work: Work) -> Result<()> {
        self.change(node, |step| {
            if kind_of(&step.work) != kind_of(&work) {
                return Err(Error::InvalidValue);
            }
            step.work = work;
            Ok(())
        })
    }

    /// Switches a kernel, copy or fill on or off.
    ///
    /// # Errors
    /// `InvalidValue` for other nodes.
    pub fn set_enabled(&self, node: Handle, is_enabled: bool) -> Result<()> {
        self.change(node, |step| {
            if !matches!(kind_of(&step.work), NodeKind::Kernel | NodeKind::Copy | NodeKind::Fill) {
                return Err(Error::InvalidValue);
            }
            step.is_enabled = is_enabled;
            Ok(())
        })
    }

    /// Whether a node is switched on.
    ///
    /// # Errors
    /// `InvalidValue` where it is not of this graph.
    pub fn is_enabled(&self, node: Handle) -> Result<bool> {
        let steps = self.lock();
        let step = steps.steps.iter().find(|step| step.node == node).ok_or(Error::InvalidValue)?;
        Ok(step.is_enabled)
    }

    /// Takes over the work of another graph of the same shape.
    ///
    /// # Errors
    /// What differs, and the node of the other graph that differs, where it is one.
    pub fn update(&self, graph: &Graph) -> std::result::Result<(), (Mismatch, Handle)> {
        let mut new = Vec::new();
        flatten(graph, &mut new).map_err(|_| (Mismatch::Topology, 0))?;
        let mut steps = self.lock();
        if new.len() != steps.steps.len() {
            return Err((Mismatch::Topology, 0));
        }
        for (old, new) in steps.steps.iter().zip(&new) {
            if kind_of(&old.work) != kind_of(&new.work) {
                return Err((Mismatch::NodeKind, new.node));
            }
            if old.after != new.after {
                return Err((Mismatch::Topology, new.node));
            }
        }
        for (old, new) in steps.steps.iter_mut().zip(new) {
            old.work = new.work;
        }
        steps.ready = None;
        Ok(())
    }

    /// The context it was instantiated in.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }
}
