//! Which platform this run is for: asked for, or the best one the machine has.

use goldlap_kernels::cuda::virtual_driver::find_library;
use goldlap_kernels::cuda::{CudaDevice, NoCuda};

use super::gpu_names::{answers_to, platform_of};
use crate::plan::{Platform, Platforms};

/// Environment variable that names the platform; `--platform` goes before it.
pub const PLATFORM_VARIABLE: &str = "GOLDLAP_PLATFORM";

/// The platform of a run, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformChoice {
    /// The platform: where everything runs, if somebody asked for it; else where things run that do not say otherwise.
    pub platform: Platform,
    /// The platforms of the run's cases.
    pub platforms: Platforms,
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

impl PlatformChoice {
    /// Somebody asked for this platform.
    pub fn asked(platform: Platform, reason: impl Into<String>) -> Self {
        Self { platforms: Platforms::Asked(platform.clone()), platform, reason: reason.into() }
    }
}

/// Resolves `asked` (`auto`, absent or empty = the machine's best; `gpu` = its GPUs, whatever their name) against the machine's
/// CUDA devices.
/// Asking for what is not there is an error, never a silent fallback; virtual devices are used only where `vcuda` is asked for.
pub fn choose_platform(
    asked: Option<&str>,
    devices: impl FnOnce() -> Result<Vec<CudaDevice>, NoCuda>,
) -> Result<PlatformChoice, PlatformError> {
    let Some(asked) = asked.filter(|name| !name.is_empty() && *name != "auto") else {
        return Ok(automatic(devices()));
    };
    let error = |reason: String| PlatformError { asked: asked.to_owned(), reason };
    if asked == "gpu" {
        let PlatformChoice { platforms, reason, .. } = automatic(devices());
        return match platforms {
            Platforms::Found { gpu: Some(gpu) } => Ok(PlatformChoice::asked(gpu, reason)),
            Platforms::Found { gpu: None } | Platforms::Asked(_) => Err(error(reason)),
        };
    }
    let platform = asked.parse::<Platform>().map_err(error)?;
    match &platform {
        Platform::Cpu => {}
        Platform::Vcuda => {
            find_library().map_err(|why| error(why.to_string()))?;
        }
        Platform::Gpu(name) => {
            let found = devices().map_err(|why| error(format!("{why}; use cpu, or vcuda")))?;
            let real: Vec<CudaDevice> = found.iter().filter(|device| !device.is_virtual()).cloned().collect();
            answers_to(name, &real).map_err(|why| error(format!("{why}: {} found", list(&found))))?;
        }
    }
    Ok(PlatformChoice::asked(platform, "asked for"))
}

fn automatic(devices: Result<Vec<CudaDevice>, NoCuda>) -> PlatformChoice {
    let (gpu, reason) = match devices {
        Err(why) => (None, why.to_string()),
        Ok(found) if found.iter().any(CudaDevice::is_virtual) => {
            (None, format!("{} found, which only vcuda uses", list(&found)))
        }
        Ok(found) if found.iter().any(|device| !device.is_supported()) => {
            (None, format!("{} found, some of them older than compute capability 8.0", list(&found)))
        }
        Ok(found) => (platform_of(&found), format!("{} found", list(&found))),
    };
    let platform = gpu.clone().unwrap_or(Platform::Cpu);
    PlatformChoice { platform, platforms: Platforms::Found { gpu }, reason }
}

fn list(devices: &[CudaDevice]) -> String {
    let names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
    format!("{} CUDA device(s) ({})", devices.len(), names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_device(name: &str) -> Result<Vec<CudaDevice>, NoCuda> {
        let name = name.to_owned();
        Ok(vec![CudaDevice { ordinal: 0, name, compute_capability: (9, 0), total_memory: 80 << 30 }])
    }

    #[test]
    fn without_a_driver_auto_is_cpu_and_a_gpu_is_an_error_that_says_so() {
        let none = || Err(NoCuda::NoDriver);
        for asked in [None, Some(""), Some("auto"), Some("cpu")] {
            assert_eq!(choose_platform(asked, none).unwrap().platform, Platform::Cpu);
        }
        let error = choose_platform(Some("dgx_h100"), none).unwrap_err().to_string();
        assert_eq!(error, "platform dgx_h100: no CUDA driver (libcuda) on this machine; use cpu, or vcuda");
        assert!(choose_platform(Some("H100"), none).unwrap_err().to_string().contains("is not a name"));
    }

    #[test]
    fn real_devices_are_taken_and_must_be_those_that_were_asked_for() {
        let real = || one_device("NVIDIA H100 80GB HBM3");
        let gpu = Platform::Gpu("h100x1".to_owned());
        let found = choose_platform(None, real).unwrap();
        assert_eq!(found.platforms, Platforms::Found { gpu: Some(gpu.clone()) });
        assert!(found.reason.contains("NVIDIA H100 80GB HBM3"), "{}", found.reason);
        let asked = choose_platform(Some("h100x1"), real).unwrap();
        assert_eq!(asked.platforms, Platforms::Asked(gpu));
        assert_eq!(choose_platform(Some("gpu"), real).unwrap().platforms, asked.platforms);
        let error = choose_platform(Some("dgx_h100"), real).unwrap_err().to_string();
        assert!(error.contains("needs 8 devices of model h100, and there are 1"), "{error}");
    }

    #[test]
    fn virtual_devices_never_stand_in_for_real_ones() {
        let virtual_device = || one_device("Goldlap Virtual GPU (sm_80)");
        let choice = choose_platform(None, virtual_device).unwrap();
        assert_eq!((choice.platform, choice.platforms), (Platform::Cpu, Platforms::Found { gpu: None }));
        let error = choose_platform(Some("h100x1"), virtual_device).unwrap_err().to_string();
        assert!(error.contains("there are 0") && error.contains("Goldlap Virtual GPU"), "{error}");
        let error = choose_platform(Some("gpu"), virtual_device).unwrap_err().to_string();
        assert!(error.contains("which only vcuda uses"), "{error}");
        assert_eq!(choose_platform(Some("vcuda"), virtual_device).unwrap().platform, Platform::Vcuda);
    }
}
