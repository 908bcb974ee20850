//! Which platform this run is for: asked for, or the best one the machine has.

use goldlap_kernels::cuda::{CudaDevice, NoCuda};

use crate::plan::Platform;

/// Environment variable that names the platform; `--platform` goes before it.
pub const PLATFORM_VARIABLE: &str = "GOLDLAP_PLATFORM";

/// The platform of a run, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformChoice {
    /// The platform.
    pub platform: Platform,
    /// One line for the report.
    pub reason: String,
}

/// A platform was asked for that this machine or this build cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("platform {asked}: {reason}")]
pub struct PlatformError {
    asked: String,
    reason: String,
}

/// Resolves `asked` (`auto`, absent or empty = the machine's best) against the machine's CUDA devices.
/// Asking for what is not there is an error, never a silent fallback.
pub fn choose_platform(
    asked: Option<&str>,
    devices: impl FnOnce() -> Result<Vec<CudaDevice>, NoCuda>,
) -> Result<PlatformChoice, PlatformError> {
    let Some(asked) = asked.filter(|name| !name.is_empty() && *name != "auto") else {
        return Ok(automatic(devices()));
    };
    let error = |reason: String| PlatformError { asked: asked.to_owned(), reason };
    match asked.parse::<Platform>().map_err(error)? {
        Platform::Cpu => Ok(PlatformChoice { platform: Platform::Cpu, reason: "asked for".to_owned() }),
        Platform::Vcuda => {
            Err(error("the virtual CUDA driver is not part of this build; use cpu".to_owned()))
        }
        Platform::Gpu(_) => Err(error(match devices() {
            Err(why) => format!("{why}; use cpu"),
            Ok(found) => {
                format!("{} found, but the CUDA backend is not part of this build; use cpu", list(&found))
            }
        })),
    }
}

fn automatic(devices: Result<Vec<CudaDevice>, NoCuda>) -> PlatformChoice {
    let reason = match devices {
        Err(why) => why.to_string(),
        Ok(found) => format!("{} found, but the CUDA backend is not part of this build", list(&found)),
    };
    PlatformChoice { platform: Platform::Cpu, reason }
}

fn list(devices: &[CudaDevice]) -> String {
    let names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
    format!("{} CUDA device(s) ({})", devices.len(), names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_device() -> Result<Vec<CudaDevice>, NoCuda> {
        let name = "NVIDIA H100 80GB HBM3".to_owned();
        Ok(vec![CudaDevice { ordinal: 0, name, compute_capability: (9, 0), total_memory: 80 << 30 }])
    }

    #[test]
    fn without_a_driver_auto_is_cpu_and_a_gpu_is_an_error_that_says_so() {
        let none = || Err(NoCuda::NoDriver);
        for asked in [None, Some(""), Some("auto"), Some("cpu")] {
            assert_eq!(choose_platform(asked, none).unwrap().platform, Platform::Cpu);
        }
        let error = choose_platform(Some("dgx_h100"), none).unwrap_err().to_string();
        assert_eq!(error, "platform dgx_h100: no CUDA driver (libcuda) on this machine; use cpu");
        assert!(choose_platform(Some("H100"), none).unwrap_err().to_string().contains("is not a name"));
    }

    #[test]
    fn a_device_this_build_cannot_use_is_named() {
        let choice = choose_platform(None, one_device).unwrap();
        assert_eq!(choice.platform, Platform::Cpu);
        assert!(choice.reason.contains("NVIDIA H100 80GB HBM3"), "{}", choice.reason);
        assert!(choose_platform(Some("h100x1"), one_device).unwrap_err().to_string().contains("NVIDIA H100"));
    }
}
