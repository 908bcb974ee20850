//! What this machine can do: read bandwidth of memory, and peak of the dot-product loop.

use std::sync::Barrier;

use memmap2::{Advice, MmapOptions};

use super::CpuBackend;
use super::isa::Isa;
use super::peak::Peak;
use super::simd::{Kernel, LANES, Simd};
use crate::ops::error::OpError;

/// Bytes that all threads read in turn; several times the last-level cache that a few cores can have.
const READ_BYTES: usize = 256 << 20;
/// Passes that read all of them: a pass is short (about a millisecond), so that the time ends where it should.
const READ_SLICES: usize = 8;
/// Times that a pass repeats the peak's product: some milliseconds.
const PEAK_REPEATS: usize = 1000;

/// What the machine can do with some number of threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bytes read from memory per second.
    pub read_bytes_per_s: f64,
    /// bf16 multiplications and additions per second.
    pub flops_per_s: f64,
}

/// What `num_threads` threads sustain together, each on its own, as the ranks of a run are: each limit in about half of
/// `budget_s` seconds (at least one pass). Other programs take from these threads what they would take from as many
/// ranks, so a run's efficiency against these limits depends little on how busy the machine is. (The best of many
/// short passes, tried first, finds the quiet moments of a busy machine: the same run was then rated 0.61 on a
/// quiet one and 0.19 at a load of nine.) `now_s` is a monotonic clock in seconds.
///
/// # Errors
/// The instruction set that `GOLDLAP_ISA` names is unknown or unavailable, or the system refuses a thread.
pub fn measure_limits(
    num_threads: usize,
    budget_s: f64,
    now_s: &(dyn Fn() -> f64 + Sync),
) -> Result<Limits, OpError> {
    let isa = Isa::from_environment().map_err(|error| OpError::new("limits", error.to_string()))?;
    let backend = CpuBackend::new(isa, 1)?;
    let sustained = Sustained { num_threads: num_threads.max(1), budget_s: budget_s / 2.0, now_s };
    Ok(Limits {
        read_bytes_per_s: measure_read(&backend, &sustained)?,
        flops_per_s: measure_peak(&backend, &sustained)?,
    })
}

/// Threads that repeat a pass until their time is up.
struct Sustained<'a> {
    num_threads: usize,
    budget_s: f64,
    now_s: &'a (dyn Fn() -> f64 + Sync),
}

impl Sustained<'_> {
    /// Work per second of all threads; a pass does `work`. Every thread warms up with a pass that does not count.
    fn rate<P: FnMut() + Send>(&self, work: f64, passes: Vec<P>) -> Result<f64, OpError> {
        let start = Barrier::new(passes.len());
        let refused =
            |error: std::io::Error| OpError::new("limits", format!("cannot start a thread: {error}"));
        std::thread::scope(|scope| {
            let threads = passes.into_iter().map(|mut pass| {
                let start = &start;
                std::thread::Builder::new().spawn_scoped(scope, move || {
                    pass();
                    start.wait();
                    self.thread_rate(work, pass)
                })
            });
            let threads: Vec<_> = threads.collect::<Result<_, _>>().map_err(refused)?;
            // A pass cannot panic; if one did, its thread did no work.
            Ok(threads.into_iter().map(|thread| thread.join().unwrap_or(0.0)).sum())
        })
    }

    fn thread_rate(&self, work: f64, mut pass: impl FnMut()) -> f64 {
        let began_s = (self.now_s)();
        let mut done = 0.0;
        loop {
            pass();
            done += work;
            let elapsed_s = (self.now_s)() - began_s;
            if elapsed_s >= self.budget_s {
                return done / elapsed_s.max(1e-9);
            }
        }
    }
}

fn measure_read(backend: &CpuBackend, sustained: &Sustained<'_>) -> Result<f64, OpError> {
    let slice = READ_BYTES / 4 / sustained.num_threads / READ_SLICES / LANES / UNROLL * LANES * UNROLL;
    let path = backend.path;
    let refused = |error: std::io::Error| OpError::new("limits", format!("cannot map memory: {error}"));
    let passes = (0..sustained.num_threads).map(|_| {
        let mut memory = MmapOptions::new().len(slice * READ_SLICES * 4).map_anon().map_err(refused)?;
        // A system without huge pages reads as fast as it can without them.
        let _ = memory.advise(Advice::HugePage);
        // Zero pages may all be the same page until they are written.
        bytemuck::cast_slice_mut(&mut memory).fill(1f32);
        let mut pass = 0;
        Ok(move || {
            let start = pass % READ_SLICES * slice;
            pass += 1;
            std::hint::black_box(path.run(ReadAll(&bytemuck::cast_slice(&memory)[start..start + slice])));
        })
    });
    sustained.rate((slice * 4) as f64, passes.collect::<Result<_, _>>()?)
}

/// Vectors in flight.
const UNROLL: usize = 8;

/// Sums a buffer, to have read it.
struct ReadAll<'a>(&'a [f32]);

impl Kernel for ReadAll<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut sums = [s.splat(0.0); UNROLL];
        for lines in self.0.as_chunks::<LANES>().0.as_chunks::<UNROLL>().0 {
            s.prefetch(lines.as_ptr().wrapping_add(4 * UNROLL).cast());
            for (sum, line) in sums.iter_mut().zip(lines) {
                *sum = s.add(*sum, s.load(line));
            }
        }
        let mut total = sums[0];
        for sum in &sums[1..] {
            total = s.add(total, *sum);
        }
        s.sum_lanes(total)
    }
}

fn measure_peak(backend: &CpuBackend, sustained: &Sustained<'_>) -> Result<f64, OpError> {
    let path = backend.path;
    let passes = (0..sustained.num_threads).map(|_| {
        move || {
            std::hint::black_box(path.run(Peak { repeats: PEAK_REPEATS }));
        }
    });
    sustained.rate((PEAK_REPEATS * Peak::FLOPS) as f64, passes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn limits_are_positive_and_the_budget_is_kept() {
        // A clock that advances by a tenth of a second whenever it is read.
        let ticks = AtomicU32::new(0);
        let clock = || f64::from(ticks.fetch_add(1, Ordering::Relaxed)) / 10.0;
        let limits = measure_limits(2, 1.0, &clock).unwrap();
        assert!(limits.read_bytes_per_s > 0.0 && limits.flops_per_s > 0.0);
        assert!(clock() < 5.0, "{}", clock());
    }
}
