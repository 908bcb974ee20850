//! What a CUDA device can do at best, measured in a process of its own: the virtual driver serves only processes that were started
//! on it, and a real device's memory is free again when the process has ended.

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
    find_device(&spec.platform, spec.device)?;
    let mut driver = Driver::new(spec.device).map_err(|error| error.to_string())?;
    let clock = Clock::start();
    let limits =
        measure_limits(&mut driver, BUDGET_S, &|| clock.now_s()).map_err(|error| error.to_string())?;
    Ok(MachineLimits {
        read_bytes_per_second: limits.read_bytes_per_s,
        flops_per_second: limits.flops_per_s,
        num_threads: match spec.platform {
            Platform::Cpu | Platform::Vcuda => spec.engine.num_threads.unwrap_or(1),
            Platform::Gpu(_) => 1,
        },
    })
}
