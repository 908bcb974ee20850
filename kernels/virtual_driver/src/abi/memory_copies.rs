//! Copies.

use super::call::{Bytes, In, stream_of};
use super::layout::{Copy2D, Copy3D, End3D};
use crate::driver::context::{self, Context};
use crate::driver::copying::{Copy, End, Extent, Place};
use crate::driver::error::{Error, Result};
use crate::driver::stream::{Stream, StreamKind};
use crate::driver::work::Work;
use crate::driver::{Driver, capture, driver, peer_copy};
use crate::memory::Kind;

/// Pageable bytes up to this many are taken along at once; for more the call waits.
const MOST_STAGED: u64 = 1 << 20;

/// Copies before the call returns, after all work of the streams that wait for the default stream.
fn copy_now(copy: Copy) -> Result<()> {
    let (driver, stream) = (driver()?, stream_of(0)?);
    let context = stream.owner()?;
    refuse_while_capturing(&stream)?;
    copy.check(&driver.allocations)?;
    drain_other_devices(driver, &context, &copy)?;
    // SAFETY: host ends are valid during the call, by the rules of the API.
    context.device.queue.run_here(|| unsafe { copy.run(&driver.allocations) })??;
    context.check()
}

/// Fails where a default stream must not be used now, which a synchronous call does.
pub(super) fn refuse_while_capturing(default_stream: &Stream) -> Result<()> {
    if let Some(capture) = default_stream.capture() {
        return Err(capture.invalidate(Error::StreamCaptureUnsupported));
    }
    capture::check_legacy_use(default_stream)
}

fn drain_other_devices(driver: &Driver, context: &Context, copy: &Copy) -> Result<()> {
    peer_copy::other_devices(driver, context, copy).iter().try_for_each(|device| device.queue.drain())
}

fn is_pageable(driver: &Driver, end: &End) -> bool {
    end.place != Place::Device && driver.allocations.memory().find(end.address).is_none()
}

/// Copies in stream order. Pageable host memory is done with when the call returns, as the API promises.
pub(super) fn copy_in_order(copy: Copy, stream: &Stream) -> Result<()> {
    let driver = driver()?;
    let context = stream.owner()?;
    copy.check(&driver.allocations)?;
    let (is_from_pageable, is_to_pageable) = (is_pageable(driver, &copy.from), is_pageable(driver, &copy.to));
    if stream.capture().is_some() {
        return stream.enqueue(Work::Copy(copy));
    }
    if !(is_from_pageable || is_to_pageable) {
        let others = peer_copy::other_devices(driver, &context, &copy);
        if stream.kind == StreamKind::Legacy && !others.is_empty() {
            capture::check_legacy_use(stream)?;
            return peer_copy::submit(&context, copy, &others);
        }
        return stream.enqueue(Work::Copy(copy));
    }
    let bytes = copy.bytes_read()?;
    let is_linear = copy.extent.height == 1 && copy.extent.depth == 1;
    if is_linear && !is_to_pageable && bytes <= MOST_STAGED {
        let staged =
            super::call::pointer_in_structure::<u8>(copy.from.address as usize).many(bytes as usize)?;
        return stream.enqueue(Work::Upload(copy.to.address, staged.into()));
    }
    capture::check_legacy_use(stream)?;
    let ticket = stream.submit(&context, Work::Copy(copy))?;
    context.device.queue.wait(ticket)?;
    context.check()
}

fn copy_async(copy: Copy, stream: usize) -> Result<()> {
    copy_in_order(copy, &*stream_of(stream)?)
}

fn linear(to: u64, to_place: Place, from: u64, from_place: Place, bytes: usize) -> Copy {
    Copy::linear(to, to_place, from, from_place, bytes as u64)
}

/// `CU_MEMORYTYPE_*`: which field of the structure holds the address.
fn address_of(memory_type: u32, host: usize, device: u64) -> Result<(u64, Place)> {
    match memory_type {
        1 => Ok((host as u64, Place::Host)),
        2 => Ok((device, Place::Device)),
        4 => Ok((device, Place::Unified)),
        3 => Err(Error::NotSupported),
        _ => Err(Error::InvalidValue),
    }
}

fn offset(base: u64, parts: [(usize, usize); 3]) -> Result<u64> {
    parts.iter().try_fold(base, |sum, (count, step)| {
        let bytes = (*count as u64).checked_mul(*step as u64);
        bytes.and_then(|bytes| sum.checked_add(bytes)).ok_or(Error::InvalidValue)
    })
}

fn copy_2d(params: In<Copy2D>) -> Result<Copy> {
    let p = params.get()?;
    let end = |(base, place), x, y, pitch: usize| -> Result<End> {
        let pitch = if pitch == 0 { p.width } else { pitch };
        let address = offset(base, [(x, 1), (y, pitch), (0, 0)])?;
        Ok(End { address, place, pitch: pitch as u64, slice: 0 })
    };
    Ok(Copy {
        to: end(address_of(p.to_type, p.to_host, p.to_device)?, p.to_x, p.to_y, p.to_pitch)?,
        from: end(address_of(p.from_type, p.from_host, p.from_device)?, p.from_x, p.from_y, p.from_pitch)?,
        extent: Extent { width: p.width as u64, height: p.height as u64, depth: 1 },
    })
}

/// A copy from the structure of the API.
pub(super) fn from_structure(params: &Copy3D) -> Result<Copy> {
    let end = |end: &End3D| -> Result<End> {
        let (base, place) = address_of(end.memory_type, end.host, end.device)?;
        let pitch = if end.pitch == 0 { params.width } else { end.pitch };
        let rows = if end.height == 0 { params.height } else { end.height };
        let slice = pitch.checked_mul(rows).ok_or(Error::InvalidValue)?;
        let address = offset(base, [(end.x, 1), (end.y, pitch), (end.z, slice)])?;
        Ok(End { address, place, pitch: pitch as u64, slice: slice as u64 })
    };
    let (width, height, depth) = (params.width as u64, params.height as u64, params.depth as u64);
    Ok(Copy { to: end(&params.to)?, from: end(&params.from)?, extent: Extent { width, height, depth } })
}

/// The structure of the API from a copy.
pub(super) fn to_structure(copy: &Copy) -> Copy3D {
    let end = |end: &End| {
        let is_known = end.place != Place::Host
            && driver().is_ok_and(|driver| {
                driver.allocations.find(end.address).is_some_and(|(region, _)| {
                    matches!(region.kind, Kind::Device | Kind::Managed | Kind::Mapped)
                })
            });
        let rows = end.slice.checked_div(end.pitch).unwrap_or_default();
        let (host, device) = if is_known { (0, end.address) } else { (end.address as usize, 0) };
        End3D {
            x: 0,
            y: 0,
            z: 0,
            level: 0,
            memory_type: if is_known { 2 } else { 1 },
            host,
            device,
            array: 0,
            context: 0,
            pitch: end.pitch as usize,
            height: rows as usize,
        }
    };
    let Extent { width, height, depth } = copy.extent;
    Copy3D {
        from: end(&copy.from),
        to: end(&copy.to),
        width: width as usize,
        height: height as usize,
        depth: depth as usize,
    }
}

fn check_context(handle: usize) -> Result<()> {
    driver()?.contexts.find(handle).map(drop).ok_or(Error::InvalidContext)
}

api! {
    table TABLE;

    fn cuMemcpy | cuMemcpy_ptds(to: u64, from: u64, bytes: usize) {
        copy_now(linear(to, Place::Unified, from, Place::Unified, bytes))
    }

    fn cuMemcpyAsync | cuMemcpyAsync_ptsz(to: u64, from: u64, bytes: usize, stream: usize) {
        copy_async(linear(to, Place::Unified, from, Place::Unified, bytes), stream)
    }

    fn cuMemcpyHtoD_v2 | cuMemcpyHtoD_v2_ptds(to: u64, from: Bytes, bytes: usize) {
        copy_now(linear(to, Place::Device, from.address(), Place::Host, bytes))
    }

    fn cuMemcpyDtoH_v2 | cuMemcpyDtoH_v2_ptds(to: Bytes, from: u64, bytes: usize) {
        copy_now(linear(to.address(), Place::Host, from, Place::Device, bytes))
    }

    fn cuMemcpyDtoD_v2 | cuMemcpyDtoD_v2_ptds(to: u64, from: u64, bytes: usize) {
        copy_now(linear(to, Place::Device, from, Place::Device, bytes))
    }

    fn cuMemcpyHtoDAsync_v2 | cuMemcpyHtoDAsync_v2_ptsz(to: u64, from: Bytes, bytes: usize, stream: usize) {
        copy_async(linear(to, Place::Device, from.address(), Place::Host, bytes), stream)
    }

    fn cuMemcpyDtoHAsync_v2 | cuMemcpyDtoHAsync_v2_ptsz(to: Bytes, from: u64, bytes: usize, stream: usize) {
        copy_async(linear(to.address(), Place::Host, from, Place::Device, bytes), stream)
    }

    fn cuMemcpyDtoDAsync_v2 | cuMemcpyDtoDAsync_v2_ptsz(to: u64, from: u64, bytes: usize, stream: usize) {
        copy_async(linear(to, Place::Device, from, Place::Device, bytes), stream)
    }

    fn cuMemcpyPeer | cuMemcpyPeer_ptds(to: u64, to_context: usize, from: u64, from_context: usize, bytes: usize) {
        check_context(to_context)?;
        check_context(from_context)?;
        copy_now(linear(to, Place::Device, from, Place::Device, bytes))
    }

    fn cuMemcpyPeerAsync | cuMemcpyPeerAsync_ptsz(
        to: u64, to_context: usize, from: u64, from_context: usize, bytes: usize, stream: usize,
    ) {
        check_context(to_context)?;
        check_context(from_context)?;
        copy_async(linear(to, Place::Device, from, Place::Device, bytes), stream)
    }

    fn cuMemcpy2D_v2 | cuMemcpy2D_v2_ptds(params: In<Copy2D>) {
        copy_now(copy_2d(params)?)
    }

    fn cuMemcpy2DUnaligned_v2 | cuMemcpy2DUnaligned_v2_ptds(params: In<Copy2D>) {
        copy_now(copy_2d(params)?)
    }

    fn cuMemcpy2DAsync_v2 | cuMemcpy2DAsync_v2_ptsz(params: In<Copy2D>, stream: usize) {
        copy_async(copy_2d(params)?, stream)
    }

    fn cuMemcpy3D_v2 | cuMemcpy3D_v2_ptds(params: In<Copy3D>) {
        copy_now(from_structure(&params.get()?)?)
    }

    fn cuMemcpy3DAsync_v2 | cuMemcpy3DAsync_v2_ptsz(params: In<Copy3D>, stream: usize) {
        copy_async(from_structure(&params.get()?)?, stream)
    }

    fn cuMemcpy3DPeer | cuMemcpy3DPeer_ptds(params: In<Copy3D>) {
        copy_now(from_structure(&params.get()?)?)
    }

    fn cuMemcpy3DPeerAsync | cuMemcpy3DPeerAsync_ptsz(params: In<Copy3D>, stream: usize) {
        copy_async(from_structure(&params.get()?)?, stream)
    }
}

/// The calling thread's context, where a node names none.
pub(super) fn check_node_context(handle: usize) -> Result<()> {
    if handle == 0 { context::current().map(drop) } else { check_context(handle) }
}
