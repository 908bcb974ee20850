//! The machine's own limits, measured once per process.

use std::sync::OnceLock;
use std::thread;

use goldlap_kernels::cpu::limits::measure_limits;

use crate::metrics::{Clock, MachineLimits};

/// Time for both measurements together.
const BUDGET_S: f64 = 1.0;

/// Read bandwidth and peak of the matmul inner loop over all cores. Measured while no rank runs: cases never overlap.
pub(super) fn machine_limits() -> Result<MachineLimits, String> {
    static LIMITS: OnceLock<Result<MachineLimits, String>> = OnceLock::new();
    LIMITS.get_or_init(measure).clone()
}

fn measure() -> Result<MachineLimits, String> {
    let num_threads = num_cores();
    let clock = Clock::start();
    let limits =
        measure_limits(num_threads, BUDGET_S, &|| clock.now_s()).map_err(|error| error.to_string())?;
    Ok(MachineLimits {
        read_bytes_per_second: limits.read_bytes_per_s,
        flops_per_second: limits.flops_per_s,
        num_threads,
    })
}

/// Cores this process may use.
pub fn num_cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
