//! Fills.

use super::call::stream_of;
use super::memory_copies::refuse_while_capturing;
use crate::driver::copying::Fill;
use crate::driver::driver;
use crate::driver::error::Result;
use crate::driver::work::Work;

/// Fills before the call returns.
fn fill_now(fill: Fill) -> Result<()> {
    let stream = stream_of(0)?;
    let context = stream.owner()?;
    refuse_while_capturing(&stream)?;
    let allocations = &driver()?.allocations;
    fill.check(allocations)?;
    context.device.queue.run_here(|| fill.run(allocations))??;
    context.check()
}

fn fill_async(fill: Fill, stream: usize) -> Result<()> {
    let stream = stream_of(stream)?;
    fill.check(&driver()?.allocations)?;
    stream.enqueue(Work::Fill(fill))
}

fn row(address: u64, value: u32, element: u32, width: usize) -> Fill {
    Fill { address, pitch: 0, value, element, width: width as u64, height: 1 }
}

fn rows(address: u64, pitch: usize, value: u32, element: u32, width: usize, height: usize) -> Fill {
    Fill { address, pitch: pitch as u64, value, element, width: width as u64, height: height as u64 }
}

api! {
    table TABLE;

    fn cuMemsetD8_v2 | cuMemsetD8_v2_ptds(address: u64, value: u8, count: usize) {
        fill_now(row(address, u32::from(value), 1, count))
    }

    fn cuMemsetD16_v2 | cuMemsetD16_v2_ptds(address: u64, value: u16, count: usize) {
        fill_now(row(address, u32::from(value), 2, count))
    }

    fn cuMemsetD32_v2 | cuMemsetD32_v2_ptds(address: u64, value: u32, count: usize) {
        fill_now(row(address, value, 4, count))
    }

    fn cuMemsetD2D8_v2 | cuMemsetD2D8_v2_ptds(address: u64, pitch: usize, value: u8, width: usize, height: usize) {
        fill_now(rows(address, pitch, u32::from(value), 1, width, height))
    }

    fn cuMemsetD2D16_v2 | cuMemsetD2D16_v2_ptds(
        address: u64, pitch: usize, value: u16, width: usize, height: usize,
    ) {
        fill_now(rows(address, pitch, u32::from(value), 2, width, height))
    }

    fn cuMemsetD2D32_v2 | cuMemsetD2D32_v2_ptds(
        address: u64, pitch: usize, value: u32, width: usize, height: usize,
    ) {
        fill_now(rows(address, pitch, value, 4, width, height))
    }

    fn cuMemsetD8Async | cuMemsetD8Async_ptsz(address: u64, value: u8, count: usize, stream: usize) {
        fill_async(row(address, u32::from(value), 1, count), stream)
    }

    fn cuMemsetD16Async | cuMemsetD16Async_ptsz(address: u64, value: u16, count: usize, stream: usize) {
        fill_async(row(address, u32::from(value), 2, count), stream)
    }

    fn cuMemsetD32Async | cuMemsetD32Async_ptsz(address: u64, value: u32, count: usize, stream: usize) {
        fill_async(row(address, value, 4, count), stream)
    }

    fn cuMemsetD2D8Async | cuMemsetD2D8Async_ptsz(
        address: u64, pitch: usize, value: u8, width: usize, height: usize, stream: usize,
    ) {
        fill_async(rows(address, pitch, u32::from(value), 1, width, height), stream)
    }

    fn cuMemsetD2D16Async | cuMemsetD2D16Async_ptsz(
        address: u64, pitch: usize, value: u16, width: usize, height: usize, stream: usize,
    ) {
        fill_async(rows(address, pitch, u32::from(value), 2, width, height), stream)
    }

    fn cuMemsetD2D32Async | cuMemsetD2D32Async_ptsz(
        address: u64, pitch: usize, value: u32, width: usize, height: usize, stream: usize,
    ) {
        fill_async(rows(address, pitch, value, 4, width, height), stream)
    }
}
