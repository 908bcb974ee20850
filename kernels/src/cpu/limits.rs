//! What this machine could do at best: read bandwidth of memory, and peak of the dot-product loop.

use super::CpuBackend;
use super::buffer::Aligned;
use super::dot::{Dot, MAX_TILES, Segment, dot};
use super::isa::Isa;
use super::simd::{Kernel, LANES, Simd, sum_lanes};
use crate::ops::error::OpError;

/// Bytes that all threads read in turn; several times the last-level cache that a few cores can have.
const READ_BYTES: usize = 256 << 20;
/// Passes that read all of them: a pass is short (about a millisecond), so that some passes are not interrupted.
const READ_SLICES: usize = 8;
/// Rows of the peak's operands: a multiple of every path's register block.
const PEAK_ROWS: usize = 12;
/// Pairs of the peak's operands: tiles and rows stay in the first-level cache.
const PEAK_PAIRS: usize = 96;
/// Times that a peak pass repeats the product.
const PEAK_REPEATS: usize = 1000;

/// What the machine can do with some number of threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bytes read from memory per second.
    pub read_bytes_per_s: f64,
    /// bf16 multiplications and additions per second.
    pub flops_per_s: f64,
}

/// Measures both limits with `num_threads` threads, each in about half of `budget_s` seconds (at least one pass each), and
/// returns the best passes: other programs can only make a pass slower. `now_s` is a monotonic clock in seconds.
///
/// # Errors
/// The instruction set that `GOLDLAP_ISA` names is unknown or unavailable, or the system refuses a thread.
pub fn measure_limits(num_threads: usize, budget_s: f64, now_s: &dyn Fn() -> f64) -> Result<Limits, OpError> {
    let isa = Isa::from_environment().map_err(|error| OpError::new("limits", error.to_string()))?;
    let backend = CpuBackend::new(isa, num_threads)?;
    let threads = backend.pool.threads();
    let deadline = now_s() + budget_s / 2.0;
    let read_bytes_per_s = measure_read(&backend, threads, deadline, now_s);
    let deadline = now_s() + budget_s / 2.0;
    let flops_per_s = measure_peak(&backend, threads, deadline, now_s);
    Ok(Limits { read_bytes_per_s, flops_per_s })
}

/// Best rate of `pass`, which does `work`, until the deadline; the first pass warms up and counts only if it is the only one.
pub(crate) fn best_rate(work: f64, deadline: f64, now_s: &dyn Fn() -> f64, mut pass: impl FnMut()) -> f64 {
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

fn measure_read(backend: &CpuBackend, threads: usize, deadline: f64, now_s: &dyn Fn() -> f64) -> f64 {
    let slice = READ_BYTES / 4 / threads / READ_SLICES / LANES / UNROLL * LANES * UNROLL;
    let per_thread = slice * READ_SLICES;
    let mut parts: Vec<Aligned<f32>> = (0..threads).map(|_| Aligned::zeroed(per_thread)).collect();
    // Zero pages may all be the same page until they are written.
    parts.iter_mut().for_each(|part| part.fill(1.0));
    let mut pass = 0;
    best_rate((slice * 4 * threads) as f64, deadline, now_s, || {
        let start = pass % READ_SLICES * slice;
        pass += 1;
        backend.pool.run(threads, |_, part| {
            std::hint::black_box(backend.path.run(ReadAll(&parts[part][start..start + slice])));
        });
    })
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
        sums.into_iter().map(|sum| sum_lanes(s.to_array(sum))).sum()
    }
}

fn measure_peak(backend: &CpuBackend, threads: usize, deadline: f64, now_s: &dyn Fn() -> f64) -> f64 {
    let multiply_adds = PEAK_REPEATS * PEAK_ROWS * PEAK_PAIRS * 2 * MAX_TILES * LANES * threads;
    best_rate(2.0 * multiply_adds as f64, deadline, now_s, || {
        backend.pool.run(threads, |_, _| {
            std::hint::black_box(backend.path.run(Peak));
        });
    })
}

/// Multiplies operands that stay in the first-level cache.
struct Peak;

impl Kernel for Peak {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        // 1.0 and 0.0 in each pair.
        let rows = Aligned::<u32>::from_slice(&[0x3f80; PEAK_ROWS * PEAK_PAIRS]);
        let tiles = Aligned::<u32>::from_slice(&[0x3f80; MAX_TILES * PEAK_PAIRS * LANES]);
        let mut out = Aligned::<f32>::zeroed(PEAK_ROWS * MAX_TILES * LANES);
        let segment = Segment {
            tiles: std::array::from_fn(|t| tiles[t * PEAK_PAIRS * LANES..].as_ptr()),
            pairs: PEAK_PAIRS,
        };
        for _ in 0..PEAK_REPEATS {
            let d = Dot {
                rows: std::hint::black_box(rows.as_ptr()),
                row_stride: PEAK_PAIRS,
                num_rows: PEAK_ROWS,
                segments: &[segment],
                num_tiles: MAX_TILES,
                pair_stride: LANES,
                out: out.as_mut_ptr(),
                out_stride: MAX_TILES * LANES,
            };
            // SAFETY: the three buffers have just these extents.
            unsafe { dot(s, d) }
        }
        out[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn limits_are_positive_and_the_budget_is_kept() {
        // A clock that advances by a tenth of a second whenever it is read.
        let time = Cell::new(0.0);
        let clock = || {
            time.set(time.get() + 0.1);
            time.get()
        };
        let limits = measure_limits(2, 1.0, &clock).unwrap();
        assert!(limits.read_bytes_per_s > 0.0 && limits.flops_per_s > 0.0);
        assert!(time.get() < 3.0, "{}", time.get());
    }
}
