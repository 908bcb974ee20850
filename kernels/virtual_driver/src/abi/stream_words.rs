//! Words in memory that a stream writes or waits for.

use super::call::{In, stream_of};
use crate::driver::driver;
use crate::driver::error::{Error, Result};
use crate::driver::memory_word::{Comparison, WaitWord, WriteWord, check};
use crate::driver::work::Work;

fn write(stream: usize, address: u64, value: u64, is_wide: bool) -> Result<()> {
    check(&driver()?.allocations, address, is_wide)?;
    stream_of(stream)?.enqueue(Work::WriteWord(WriteWord { address, value, is_wide }))
}

fn wait(stream: usize, address: u64, value: u64, flags: u32, is_wide: bool) -> Result<()> {
    check(&driver()?.allocations, address, is_wide)?;
    let comparison = Comparison::from_flags(flags);
    stream_of(stream)?.enqueue(Work::WaitWord(WaitWord { address, value, comparison, is_wide }))
}

/// `CUstreamBatchMemOpParams`: operation, address, value, flags, alias.
type Operation = [u64; 6];

fn batch(stream: usize, operations: &[Operation]) -> Result<()> {
    for [operation, address, value, flags, ..] in operations {
        match *operation as u32 {
            1 => wait(stream, *address, u64::from(*value as u32), *flags as u32, false)?,
            2 => write(stream, *address, u64::from(*value as u32), false)?,
            3 | 6 => {}
            4 => wait(stream, *address, *value, *flags as u32, true)?,
            5 => write(stream, *address, *value, true)?,
            _ => return Err(Error::InvalidValue),
        }
    }
    Ok(())
}

api! {
    table TABLE;

    fn cuStreamWriteValue32_v2 | cuStreamWriteValue32_v2_ptsz(stream: usize, address: u64, value: u32, _flags: u32) {
        write(stream, address, u64::from(value), false)
    }

    fn cuStreamWriteValue64_v2 | cuStreamWriteValue64_v2_ptsz(stream: usize, address: u64, value: u64, _flags: u32) {
        write(stream, address, value, true)
    }

    fn cuStreamWaitValue32_v2 | cuStreamWaitValue32_v2_ptsz(stream: usize, address: u64, value: u32, flags: u32) {
        wait(stream, address, u64::from(value), flags, false)
    }

    fn cuStreamWaitValue64_v2 | cuStreamWaitValue64_v2_ptsz(stream: usize, address: u64, value: u64, flags: u32) {
        wait(stream, address, value, flags, true)
    }

    fn cuStreamBatchMemOp_v2 | cuStreamBatchMemOp_v2_ptsz(
        stream: usize, count: u32, operations: In<Operation>, _flags: u32,
    ) {
        batch(stream, &operations.many(count as usize)?)
    }
}
