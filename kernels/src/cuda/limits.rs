//! What a device could do at best: read bandwidth of its memory, and peak of its tensor cores, measured with the backend's own
//! kind of instructions (so that on the virtual device they are the virtual machine's limits).

use std::sync::Arc;

use super::device::Device;
use super::launch::LaunchBuilder;
use super::registry::Kernel;
use super::tape::Tape;
use crate::cpu::limits::Limits;
use crate::ops::error::OpError;

/// Bytes that are read: several times the second-level cache of any GPU.
const READ_BYTES: usize = 512 << 20;
/// Blocks of the read: enough for any GPU, each with a long way to go.
const READ_BLOCKS: usize = 2048;
/// Blocks and steps of the peak; a step of a warp is eight products of 16 x 8 x 16.
const PEAK_BLOCKS: usize = 528;
const PEAK_STEPS: u32 = 64;
const PEAK_FLOPS: f64 = PEAK_BLOCKS as f64 * 8.0 * PEAK_STEPS as f64 * 8.0 * 4096.0;
/// A pass should be long against the time of a launch.
const LONG_S: f64 = 0.005;
const MAX_REPEATS: f64 = 2000.0;

/// Measures both limits, each in about half of `budget_s` seconds (at least one pass each), and returns the best passes: other
/// programs can only make a pass slower. `now_s` is a monotonic clock in seconds.
///
/// # Errors
/// The device has no room, or a kernel cannot be run.
pub fn measure_limits<D: Device>(
    device: &mut D,
    budget_s: f64,
    now_s: &dyn Fn() -> f64,
) -> Result<Limits, OpError> {
    let sink = Arc::new(device.allocate(256)?);
    let data = Arc::new(device.allocate(READ_BYTES)?);
    let read = |bytes: usize, blocks: usize| {
        LaunchBuilder::new(Kernel::ReadAll)
            .pointer(D::address(&data))
            .pointer(D::address(&sink))
            .word((bytes / 16) as u32)
            .grid(blocks, 1)
    };
    let peak = |steps: u32, blocks: usize| {
        LaunchBuilder::new(Kernel::MultiplyAll).pointer(D::address(&sink)).word(steps).grid(blocks, 1)
    };
    let mut rate = |small, launch, work: f64| -> Result<f64, OpError> {
        let mut failure = None;
        let mut pass = |launch, repeats: usize| {
            let mut tape = Tape::new();
            (0..repeats).for_each(|_| tape.push(launch, [&data, &sink]));
            let outcome = tape.run(device).and_then(|()| device.synchronize());
            failure = failure.take().or(outcome.err());
        };
        // The small launch loads the module; the next pass says how long one launch takes.
        pass(small, 1);
        let start = now_s();
        pass(launch, 1);
        let one_s = (now_s() - start).max(1e-9);
        let best = if one_s > budget_s / 2.0 {
            // A virtual device: that was the budget.
            work / one_s
        } else {
            let repeats = (LONG_S / one_s).clamp(1.0, MAX_REPEATS) as usize;
            let deadline = now_s() + budget_s / 2.0;
            best_rate(work * repeats as f64, deadline, now_s, || pass(launch, repeats))
        };
        failure.map_or(Ok(best), Err)
    };
    Ok(Limits {
        read_bytes_per_s: rate(read(16, 1)?, read(READ_BYTES, READ_BLOCKS)?, READ_BYTES as f64)?,
        flops_per_s: rate(peak(1, 1)?, peak(PEAK_STEPS, PEAK_BLOCKS)?, PEAK_FLOPS)?,
    })
}

/// Best rate of `pass`, which does `work`, until the deadline; the first pass warms up and counts only if it is the only one.
fn best_rate(work: f64, deadline: f64, now_s: &dyn Fn() -> f64, mut pass: impl FnMut()) -> f64 {
    let mut rate = || {
        let start = now_s();
        pass();
        work / (now_s() - start).max(1e-9)
    };
    let first = rate();
    let mut best = None;
    while now_s() < deadline {
        best = Some(rate().max(best.unwrap_or(0.0)));
    }
    best.unwrap_or(first)
}
