//! What a CUDA device can do at best. For cases it is measured in a process of its own: the virtual driver serves only processes
//! that were started on it, and a real device's memory is free again when the process has ended.

use std::io::{self, Write};
use std::process::ExitCode;

use goldlap_kernels::cuda::driver::Driver;
use goldlap_kernels::cuda::limits::measure_limits;

use super::cuda::find_device;
use super::rank::die_with_parent;
use crate::metrics::{Clock, MachineLimits};
use crate::plan::Platform;
use crate::topology::RankSpec;

/// Time for bandwidth and peak together.
const BUDGET_S: f64 = 0.8;

/// The whole life of such a process: reads the specification of the rank whose device is measured, and prints the limits as JSON.
pub fn limits_main() -> ExitCode {
    match measure() {
        Ok(limits) => {
            let printed = serde_json::to_writer(io::stdout().lock(), &limits);
            if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            let _unwritable = writeln!(io::stderr(), "{why}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<MachineLimits, String> {
    die_with_parent().map_err(|error| error.to_string())?;
    let spec: RankSpec = serde_json::from_reader(io::stdin().lock()).map_err(|error| error.to_string())?;
    device_limits(&spec.platform, spec.device, spec.engine.num_threads.unwrap_or(1))
}

/// What CUDA device `ordinal`, which must be of `platform`, can do at best. Needs half a GiB of its memory, which is free
/// again at the end. `num_threads` threads stand behind a virtual device.
///
/// # Errors
/// There is no such device, its memory is full, or it fails.
pub fn device_limits(
    platform: &Platform,
    ordinal: usize,
    num_threads: usize,
) -> Result<MachineLimits, String> {
    find_device(platform, ordinal)?;
    let mut driver = Driver::new(ordinal).map_err(|error| error.to_string())?;
    let clock = Clock::start();
    let limits =
        measure_limits(&mut driver, BUDGET_S, &|| clock.now_s()).map_err(|error| error.to_string())?;
    Ok(MachineLimits {
        read_bytes_per_second: limits.read_bytes_per_s,
        flops_per_second: limits.flops_per_s,
        num_threads: match platform {
            Platform::Cpu | Platform::Vcuda => num_threads,
            Platform::Gpu(_) => 1,
        },
    })
}
