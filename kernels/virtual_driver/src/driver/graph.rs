//! Graphs: work with its dependencies, written down to be launched many times.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Driver;
use super::error::{Error, Result};
use super::handle::{self, Handle};
use super::node::Node;
use super::user_object::{self, UserObject};
use super::work::Work;

/// A graph.
#[derive(Debug)]
pub struct Graph {
    /// Its handle.
    pub handle: Handle,
    nodes: Mutex<Vec<Arc<Node>>>,
    held: Mutex<Vec<(Handle, u32)>>,
}

impl Graph {
    /// Makes and enters an empty graph.
    pub fn create(driver: &Driver) -> Arc<Self> {
        let graph =
            Arc::new(Self { handle: handle::fresh(), nodes: Mutex::default(), held: Mutex::default() });
        driver.graphs.insert(graph.handle, Arc::clone(&graph));
        graph
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Node>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its nodes, in the order in which they were added.
    pub fn nodes(&self) -> Vec<Arc<Node>> {
        self.lock().clone()
    }

    /// Checks that nodes belong to it.
    ///
    /// # Errors
    /// `InvalidValue`
    pub fn check_nodes(&self, nodes: &[Handle]) -> Result<()> {
        let own: HashSet<Handle> = self.lock().iter().map(|node| node.handle).collect();
        if nodes.iter().all(|node| own.contains(node)) { Ok(()) } else { Err(Error::InvalidValue) }
    }

    /// Adds a node behind others.
    ///
    /// # Errors
    /// `InvalidValue` where a dependency is of another graph or named twice.
    pub fn add(&self, driver: &Driver, work: Work, dependencies: Vec<Handle>) -> Result<Arc<Node>> {
        self.check_nodes(&dependencies)?;
        if dependencies.iter().collect::<HashSet<_>>().len() != dependencies.len() {
            return Err(Error::InvalidValue);
        }
        let node = Arc::new(Node::new(self.handle, work, dependencies));
        driver.nodes.insert(node.handle, Arc::clone(&node));
        self.lock().push(Arc::clone(&node));
        Ok(node)
    }

    /// Takes a node out, and every dependency on it.
    ///
    /// # Errors
    /// `InvalidValue` where it is not in the graph.
    pub fn remove(&self, driver: &Driver, node: Handle) -> Result<()> {
        let mut nodes = self.lock();
        let found = nodes.iter().position(|other| other.handle == node).ok_or(Error::InvalidValue)?;
        nodes.remove(found);
        for other in nodes.iter() {
            let _ = other.release_from(node);
        }
        driver.nodes.remove(node).map(drop)
    }

    /// The nodes that a node comes after.
    pub fn dependencies_of(&self, node: Handle) -> Vec<Handle> {
        let found = self.lock().iter().find(|other| other.handle == node).cloned();
        found.map(|node| node.dependencies()).unwrap_or_default()
    }

    /// All dependencies as pairs: first the earlier node, then the later one.
    pub fn edges(&self) -> Vec<(Handle, Handle)> {
        let pairs = |node: Arc<Node>| node.dependencies().into_iter().map(move |from| (from, node.handle));
        self.nodes().into_iter().flat_map(pairs).collect()
    }

    /// The nodes in an order in which they can be run: always the first one added whose dependencies are done.
    ///
    /// # Errors
    /// `InvalidValue` where the dependencies go in a circle.
    pub fn in_order(&self) -> Result<Vec<Arc<Node>>> {
        let nodes = self.nodes();
        let index: HashMap<Handle, usize> =
            nodes.iter().enumerate().map(|(n, node)| (node.handle, n)).collect();
        let mut missing = vec![0_usize; nodes.len()];
        let mut after: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
        for (n, node) in nodes.iter().enumerate() {
            for from in node.dependencies().iter().filter_map(|handle| index.get(handle)) {
                missing[n] += 1;
                after[*from].push(n);
            }
        }
        let is_ready = |(n, count): (usize, &usize)| (*count == 0).then_some(std::cmp::Reverse(n));
        let mut ready: std::collections::BinaryHeap<_> =
            missing.iter().enumerate().filter_map(is_ready).collect();
        let mut order = Vec::with_capacity(nodes.len());
        while let Some(std::cmp::Reverse(n)) = ready.pop() {
            order.push(Arc::clone(&nodes[n]));
            for &later in &after[n] {
                missing[later] -= 1;
                if missing[later] == 0 {
                    ready.push(std::cmp::Reverse(later));
                }
            }
        }
        if order.len() == nodes.len() { Ok(order) } else { Err(Error::InvalidValue) }
    }

    /// A copy with nodes of its own, in the same order.
    ///
    /// # Errors
    /// As [`Graph::add`].
    pub fn duplicate(&self, driver: &Driver) -> Result<Arc<Graph>> {
        let copy = Graph::create(driver);
        let mut twins: HashMap<Handle, Handle> = HashMap::new();
        let nodes = self.nodes();
        for node in &nodes {
            twins.insert(node.handle, copy.add(driver, node.work(), Vec::new())?.handle);
        }
        for (node, twin) in nodes.iter().zip(copy.nodes()) {
            for from in node.dependencies() {
                twin.depend_on(*twins.get(&from).ok_or(Error::InvalidValue)?)?;
            }
        }
        Ok(copy)
    }

    /// Notes that the graph holds a user object.
    pub fn hold(&self, object: &UserObject, count: u32) {
        self.held().push((object.handle, count));
    }

    /// Notes that the graph lets go of a user object.
    ///
    /// # Errors
    /// `InvalidValue` where it does not hold it as often.
    pub fn let_go(&self, object: Handle, count: u32) -> Result<()> {
        let mut held = self.held();
        let fits = |(other, holds): &&mut (Handle, u32)| *other == object && *holds >= count;
        held.iter_mut().find(fits).ok_or(Error::InvalidValue)?.1 -= count;
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Vec<(Handle, u32)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the graph and its nodes away.
    ///
    /// # Errors
    /// `InvalidHandle` where it is gone already.
    pub fn destroy(&self, driver: &Driver) -> Result<()> {
        driver.graphs.remove(self.handle)?;
        for node in self.lock().drain(..) {
            if let Work::Graph(inner) = node.work() {
                let _ = inner.destroy(driver);
            }
            let _ = driver.nodes.remove(node.handle);
        }
        for (object, count) in self.held().drain(..).filter(|(_, count)| *count > 0) {
            let _ = user_object::release(object, count);
        }
        Ok(())
    }
}
