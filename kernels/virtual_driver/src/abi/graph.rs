//! Graphs: their shape. What the nodes do is in `graph_nodes`, what is launched in `graph_exec`.

use std::ffi::c_char;
use std::fmt::Write as _;
use std::sync::Arc;

use super::call::{AnyOut, Bytes, In, Out};
use super::layout::HostFn;
use crate::driver::driver;
use crate::driver::error::{Error, Result};
use crate::driver::graph::Graph;
use crate::driver::handle::Handle;
use crate::driver::node::Node;

/// Writes a list as the API does: without a place only the number; with one, at most as many as there is room for, and
/// zeros behind.
fn put_list(values: &[Handle], out: Out<usize>, count: Out<usize>) -> Result<()> {
    if out.is_null() {
        return count.put(values.len());
    }
    let room = count.current()?;
    out.put_many(values.iter().copied().chain(std::iter::repeat(0)), room);
    count.put(values.len().min(room))
}

fn put_edges(graph: usize, from: Out<usize>, to: Out<usize>, count: Out<usize>) -> Result<()> {
    let edges = driver()?.graphs.get(graph)?.edges();
    let (first, second): (Vec<_>, Vec<_>) = edges.into_iter().unzip();
    let room = count.current()?;
    put_list(&first, from, count)?;
    if !from.is_null() {
        count.put(room)?;
        put_list(&second, to, count)?;
    }
    Ok(())
}

fn put_dependencies(node: usize, out: Out<usize>, count: Out<usize>) -> Result<()> {
    put_list(&driver()?.nodes.get(node)?.dependencies(), out, count)
}

fn put_dependents(node: usize, out: Out<usize>, count: Out<usize>) -> Result<()> {
    let graph = driver()?.graphs.get(driver()?.nodes.get(node)?.graph)?;
    let after: Vec<Handle> =
        graph.edges().into_iter().filter(|edge| edge.0 == node).map(|edge| edge.1).collect();
    put_list(&after, out, count)
}

fn change_edges(
    graph: usize,
    from: In<usize>,
    to: In<usize>,
    count: usize,
    change: impl Fn(&Node, Handle) -> Result<()>,
) -> Result<()> {
    let driver = driver()?;
    let (from, to) = (from.many(count)?, to.many(count)?);
    let graph = driver.graphs.get(graph)?;
    graph.check_nodes(&from)?;
    graph.check_nodes(&to)?;
    for (earlier, later) in from.into_iter().zip(to) {
        change(&*driver.nodes.get(later)?, earlier)?;
    }
    Ok(())
}

/// The graph in the language of Graphviz.
fn to_dot(graph: &Graph) -> String {
    let mut text = "digraph graph {\n".to_owned();
    for node in graph.nodes() {
        let _ = writeln!(text, "  n{:x} [label=\"{:?}\"];", node.handle, node.kind());
    }
    for (from, to) in graph.edges() {
        let _ = writeln!(text, "  n{from:x} -> n{to:x};");
    }
    text + "}\n"
}

fn nodes_of(graph: usize) -> Result<Vec<Arc<Node>>> {
    Ok(driver()?.graphs.get(graph)?.nodes())
}

fn handles<'a>(nodes: impl Iterator<Item = &'a Arc<Node>>) -> Vec<Handle> {
    nodes.map(|node| node.handle).collect()
}

api! {
    table TABLE;

    fn cuGraphCreate(out: Out<usize>, flags: u32) {
        out.check()?;
        if flags != 0 {
            return Err(Error::InvalidValue);
        }
        out.put(Graph::create(driver()?).handle)
    }

    fn cuGraphDestroy(graph: usize) {
        let driver = driver()?;
        driver.graphs.get(graph)?.destroy(driver)
    }

    fn cuGraphClone(out: Out<usize>, graph: usize) {
        out.check()?;
        let driver = driver()?;
        out.put(driver.graphs.get(graph)?.duplicate(driver)?.handle)
    }

    fn cuGraphNodeFindInClone(out: Out<usize>, node: usize, clone: usize) {
        let driver = driver()?;
        let original = driver.graphs.get(driver.nodes.get(node)?.graph)?;
        let position = original.nodes().iter().position(|other| other.handle == node).ok_or(Error::InvalidValue)?;
        out.put(nodes_of(clone)?.get(position).ok_or(Error::InvalidValue)?.handle)
    }

    fn cuGraphNodeGetType(node: usize, kind: Out<u32>) {
        kind.put(driver()?.nodes.get(node)?.kind() as u32)
    }

    fn cuGraphGetNodes(graph: usize, out: Out<usize>, count: Out<usize>) {
        put_list(&handles(nodes_of(graph)?.iter()), out, count)
    }

    fn cuGraphGetRootNodes(graph: usize, out: Out<usize>, count: Out<usize>) {
        let nodes = nodes_of(graph)?;
        put_list(&handles(nodes.iter().filter(|node| node.dependencies().is_empty())), out, count)
    }

    fn cuGraphGetEdges(graph: usize, from: Out<usize>, to: Out<usize>, count: Out<usize>) {
        put_edges(graph, from, to, count)
    }

    fn cuGraphGetEdges_v2(graph: usize, from: Out<usize>, to: Out<usize>, data: Out<u64>, count: Out<usize>) {
        put_edges(graph, from, to, count)?;
        zero_edge_data(data, count)
    }

    fn cuGraphNodeGetDependencies(node: usize, out: Out<usize>, count: Out<usize>) {
        put_dependencies(node, out, count)
    }

    fn cuGraphNodeGetDependencies_v2(node: usize, out: Out<usize>, data: Out<u64>, count: Out<usize>) {
        put_dependencies(node, out, count)?;
        zero_edge_data(data, count)
    }

    fn cuGraphNodeGetDependentNodes(node: usize, out: Out<usize>, count: Out<usize>) {
        put_dependents(node, out, count)
    }

    fn cuGraphNodeGetDependentNodes_v2(node: usize, out: Out<usize>, data: Out<u64>, count: Out<usize>) {
        put_dependents(node, out, count)?;
        zero_edge_data(data, count)
    }

    fn cuGraphAddDependencies(graph: usize, from: In<usize>, to: In<usize>, count: usize) {
        change_edges(graph, from, to, count, Node::depend_on)
    }

    fn cuGraphAddDependencies_v2(graph: usize, from: In<usize>, to: In<usize>, _data: In<u64>, count: usize) {
        change_edges(graph, from, to, count, Node::depend_on)
    }

    fn cuGraphRemoveDependencies(graph: usize, from: In<usize>, to: In<usize>, count: usize) {
        change_edges(graph, from, to, count, Node::release_from)
    }

    fn cuGraphRemoveDependencies_v2(graph: usize, from: In<usize>, to: In<usize>, _data: In<u64>, count: usize) {
        change_edges(graph, from, to, count, Node::release_from)
    }

    fn cuGraphDestroyNode(node: usize) {
        let driver = driver()?;
        driver.graphs.get(driver.nodes.get(node)?.graph)?.remove(driver, node)
    }

    fn cuGraphDebugDotPrint(graph: usize, path: In<c_char>, _flags: u32) {
        let text = to_dot(&*driver()?.graphs.get(graph)?);
        std::fs::write(path.text()?, text).map_err(|_| Error::OperatingSystem)
    }

    fn cuDeviceGraphMemTrim(device: i32) {
        driver()?.device(device).map(drop)
    }

    fn cuDeviceGetGraphMemAttribute(device: i32, attribute: u32, value: AnyOut) {
        driver()?.device(device)?;
        if attribute > 3 {
            return Err(Error::InvalidValue);
        }
        value.as_element().put(0_u64)
    }

    fn cuDeviceSetGraphMemAttribute(device: i32, attribute: u32, _value: Bytes) {
        driver()?.device(device)?;
        if matches!(attribute, 1 | 3) { Ok(()) } else { Err(Error::InvalidValue) }
    }

    fn cuUserObjectCreate(out: Out<usize>, object: Bytes, destroy: HostFn, count: u32, flags: u32) {
        let destroy = destroy.filter(|_| count > 0 && flags == 1).ok_or(Error::InvalidValue)?;
        out.put(crate::driver::user_object::create(destroy, object.address() as usize, count)?)
    }

    fn cuUserObjectRetain(object: usize, count: u32) {
        driver()?.user_objects.get(object)?.retain(count);
        Ok(())
    }

    fn cuUserObjectRelease(object: usize, count: u32) {
        crate::driver::user_object::release(object, count)
    }

    fn cuGraphRetainUserObject(graph: usize, object: usize, count: u32, flags: u32) {
        const MOVE: u32 = 1;
        let driver = driver()?;
        let object = driver.user_objects.get(object)?;
        driver.graphs.get(graph)?.hold(&object, count);
        if flags & MOVE == 0 {
            object.retain(count);
        }
        Ok(())
    }

    fn cuGraphReleaseUserObject(graph: usize, object: usize, count: u32) {
        driver()?.graphs.get(graph)?.let_go(object, count)?;
        crate::driver::user_object::release(object, count)
    }
}

fn zero_edge_data(data: Out<u64>, count: Out<usize>) -> Result<()> {
    let room = if data.is_null() { 0 } else { count.current()? };
    data.put_many(std::iter::repeat_n(0, room), room);
    Ok(())
}
