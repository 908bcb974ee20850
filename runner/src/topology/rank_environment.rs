//! What a rank process finds in its environment beyond what it inherits: the CUDA driver of its platform.

use std::ffi::OsString;
use std::process::Command;

use goldlap_kernels::cuda::virtual_driver::{
    DEVICES_VARIABLE, VirtualDriver, VirtualDriverError, find_library,
};

use super::rank_spec::RankSpec;
use crate::plan::Platform;

/// Threads of a process on the virtual driver.
const THREADS_VARIABLE: &str = "GOLDLAP_THREADS";
/// Would hide virtual devices, too.
const VISIBLE_VARIABLE: &str = "CUDA_VISIBLE_DEVICES";

/// Sets the environment of `rank`. Ranks of the platform `vcuda` run on the virtual driver, which has one device for each; of
/// other platforms on the machine's own driver, with the devices that the caller may see.
pub(super) fn set_environment(rank: &mut Command, spec: &RankSpec) -> Result<(), VirtualDriverError> {
    match spec.platform {
        Platform::Cpu | Platform::Gpu(_) => Ok(()),
        Platform::Vcuda => {
            rank.envs(virtual_devices(spec.world_size, spec.engine.num_threads)?);
            rank.env_remove(VISIBLE_VARIABLE);
            Ok(())
        }
    }
}

/// What to set for a process on the virtual driver with `num_devices` devices, all of which run on `num_threads` threads (`None`:
/// as many as there are cores, or as the environment says).
pub fn virtual_devices(
    num_devices: u32,
    num_threads: Option<usize>,
) -> Result<Vec<(&'static str, OsString)>, VirtualDriverError> {
    let driver = VirtualDriver::in_cache(&find_library()?)?;
    let mut variables = driver.environment().to_vec();
    variables.push((DEVICES_VARIABLE, num_devices.to_string().into()));
    variables.extend(num_threads.map(|threads| (THREADS_VARIABLE, threads.to_string().into())));
    Ok(variables)
}
