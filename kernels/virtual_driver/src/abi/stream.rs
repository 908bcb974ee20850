//! Streams.

use super::call::{Out, stream_of};
use crate::driver::driver;
use crate::driver::error::{Error, Result};
use crate::driver::stream;

const ATTRIBUTES: std::ops::RangeInclusive<u32> = 1..=15;

fn check_attribute(stream: usize, attribute: u32) -> Result<()> {
    stream_of(stream)?;
    if ATTRIBUTES.contains(&attribute) { Ok(()) } else { Err(Error::InvalidValue) }
}

api! {
    table TABLE;

    fn cuStreamCreate(out: Out<usize>, flags: u32) {
        out.check()?;
        out.put(stream::create(flags, 0)?)
    }

    fn cuStreamCreateWithPriority(out: Out<usize>, flags: u32, priority: i32) {
        out.check()?;
        out.put(stream::create(flags, priority)?)
    }

    fn cuStreamDestroy(stream: usize) {
        stream::destroy(stream)
    }

    fn cuStreamDestroy_v2(stream: usize) {
        stream::destroy(stream)
    }

    fn cuStreamSynchronize | cuStreamSynchronize_ptsz(stream: usize) {
        stream_of(stream)?.synchronize()
    }

    fn cuStreamQuery | cuStreamQuery_ptsz(stream: usize) {
        stream_of(stream)?.query()
    }

    fn cuStreamWaitEvent | cuStreamWaitEvent_ptsz(stream: usize, event: usize, flags: u32) {
        if flags > 1 {
            return Err(Error::InvalidValue);
        }
        driver()?.events.get(event)?.hold(&*stream_of(stream)?, flags == 1)
    }

    fn cuStreamGetPriority | cuStreamGetPriority_ptsz(stream: usize, priority: Out<i32>) {
        priority.put(stream_of(stream)?.priority)
    }

    fn cuStreamGetFlags | cuStreamGetFlags_ptsz(stream: usize, flags: Out<u32>) {
        flags.put(stream_of(stream)?.flags)
    }

    fn cuStreamGetId | cuStreamGetId_ptsz(stream: usize, id: Out<u64>) {
        id.put(stream_of(stream)?.handle as u64)
    }

    fn cuStreamGetCtx | cuStreamGetCtx_ptsz(stream: usize, context: Out<usize>) {
        context.put(stream_of(stream)?.context)
    }

    fn cuStreamGetCtx_v2 | cuStreamGetCtx_v2_ptsz(stream: usize, context: Out<usize>, green: Out<usize>) {
        green.put_if_wanted(0);
        context.put(stream_of(stream)?.context)
    }

    fn cuStreamGetDevice | cuStreamGetDevice_ptsz(stream: usize, device: Out<i32>) {
        device.put(stream_of(stream)?.owner()?.device.ordinal as i32)
    }

    fn cuStreamCopyAttributes | cuStreamCopyAttributes_ptsz(to: usize, from: usize) {
        stream_of(to)?;
        stream_of(from).map(drop)
    }

    fn cuStreamGetAttribute | cuStreamGetAttribute_ptsz(stream: usize, attribute: u32, value: Out<[u64; 8]>) {
        const PRIORITY: u32 = 8;
        check_attribute(stream, attribute)?;
        let first = if attribute == PRIORITY { stream_of(stream)?.priority as u32 } else { 0 };
        value.put([u64::from(first), 0, 0, 0, 0, 0, 0, 0])
    }

    fn cuStreamSetAttribute | cuStreamSetAttribute_ptsz(stream: usize, attribute: u32, _value: Out<[u64; 8]>) {
        check_attribute(stream, attribute)
    }
}
