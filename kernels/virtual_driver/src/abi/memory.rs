//! Memory: device, host, managed and registered, and what can be asked about pointers.

use std::sync::Arc;

use super::call::{AnyOut, Bytes, In, Out, out_pointer_in_structure, stream_of};
use crate::driver::context::{self, Context};
use crate::driver::error::{Error, Result};
use crate::driver::pointer::{self, PointerValue};
use crate::driver::work::Work;
use crate::driver::{Driver, capture, driver};
use crate::memory::Kind;

/// Bytes to which rows of a pitched allocation are rounded.
const PITCH: usize = 512;

fn begin() -> Result<(&'static Driver, Arc<Context>)> {
    let found = (driver()?, context::current()?);
    capture::check_unsafe_call()?;
    Ok(found)
}

fn allocate(bytes: usize, kind: Kind, flags: u32) -> Result<u64> {
    let (driver, context) = begin()?;
    driver.allocations.allocate(&context, bytes as u64, kind, flags, None)
}

/// Frees at once, after everything that may still use the memory.
fn free(address: u64, kinds: &[Kind]) -> Result<()> {
    if address == 0 {
        return Ok(());
    }
    let (driver, _) = begin()?;
    let found = driver.allocations.starting_at(address, kinds);
    let (_, owner) = found.inspect_err(|_| driver.ledger.refused_free(address))?;
    for device in &driver.devices {
        if kinds.contains(&Kind::Host) || device.ordinal == owner.device {
            device.queue.drain()?;
        }
    }
    driver.allocations.free(address)
}

fn write_value(out: AnyOut, value: PointerValue) -> Result<()> {
    match value {
        PointerValue::Long(value) => out.as_element().put(value),
        PointerValue::Word(value) => out.as_element().put(value),
        PointerValue::Byte(value) => out.as_element().put(value),
        PointerValue::Pair(first, second) => out.as_element().put([first, second]),
    }
}

api! {
    table TABLE;

    fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) {
        let device = context::current()?.device.ordinal;
        let (left, all) = driver()?.allocations.free_and_total(device);
        free.put_if_wanted(left as usize);
        total.put_if_wanted(all as usize);
        Ok(())
    }

    fn cuMemAlloc_v2(address: Out<u64>, bytes: usize) {
        address.check()?;
        address.put(allocate(bytes, Kind::Device, 0)?)
    }

    fn cuMemAllocPitch_v2(address: Out<u64>, pitch: Out<usize>, width: usize, height: usize, element: u32) {
        address.check()?;
        if !matches!(element, 4 | 8 | 16) {
            return Err(Error::InvalidValue);
        }
        let row = width.checked_next_multiple_of(PITCH).ok_or(Error::InvalidValue)?;
        let bytes = row.checked_mul(height).ok_or(Error::InvalidValue)?;
        address.put(allocate(bytes, Kind::Device, 0)?)?;
        pitch.put(row)
    }

    fn cuMemFree_v2(address: u64) {
        free(address, &[Kind::Device, Kind::Managed])
    }

    fn cuMemGetAddressRange_v2(base: Out<u64>, bytes: Out<usize>, address: u64) {
        context::current()?;
        let (region, _) = driver()?.allocations.find(address).ok_or(Error::NotFound)?;
        base.put_if_wanted(region.start);
        bytes.put_if_wanted(region.bytes as usize);
        Ok(())
    }

    fn cuMemAllocHost_v2(pointer: Out<u64>, bytes: usize) {
        pointer.check()?;
        pointer.put(allocate(bytes, Kind::Host, 0)?)
    }

    fn cuMemHostAlloc(pointer: Out<u64>, bytes: usize, flags: u32) {
        pointer.check()?;
        if flags > 7 {
            return Err(Error::InvalidValue);
        }
        pointer.put(allocate(bytes, Kind::Host, flags)?)
    }

    fn cuMemFreeHost(pointer: u64) {
        free(pointer, &[Kind::Host])
    }

    fn cuMemHostGetDevicePointer_v2(address: Out<u64>, pointer: u64, flags: u32) {
        context::current()?;
        let found = driver()?.allocations.find(pointer).filter(|_| flags == 0).ok_or(Error::InvalidValue)?;
        if !matches!(found.0.kind, Kind::Host | Kind::Registered) {
            return Err(Error::InvalidValue);
        }
        address.put(pointer)
    }

    fn cuMemHostGetFlags(flags: Out<u32>, pointer: u64) {
        context::current()?;
        let (region, owner) = driver()?.allocations.find(pointer).ok_or(Error::InvalidValue)?;
        if !matches!(region.kind, Kind::Host | Kind::Registered) {
            return Err(Error::InvalidValue);
        }
        flags.put(owner.flags)
    }

    fn cuMemHostRegister_v2(pointer: Bytes, bytes: usize, flags: u32) {
        let (driver, context) = begin()?;
        if pointer.is_null() || bytes == 0 || flags > 0xF {
            return Err(Error::InvalidValue);
        }
        // SAFETY: the API obliges the program to keep registered memory valid until it unregisters it.
        unsafe { driver.allocations.register(&context, pointer.address(), bytes as u64, flags) }
    }

    fn cuMemHostUnregister(pointer: u64) {
        let (driver, _) = begin()?;
        for device in &driver.devices {
            device.queue.drain()?;
        }
        driver.allocations.unregister(pointer)
    }

    fn cuMemAllocManaged(address: Out<u64>, bytes: usize, flags: u32) {
        address.check()?;
        if !matches!(flags, 1 | 2) {
            return Err(Error::InvalidValue);
        }
        address.put(allocate(bytes, Kind::Managed, 0)?)
    }

    fn cuMemAllocAsync | cuMemAllocAsync_ptsz(address: Out<u64>, bytes: usize, stream: usize) {
        let stream = stream_of(stream)?;
        let pool = super::pool::current(&stream.owner()?.device);
        super::pool::allocate(address, bytes, pool, &stream)
    }

    fn cuMemAllocFromPoolAsync | cuMemAllocFromPoolAsync_ptsz(
        address: Out<u64>, bytes: usize, pool: usize, stream: usize,
    ) {
        super::pool::allocate(address, bytes, driver()?.pools.get(pool)?, &*stream_of(stream)?)
    }

    fn cuMemFreeAsync | cuMemFreeAsync_ptsz(address: u64, stream: usize) {
        let (driver, stream) = (driver()?, stream_of(stream)?);
        let found = driver.allocations.starting_at(address, &[Kind::Device, Kind::Managed]);
        found.inspect_err(|_| driver.ledger.refused_free(address))?;
        if stream.capture().is_some() {
            return stream.enqueue(Work::Free(address));
        }
        driver.allocations.mark_leaving(address);
        stream.enqueue(Work::Free(address)).inspect_err(|_| driver.allocations.mark_staying(address))
    }

    fn cuPointerGetAttribute(data: AnyOut, attribute: u32, address: u64) {
        write_value(data, pointer::attribute(&driver()?.allocations, attribute, address)?)
    }

    fn cuPointerGetAttributes(count: u32, attributes: In<u32>, data: In<usize>, address: u64) {
        let allocations = &driver()?.allocations;
        let count = count as usize;
        for (attribute, place) in attributes.many(count)?.into_iter().zip(data.many(count)?) {
            let value = pointer::attribute(allocations, attribute, address);
            write_value(out_pointer_in_structure(place), value.or_else(|_| pointer::unknown(attribute))?)?;
        }
        Ok(())
    }

    fn cuPointerSetAttribute(_value: Bytes, attribute: u32, address: u64) {
        const SYNC_MEMOPS: u32 = 6;
        driver()?.allocations.find(address).ok_or(Error::InvalidValue)?;
        if attribute == SYNC_MEMOPS { Ok(()) } else { Err(Error::InvalidValue) }
    }
}
