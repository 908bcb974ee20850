//! `goldlap virtual-driver`: run any program on the virtual CUDA driver.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;
use goldlap_kernels::cuda::virtual_driver::{DEVICES_VARIABLE, VirtualDriver, find_library};

use super::{CommandError, Exit};

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
