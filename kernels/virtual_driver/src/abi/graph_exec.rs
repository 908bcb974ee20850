//! Instantiated graphs.

use std::ffi::c_char;

use super::call::{In, Out, stream_of};
use super::graph_nodes::{any_work, copy_work, fill_work, host_work, kernel_work, record_work, wait_work};
use super::layout::{
    Copy3D, FillParams, HostParams, InstantiateParams, KernelParams, KernelParamsV2, NodeParams, UpdateResult,
};
use super::memory_copies::check_node_context;
use crate::driver::driver;
use crate::driver::error::{Error, Result};
use crate::driver::graph_exec::GraphExec;
use crate::driver::work::Work;

/// Flags that exist; none changes anything here but `UPLOAD`, which needs a stream and is without effect.
const KNOWN_FLAGS: u64 = 0xF;

fn instantiate(out: Out<usize>, graph: usize, flags: u64) -> Result<()> {
    out.check()?;
    if flags & !KNOWN_FLAGS != 0 {
        return Err(Error::InvalidValue);
    }
    let driver = driver()?;
    out.put(GraphExec::create(driver, &*driver.graphs.get(graph)?, flags)?.handle)
}

fn set(exec: usize, node: usize, work: Work) -> Result<()> {
    driver()?.graph_execs.get(exec)?.set_work(node, work)
}

/// Takes over another graph's work; what differs is told as result and node.
fn update(exec: usize, graph: usize) -> Result<std::result::Result<(), (u32, usize)>> {
    let driver = driver()?;
    let outcome = driver.graph_execs.get(exec)?.update(&*driver.graphs.get(graph)?);
    Ok(outcome.map_err(|(mismatch, node)| (mismatch as u32, node)))
}

api! {
    table TABLE;

    fn cuGraphInstantiate(out: Out<usize>, graph: usize, error_node: Out<usize>, log: Out<c_char>, room: usize) {
        error_node.put_if_wanted(0);
        log.put_many([0], room);
        instantiate(out, graph, 0)
    }

    fn cuGraphInstantiate_v2(out: Out<usize>, graph: usize, error_node: Out<usize>, log: Out<c_char>, room: usize) {
        error_node.put_if_wanted(0);
        log.put_many([0], room);
        instantiate(out, graph, 0)
    }

    fn cuGraphInstantiateWithFlags(out: Out<usize>, graph: usize, flags: u64) {
        instantiate(out, graph, flags)
    }

    fn cuGraphInstantiateWithParams | cuGraphInstantiateWithParams_ptsz(
        out: Out<usize>, graph: usize, params: Out<InstantiateParams>,
    ) {
        let mut given = params.current()?;
        let made = instantiate(out, graph, given.flags);
        (given.error_node, given.result) = (0, u32::from(made.is_err()));
        params.put(given)?;
        made
    }

    fn cuGraphExecGetFlags(exec: usize, flags: Out<u64>) {
        flags.put(driver()?.graph_execs.get(exec)?.flags)
    }

    fn cuGraphExecDestroy(exec: usize) {
        driver()?.graph_execs.remove(exec).map(drop)
    }

    fn cuGraphUpload | cuGraphUpload_ptsz(exec: usize, stream: usize) {
        driver()?.graph_execs.get(exec)?;
        stream_of(stream).map(drop)
    }

    fn cuGraphLaunch | cuGraphLaunch_ptsz(exec: usize, stream: usize) {
        driver()?.graph_execs.get(exec)?.launch(&*stream_of(stream)?)
    }

    fn cuGraphExecKernelNodeSetParams(exec: usize, node: usize, params: In<KernelParams>) {
        set(exec, node, kernel_work(&params.get()?, 0)?)
    }

    fn cuGraphExecKernelNodeSetParams_v2(exec: usize, node: usize, params: In<KernelParamsV2>) {
        let params = params.get()?;
        set(exec, node, kernel_work(&params.first, params.kernel)?)
    }

    fn cuGraphExecMemcpyNodeSetParams(exec: usize, node: usize, params: In<Copy3D>, context: usize) {
        check_node_context(context)?;
        set(exec, node, copy_work(&params.get()?)?)
    }

    fn cuGraphExecMemsetNodeSetParams(exec: usize, node: usize, params: In<FillParams>, context: usize) {
        check_node_context(context)?;
        set(exec, node, fill_work(&params.get()?)?)
    }

    fn cuGraphExecHostNodeSetParams(exec: usize, node: usize, params: In<HostParams>) {
        set(exec, node, host_work(&params.get()?)?)
    }

    fn cuGraphExecEventRecordNodeSetEvent(exec: usize, node: usize, event: usize) {
        set(exec, node, record_work(event)?)
    }

    fn cuGraphExecEventWaitNodeSetEvent(exec: usize, node: usize, event: usize) {
        set(exec, node, wait_work(event)?)
    }

    fn cuGraphExecNodeSetParams(exec: usize, node: usize, params: Out<NodeParams>) {
        set(exec, node, any_work(&mut params.current()?)?)
    }

    fn cuGraphNodeSetEnabled(exec: usize, node: usize, is_enabled: u32) {
        driver()?.graph_execs.get(exec)?.set_enabled(node, is_enabled != 0)
    }

    fn cuGraphNodeGetEnabled(exec: usize, node: usize, is_enabled: Out<u32>) {
        is_enabled.put(u32::from(driver()?.graph_execs.get(exec)?.is_enabled(node)?))
    }

    fn cuGraphExecUpdate(exec: usize, graph: usize, node: Out<usize>, result: Out<u32>) {
        let outcome = update(exec, graph)?;
        let (code, at) = outcome.err().unwrap_or((0, 0));
        node.put_if_wanted(at);
        result.put(code)?;
        outcome.map_err(|_| Error::GraphExecUpdateFailure)
    }

    fn cuGraphExecUpdate_v2(exec: usize, graph: usize, result: Out<UpdateResult>) {
        let outcome = update(exec, graph)?;
        let (code, at) = outcome.err().unwrap_or((0, 0));
        result.put(UpdateResult { result: code, node: at, from: 0 })?;
        outcome.map_err(|_| Error::GraphExecUpdateFailure)
    }
}
