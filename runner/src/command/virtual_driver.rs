//! `goldlap virtual-driver`: run any program on the virtual CUDA driver.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;
use goldlap_kernels::cuda::virtual_driver::{DEVICES_VARIABLE, SELECT_VARIABLE, VirtualDriver, find_library};

use super::{CommandError, Exit};
use crate::plan::Platform;
use crate::topology::virtual_devices;

/// The driver's own bound.
const MOST_DEVICES: u32 = 64;

/// The program finds the virtual driver as libcuda.so.1, with one sm_80-class device (GOLDLAP_VIRTUAL_DEVICES=N for more).
#[derive(Args)]
pub(super) struct OnVirtualDriver {
    /// Number of devices
    #[arg(long, value_name = "N")]
    devices: Option<u32>,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

impl OnVirtualDriver {
    /// Replaces this process by the program: its exit code, signals and terminal are its own.
    pub(super) fn run(self) -> Result<Exit, CommandError> {
        let library = find_library().map_err(CommandError::from_error)?;
        let driver = VirtualDriver::in_cache(&library).map_err(CommandError::from_error)?;
        let Some((program, arguments)) = self.program.split_first() else {
            return Err(CommandError("no program was given".into()));
        };
        let mut command = Command::new(program);
        command.args(arguments).envs(driver.environment());
        if let Some(devices) = self.devices {
            command.env(DEVICES_VARIABLE, devices.to_string());
        }
        let error = command.exec();
        Err(CommandError(format!("cannot run {}: {error}", program.to_string_lossy())))
    }
}

/// Where this process itself is to compute on `platform` and that is `vcuda`, starts it again on the virtual driver with devices up
/// to `device` on `threads` threads: the system's loader decides on a driver when a process starts. Returns where nothing is to
/// be done.
pub(super) fn enter(platform: &Platform, device: usize, threads: Option<usize>) -> Result<(), CommandError> {
    match platform {
        Platform::Cpu | Platform::Gpu(_) => return Ok(()),
        Platform::Vcuda if std::env::var_os(SELECT_VARIABLE).is_some_and(|value| value == "1") => {
            return Ok(());
        }
        Platform::Vcuda => {}
    }
    let num_devices =
        u32::try_from(device).ok().filter(|device| *device < MOST_DEVICES).map(|device| device + 1);
    let num_devices = num_devices.ok_or_else(|| {
        CommandError(format!(
            "device {device}: expected 0 to {}, which the virtual driver can have",
            MOST_DEVICES - 1
        ))
    })?;
    let environment = virtual_devices(num_devices, threads).map_err(CommandError::from_error)?;
    let program = std::env::current_exe().map_err(CommandError::from_error)?;
    let error = Command::new(&program).args(std::env::args_os().skip(1)).envs(environment).exec();
    Err(CommandError(format!("cannot run {} on the virtual driver: {error}", program.display())))
}
