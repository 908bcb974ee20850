//! Stream capture.

use super::call::{In, Out, out_pointer_in_structure, stream_of};
use crate::driver::capture::{self, Mode};
use crate::driver::driver;
use crate::driver::error::{Error, Result};
use crate::driver::stream::Stream;

/// `CU_STREAM_CAPTURE_STATUS_*`
const NONE: u32 = 0;
const ACTIVE: u32 = 1;
const INVALIDATED: u32 = 2;

fn status(stream: &Stream) -> u32 {
    stream.capture().map_or(NONE, |capture| if capture.is_invalid() { INVALIDATED } else { ACTIVE })
}

/// Where the results of `cuStreamGetCaptureInfo` go.
struct Info {
    status: Out<u32>,
    id: Out<u64>,
    graph: Out<usize>,
    nodes: Out<usize>,
    edges: Out<usize>,
    count: Out<usize>,
}

/// The list of nodes that is handed out lives as long as the last of them.
fn put_info(stream: usize, info: &Info) -> Result<()> {
    let stream = stream_of(stream)?;
    info.status.put(status(&stream))?;
    info.edges.put_if_wanted(0);
    let Some(capture) = stream.capture().filter(|capture| !capture.is_invalid()) else {
        return Ok(());
    };
    info.id.put_if_wanted(capture.id);
    info.graph.put_if_wanted(capture.graph.handle);
    let last = capture.last_of(&stream)?;
    info.count.put_if_wanted(last.len());
    if !info.nodes.is_null() {
        let keeper = last.last().map(|node| driver()?.nodes.get(*node)).transpose()?;
        info.nodes.put(keeper.map_or(0, |node| node.lend(last).as_ptr() as usize))?;
    }
    Ok(())
}

fn update(stream: usize, nodes: In<usize>, count: usize, flags: u32) -> Result<()> {
    let stream = stream_of(stream)?;
    let capture = stream.capture().ok_or(Error::IllegalState)?;
    let is_replacing = match flags {
        0 => false,
        1 => true,
        _ => return Err(Error::InvalidValue),
    };
    capture.set_last_of(&stream, &nodes.many(count)?, !is_replacing)
}

fn nowhere<T>() -> Out<T> {
    out_pointer_in_structure(0)
}

api! {
    table TABLE;

    fn cuStreamBeginCapture | cuStreamBeginCapture_ptsz(stream: usize) {
        capture::begin(&*stream_of(stream)?, Mode::Global, None)
    }

    fn cuStreamBeginCapture_v2 | cuStreamBeginCapture_v2_ptsz(stream: usize, mode: u32) {
        capture::begin(&*stream_of(stream)?, Mode::from_number(mode)?, None)
    }

    fn cuStreamBeginCaptureToGraph | cuStreamBeginCaptureToGraph_ptsz(
        stream: usize, graph: usize, nodes: In<usize>, _edges: In<u64>, count: usize, mode: u32,
    ) {
        let graph = driver()?.graphs.get(graph)?;
        let nodes = nodes.many(count)?;
        graph.check_nodes(&nodes)?;
        capture::begin(&*stream_of(stream)?, Mode::from_number(mode)?, Some((graph, nodes)))
    }

    fn cuStreamEndCapture | cuStreamEndCapture_ptsz(stream: usize, graph: Out<usize>) {
        graph.check()?;
        let ended = capture::end(&*stream_of(stream)?);
        graph.put(ended.as_ref().map_or(0, |graph| graph.handle))?;
        ended.map(drop)
    }

    fn cuStreamIsCapturing | cuStreamIsCapturing_ptsz(stream: usize, out: Out<u32>) {
        let stream = stream_of(stream)?;
        capture::check_legacy_use(&stream)?;
        out.put(status(&stream))
    }

    fn cuThreadExchangeStreamCaptureMode(mode: Out<u32>) {
        let new = Mode::from_number(mode.current()?)?;
        mode.put(capture::exchange_thread_mode(new) as u32)
    }

    fn cuStreamGetCaptureInfo | cuStreamGetCaptureInfo_ptsz(stream: usize, status: Out<u32>, id: Out<u64>) {
        let (graph, nodes, edges, count) = (nowhere(), nowhere(), nowhere(), nowhere());
        put_info(stream, &Info { status, id, graph, nodes, edges, count })
    }

    fn cuStreamGetCaptureInfo_v2 | cuStreamGetCaptureInfo_v2_ptsz(
        stream: usize, status: Out<u32>, id: Out<u64>, graph: Out<usize>, nodes: Out<usize>, count: Out<usize>,
    ) {
        put_info(stream, &Info { status, id, graph, nodes, edges: nowhere(), count })
    }

    fn cuStreamGetCaptureInfo_v3 | cuStreamGetCaptureInfo_v3_ptsz(
        stream: usize, status: Out<u32>, id: Out<u64>, graph: Out<usize>, nodes: Out<usize>, edges: Out<usize>,
        count: Out<usize>,
    ) {
        put_info(stream, &Info { status, id, graph, nodes, edges, count })
    }

    fn cuStreamUpdateCaptureDependencies | cuStreamUpdateCaptureDependencies_ptsz(
        stream: usize, nodes: In<usize>, count: usize, flags: u32,
    ) {
        update(stream, nodes, count, flags)
    }

    fn cuStreamUpdateCaptureDependencies_v2 | cuStreamUpdateCaptureDependencies_v2_ptsz(
        stream: usize, nodes: In<usize>, _edges: In<u64>, count: usize, flags: u32,
    ) {
        update(stream, nodes, count, flags)
    }
}
