//! Advice on managed memory: accepted, and without effect, because host and device share all memory here.

use super::call::{AnyOut, In, out_pointer_in_structure, stream_of};
use super::layout::Location;
use crate::driver::driver;
use crate::driver::error::{Error, Result};
use crate::driver::work::Work;
use crate::memory::Kind;

/// `CU_DEVICE_INVALID`
const NO_DEVICE: i32 = -2;

fn check_managed(address: u64, bytes: usize) -> Result<()> {
    let allocations = &driver()?.allocations;
    let (region, _) = allocations.find(address).ok_or(Error::InvalidValue)?;
    allocations.memory().check(address, bytes as u64)?;
    if region.kind == Kind::Managed { Ok(()) } else { Err(Error::InvalidValue) }
}

fn advise(address: u64, bytes: usize, advice: u32) -> Result<()> {
    check_managed(address, bytes)?;
    if (1..=6).contains(&advice) { Ok(()) } else { Err(Error::InvalidValue) }
}

fn write_range_attribute(out: AnyOut, room: usize, attribute: u32) -> Result<()> {
    const READ_MOSTLY: u32 = 1;
    let count = room / size_of::<i32>();
    let value = match attribute {
        READ_MOSTLY => 0,
        2..=4 => NO_DEVICE,
        _ => return Err(Error::NotSupported),
    };
    let out = out.as_element::<i32>();
    out.check()?;
    out.put_many(std::iter::repeat_n(value, count), count);
    Ok(())
}

api! {
    table TABLE;

    fn cuMemAdvise(address: u64, bytes: usize, advice: u32, _device: i32) {
        advise(address, bytes, advice)
    }

    fn cuMemAdvise_v2(address: u64, bytes: usize, advice: u32, _location: Location) {
        advise(address, bytes, advice)
    }

    fn cuMemPrefetchAsync | cuMemPrefetchAsync_ptsz(address: u64, bytes: usize, _device: i32, stream: usize) {
        check_managed(address, bytes)?;
        stream_of(stream)?.enqueue(Work::Empty)
    }

    fn cuMemPrefetchAsync_v2 | cuMemPrefetchAsync_v2_ptsz(
        address: u64, bytes: usize, _location: Location, flags: u32, stream: usize,
    ) {
        check_managed(address, bytes)?;
        if flags != 0 {
            return Err(Error::InvalidValue);
        }
        stream_of(stream)?.enqueue(Work::Empty)
    }

    fn cuMemRangeGetAttribute(data: AnyOut, room: usize, attribute: u32, address: u64, bytes: usize) {
        check_managed(address, bytes)?;
        write_range_attribute(data, room, attribute)
    }

    fn cuMemRangeGetAttributes(
        data: In<usize>, rooms: In<usize>, attributes: In<u32>, count: usize, address: u64, bytes: usize,
    ) {
        check_managed(address, bytes)?;
        let places = data.many(count)?.into_iter().zip(rooms.many(count)?);
        for ((place, room), attribute) in places.zip(attributes.many(count)?) {
            write_range_attribute(out_pointer_in_structure(place), room, attribute)?;
        }
        Ok(())
    }

    fn cuStreamAttachMemAsync | cuStreamAttachMemAsync_ptsz(
        stream: usize, address: u64, _bytes: usize, _flags: u32,
    ) {
        driver()?.allocations.find(address).ok_or(Error::InvalidValue)?;
        stream_of(stream)?.enqueue(Work::Empty)
    }
}
