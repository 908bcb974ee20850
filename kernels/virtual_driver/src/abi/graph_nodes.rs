//! What the nodes of a graph do.

use std::sync::Arc;

use super::call::{In, Out, pointer_in_structure};
use super::launch::{Shape, prepare};
use super::layout::{
    AllocateParams, Copy3D, FillParams, HostParams, KernelParams, KernelParamsV2, Location, NodeParams,
    PoolProps,
};
use super::memory_copies::{check_node_context, from_structure, to_structure};
use crate::driver::copying::Fill;
use crate::driver::error::{Error, Result};
use crate::driver::node::Node;
use crate::driver::work::{HostCall, Work};
use crate::driver::{context, driver, event};
use crate::memory::Kind;

/// Adds a node behind others and answers its handle.
fn add(out: Out<usize>, graph: usize, before: In<usize>, count: usize, work: Work) -> Result<()> {
    out.check()?;
    let driver = driver()?;
    out.put(driver.graphs.get(graph)?.add(driver, work, before.many(count)?)?.handle)
}

fn node(handle: usize) -> Result<Arc<Node>> {
    driver()?.nodes.get(handle)
}

/// A kernel from the structure; the kernel of a library stands in for the function.
pub(super) fn kernel_work(params: &KernelParams, kernel: usize) -> Result<Work> {
    let function = if params.function == 0 { kernel } else { params.function };
    let KernelParams { grid, block, dynamic_shared, .. } = *params;
    let shape = Shape { grid, block, dynamic_shared, cooperative: false };
    let (pointers, extra) = (pointer_in_structure(params.params), pointer_in_structure(params.extra));
    prepare(function, shape, pointers, extra).map(Work::Kernel)
}

/// The structure from a kernel node; what its pointers point to lives as long as the node's work.
fn kernel_params(node: &Node) -> Result<KernelParams> {
    let Work::Kernel(launch) = node.work() else { return Err(Error::InvalidValue) };
    let block = launch.spec.params.as_ptr() as usize;
    let facts = &launch.function.facts;
    let pointers = node.lend(facts.params.iter().map(|param| block + param.offset as usize).collect());
    node.keep(&launch);
    Ok(KernelParams {
        function: launch.function.handle,
        grid: launch.spec.grid,
        block: launch.spec.block,
        dynamic_shared: launch.spec.dynamic_shared,
        params: pointers.as_ptr() as usize,
        extra: 0,
    })
}

pub(super) fn copy_work(params: &Copy3D) -> Result<Work> {
    let copy = from_structure(params)?;
    copy.check(&driver()?.allocations)?;
    Ok(Work::Copy(copy))
}

pub(super) fn fill_work(params: &FillParams) -> Result<Work> {
    let FillParams { address, pitch, value, element, width, height } = *params;
    let fill =
        Fill { address, pitch: pitch as u64, value, element, width: width as u64, height: height as u64 };
    fill.check(&driver()?.allocations)?;
    Ok(Work::Fill(fill))
}

fn fill_params(node: &Node) -> Result<FillParams> {
    let Work::Fill(fill) = node.work() else { return Err(Error::InvalidValue) };
    let Fill { address, pitch, value, element, width, height } = fill;
    Ok(FillParams {
        address,
        pitch: pitch as usize,
        value,
        element,
        width: width as usize,
        height: height as usize,
    })
}

pub(super) fn host_work(params: &HostParams) -> Result<Work> {
    let function = params.function.ok_or(Error::InvalidValue)?;
    Ok(Work::Host(HostCall { function, argument: params.argument }))
}

pub(super) fn record_work(event: usize) -> Result<Work> {
    driver()?.events.get(event).map(Work::Record)
}

pub(super) fn wait_work(event: usize) -> Result<Work> {
    driver()?.events.get(event).map(Work::AwaitEvent)
}

fn child_work(graph: usize) -> Result<Work> {
    let driver = driver()?;
    driver.graphs.get(graph)?.duplicate(driver).map(Work::Graph)
}

/// Allocates when the node is made: the memory lives until a free node or `cuMemFree` frees it.
fn allocate_work(params: &AllocateParams) -> Result<(Work, u64)> {
    let driver = driver()?;
    let device = driver.device(params.pool.location.id)?;
    let (context, pool) = (context::current()?, Arc::clone(&device.default_pool));
    let bytes = params.bytes as u64;
    let at = driver.allocations.allocate(&context, bytes, Kind::Device, 0, Some(pool))?;
    Ok((Work::Allocated(at, bytes), at))
}

/// Work from the structure that can describe any node.
pub(super) fn any_work(params: &mut NodeParams) -> Result<Work> {
    let body = &mut params.body;
    // SAFETY: every field of the union is made of integers and nullable function pointers, for which all bytes of the
    // structure that the program has filled in are valid; `kind` says which field that is.
    unsafe {
        match params.kind {
            0 => kernel_work(&body.kernel.first, body.kernel.kernel),
            1 => copy_work(&body.copy.copy),
            2 => fill_work(&body.fill),
            3 => host_work(&body.host),
            4 => child_work(body.handle),
            5 => Ok(Work::Empty),
            6 => wait_work(body.handle),
            7 => record_work(body.handle),
            10 => {
                let (work, address) = allocate_work(&body.allocate)?;
                body.allocate.address = address;
                Ok(work)
            }
            11 => Ok(Work::Free(body.handle as u64)),
            8 | 9 | 12 | 13 => Err(Error::NotSupported),
            _ => Err(Error::InvalidValue),
        }
    }
}

fn add_any(
    out: Out<usize>,
    graph: usize,
    before: In<usize>,
    count: usize,
    params: Out<NodeParams>,
) -> Result<()> {
    let mut given = params.current()?;
    let work = any_work(&mut given)?;
    add(out, graph, before, count, work)?;
    params.put(given)
}

api! {
    table TABLE;

    fn cuGraphAddKernelNode(out: Out<usize>, graph: usize, before: In<usize>, count: usize, params: In<KernelParams>) {
        add(out, graph, before, count, kernel_work(&params.get()?, 0)?)
    }

    fn cuGraphAddKernelNode_v2(out: Out<usize>, graph: usize, before: In<usize>, count: usize, params: In<KernelParamsV2>) {
        let params = params.get()?;
        add(out, graph, before, count, kernel_work(&params.first, params.kernel)?)
    }

    fn cuGraphKernelNodeGetParams(handle: usize, params: Out<KernelParams>) {
        params.put(kernel_params(&*node(handle)?)?)
    }

    fn cuGraphKernelNodeGetParams_v2(handle: usize, params: Out<KernelParamsV2>) {
        let first = kernel_params(&*node(handle)?)?;
        params.put(KernelParamsV2 { first, kernel: 0, context: context::current_handle() })
    }

    fn cuGraphKernelNodeSetParams(handle: usize, params: In<KernelParams>) {
        node(handle)?.set_work(kernel_work(&params.get()?, 0)?)
    }

    fn cuGraphKernelNodeSetParams_v2(handle: usize, params: In<KernelParamsV2>) {
        let params = params.get()?;
        node(handle)?.set_work(kernel_work(&params.first, params.kernel)?)
    }

    fn cuGraphKernelNodeCopyAttributes(to: usize, from: usize) {
        node(to)?;
        node(from).map(drop)
    }

    fn cuGraphKernelNodeGetAttribute(handle: usize, _attribute: u32, value: Out<[u64; 8]>) {
        kernel_params(&*node(handle)?)?;
        value.put([0; 8])
    }

    fn cuGraphKernelNodeSetAttribute(handle: usize, _attribute: u32, _value: In<[u64; 8]>) {
        kernel_params(&*node(handle)?).map(drop)
    }

    fn cuGraphAddMemcpyNode(
        out: Out<usize>, graph: usize, before: In<usize>, count: usize, params: In<Copy3D>, context: usize,
    ) {
        check_node_context(context)?;
        add(out, graph, before, count, copy_work(&params.get()?)?)
    }

    fn cuGraphMemcpyNodeGetParams(handle: usize, params: Out<Copy3D>) {
        let Work::Copy(copy) = node(handle)?.work() else { return Err(Error::InvalidValue) };
        params.put(to_structure(&copy))
    }

    fn cuGraphMemcpyNodeSetParams(handle: usize, params: In<Copy3D>) {
        node(handle)?.set_work(copy_work(&params.get()?)?)
    }

    fn cuGraphAddMemsetNode(
        out: Out<usize>, graph: usize, before: In<usize>, count: usize, params: In<FillParams>, context: usize,
    ) {
        check_node_context(context)?;
        add(out, graph, before, count, fill_work(&params.get()?)?)
    }

    fn cuGraphMemsetNodeGetParams(handle: usize, params: Out<FillParams>) {
        params.put(fill_params(&*node(handle)?)?)
    }

    fn cuGraphMemsetNodeSetParams(handle: usize, params: In<FillParams>) {
        node(handle)?.set_work(fill_work(&params.get()?)?)
    }

    fn cuGraphAddHostNode(out: Out<usize>, graph: usize, before: In<usize>, count: usize, params: In<HostParams>) {
        add(out, graph, before, count, host_work(&params.get()?)?)
    }

    fn cuGraphHostNodeGetParams(handle: usize, params: Out<HostParams>) {
        let Work::Host(call) = node(handle)?.work() else { return Err(Error::InvalidValue) };
        params.put(HostParams { function: Some(call.function), argument: call.argument })
    }

    fn cuGraphHostNodeSetParams(handle: usize, params: In<HostParams>) {
        node(handle)?.set_work(host_work(&params.get()?)?)
    }

    fn cuGraphAddChildGraphNode(out: Out<usize>, graph: usize, before: In<usize>, count: usize, child: usize) {
        add(out, graph, before, count, child_work(child)?)
    }

    fn cuGraphChildGraphNodeGetGraph(handle: usize, graph: Out<usize>) {
        let Work::Graph(child) = node(handle)?.work() else { return Err(Error::InvalidValue) };
        graph.put(child.handle)
    }

    fn cuGraphAddEmptyNode(out: Out<usize>, graph: usize, before: In<usize>, count: usize) {
        add(out, graph, before, count, Work::Empty)
    }

    fn cuGraphAddEventRecordNode(out: Out<usize>, graph: usize, before: In<usize>, count: usize, event: usize) {
        add(out, graph, before, count, record_work(event)?)
    }

    fn cuGraphEventRecordNodeGetEvent(handle: usize, out: Out<usize>) {
        out.put(event::of_node(&*node(handle)?)?)
    }

    fn cuGraphEventRecordNodeSetEvent(handle: usize, event: usize) {
        node(handle)?.set_work(record_work(event)?)
    }

    fn cuGraphAddEventWaitNode(out: Out<usize>, graph: usize, before: In<usize>, count: usize, event: usize) {
        add(out, graph, before, count, wait_work(event)?)
    }

    fn cuGraphEventWaitNodeGetEvent(handle: usize, out: Out<usize>) {
        out.put(event::of_node(&*node(handle)?)?)
    }

    fn cuGraphEventWaitNodeSetEvent(handle: usize, event: usize) {
        node(handle)?.set_work(wait_work(event)?)
    }

    fn cuGraphAddMemAllocNode(
        out: Out<usize>, graph: usize, before: In<usize>, count: usize, params: Out<AllocateParams>,
    ) {
        let mut given = params.current()?;
        let (work, address) = allocate_work(&given)?;
        add(out, graph, before, count, work)?;
        given.address = address;
        params.put(given)
    }

    fn cuGraphMemAllocNodeGetParams(handle: usize, out: Out<AllocateParams>) {
        let Work::Allocated(address, bytes) = node(handle)?.work() else { return Err(Error::InvalidValue) };
        let location = Location { kind: 1, id: context::current()?.device.ordinal as i32 };
        let pool = PoolProps {
            allocation_type: 1, handle_types: 0, location, security: 0, max_size: 0, usage: 0, reserved: [0; 54],
        };
        out.put(AllocateParams { pool, access: 0, access_count: 0, bytes: bytes as usize, address })
    }

    fn cuGraphAddMemFreeNode(out: Out<usize>, graph: usize, before: In<usize>, count: usize, address: u64) {
        driver()?.allocations.starting_at(address, &[Kind::Device])?;
        add(out, graph, before, count, Work::Free(address))
    }

    fn cuGraphMemFreeNodeGetParams(handle: usize, out: Out<u64>) {
        let Work::Free(address) = node(handle)?.work() else { return Err(Error::InvalidValue) };
        out.put(address)
    }

    fn cuGraphAddNode(out: Out<usize>, graph: usize, before: In<usize>, count: usize, params: Out<NodeParams>) {
        add_any(out, graph, before, count, params)
    }

    fn cuGraphAddNode_v2(
        out: Out<usize>, graph: usize, before: In<usize>, _edges: In<u64>, count: usize, params: Out<NodeParams>,
    ) {
        add_any(out, graph, before, count, params)
    }

    fn cuGraphNodeSetParams(handle: usize, params: Out<NodeParams>) {
        node(handle)?.set_work(any_work(&mut params.current()?)?)
    }
}
