//! What the machine offers in CUDA devices, asked through cudarc's run-time loading of the driver.

use cudarc::driver::{result, sys};

/// The oldest GPUs that the committed PTX serves.
const NEEDED_CAPABILITY: (i32, i32) = (8, 0);

/// One CUDA device as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaDevice {
    /// Index in the driver's enumeration.
    pub ordinal: usize,
    /// Marketing name, for instance `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Major and minor compute capability.
    pub compute_capability: (i32, i32),
    /// Bytes of device memory.
    pub total_memory: usize,
}

impl CudaDevice {
    /// It executes PTX on the CPU: it is of the virtual driver.
    pub fn is_virtual(&self) -> bool {
        self.name.starts_with("Goldlap Virtual GPU")
    }

    /// The committed PTX serves it.
    pub fn is_supported(&self) -> bool {
        self.compute_capability >= NEEDED_CAPABILITY
    }
}

/// Why no CUDA device can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCuda {
    /// There is no driver library.
    #[error("no CUDA driver (libcuda) on this machine")]
    NoDriver,
    /// There is a driver, but it does not start or has no device.
    #[error("the CUDA driver is installed but not usable: {0}")]
    Unusable(String),
}

/// The machine's CUDA devices, at least one. Loads the driver, creates no context.
pub fn devices() -> Result<Vec<CudaDevice>, NoCuda> {
    // SAFETY: only tries to dlopen the driver library; asked first, because cudarc panics without one.
    if !unsafe { sys::is_culib_present() } {
        return Err(NoCuda::NoDriver);
    }
    result::init().map_err(unusable)?;
    let count = result::device::get_count().map_err(unusable)?;
    let devices: Vec<CudaDevice> = (0..count).map(describe).collect::<Result<_, _>>().map_err(unusable)?;
    if devices.is_empty() {
        return Err(NoCuda::Unusable("it reports 0 devices".to_owned()));
    }
    Ok(devices)
}

fn describe(ordinal: i32) -> Result<CudaDevice, result::DriverError> {
    let device = result::device::get(ordinal)?;
    let attribute = |attribute| {
        // SAFETY: `device` came from `device::get` on an initialised driver.
        unsafe { result::device::get_attribute(device, attribute) }
    };
    let major = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    // SAFETY: `device` came from `device::get` on an initialised driver.
    let total_memory = unsafe { result::device::total_mem(device) }?;
    Ok(CudaDevice {
        ordinal: usize::try_from(ordinal).unwrap_or_default(),
        name: result::device::get_name(device)?,
        compute_capability: (major, minor),
        total_memory,
    })
}

fn unusable(error: result::DriverError) -> NoCuda {
    NoCuda::Unusable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_for_devices_never_panics() {
        match devices() {
            Ok(devices) => assert!(devices.iter().all(|device| !device.name.is_empty())),
            Err(why) => assert!(why.to_string().contains("CUDA driver")),
        }
    }
}
