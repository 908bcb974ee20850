//! Events.

use super::call::{Out, stream_of};
use crate::driver::error::{Error, Result};
use crate::driver::{driver, event};

fn record(event: usize, stream: usize, flags: u32) -> Result<()> {
    if flags > 1 {
        return Err(Error::InvalidValue);
    }
    driver()?.events.get(event)?.record(&*stream_of(stream)?, flags == 1)
}

fn elapsed(ms: Out<f32>, start: usize, end: usize) -> Result<()> {
    let events = &driver()?.events;
    ms.put(event::elapsed_ms(&*events.get(start)?, &*events.get(end)?)?)
}

api! {
    table TABLE;

    fn cuEventCreate(out: Out<usize>, flags: u32) {
        out.check()?;
        out.put(event::create(flags)?)
    }

    fn cuEventDestroy(event: usize) {
        driver()?.events.remove(event).map(drop)
    }

    fn cuEventDestroy_v2(event: usize) {
        driver()?.events.remove(event).map(drop)
    }

    fn cuEventRecord | cuEventRecord_ptsz(event: usize, stream: usize) {
        record(event, stream, 0)
    }

    fn cuEventRecordWithFlags | cuEventRecordWithFlags_ptsz(event: usize, stream: usize, flags: u32) {
        record(event, stream, flags)
    }

    fn cuEventQuery(event: usize) {
        driver()?.events.get(event)?.query()
    }

    fn cuEventSynchronize(event: usize) {
        driver()?.events.get(event)?.synchronize()
    }

    fn cuEventElapsedTime(ms: Out<f32>, start: usize, end: usize) {
        elapsed(ms, start, end)
    }

    fn cuEventElapsedTime_v2(ms: Out<f32>, start: usize, end: usize) {
        elapsed(ms, start, end)
    }
}
