//! Names of GPU platforms, and the devices that answer to them: `dgx_h100` is eight H100, `h100x1` one, as Megatron-LM writes them.

use goldlap_kernels::cuda::CudaDevice;

use crate::plan::Platform;

/// Devices of a DGX.
const DGX: usize = 8;

/// The platform that these devices are; `None` if they are not alike, or their name tells no model.
pub(super) fn platform_of(devices: &[CudaDevice]) -> Option<Platform> {
    let first = model_of(&devices.first()?.name)?;
    let alike = devices.iter().all(|device| model_of(&device.name).as_ref() == Some(&first));
    let name =
        if devices.len() == DGX { format!("dgx_{first}") } else { format!("{first}x{}", devices.len()) };
    alike.then_some(Platform::Gpu(name))
}

/// Whether the machine's devices are enough for the platform of this name; if not, why.
pub(super) fn answers_to(name: &str, devices: &[CudaDevice]) -> Result<(), String> {
    let wrong = || {
        "a GPU platform is called dgx_MODEL (eight devices) or MODELxN, such as dgx_h100 or h100x1".to_owned()
    };
    let (model, count) = match name.strip_prefix("dgx_") {
        Some(model) => (model, DGX),
        None => {
            let (model, count) = name.rsplit_once('x').ok_or_else(wrong)?;
            (model, count.parse::<usize>().ok().filter(|&count| count > 0).ok_or_else(wrong)?)
        }
    };
    let found = devices.iter().filter(|device| model_of(&device.name).as_deref() == Some(model)).count();
    if found >= count {
        Ok(())
    } else {
        Err(format!("it needs {count} devices of model {model}, and there are {found}"))
    }
}

/// `NVIDIA H100 80GB HBM3` -> `h100`; `NVIDIA GeForce RTX 4090` -> `rtx4090`.
fn model_of(name: &str) -> Option<String> {
    let words: Vec<String> =
        name.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_ascii_lowercase).collect();
    let index = words.iter().position(|word| word.bytes().any(|byte| byte.is_ascii_digit()))?;
    let word = &words[index];
    let series = word.bytes().all(|byte| byte.is_ascii_digit());
    Some(if series && index > 0 { format!("{}{word}", words[index - 1]) } else { word.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(names: &[&str]) -> Vec<CudaDevice> {
        let device = |(ordinal, name): (usize, &&str)| CudaDevice {
            ordinal,
            name: (*name).to_owned(),
            compute_capability: (8, 0),
            total_memory: 1 << 36,
        };
        names.iter().enumerate().map(device).collect()
    }

    #[test]
    fn devices_have_the_names_that_megatron_gives_them() {
        let name = |names: &[&str]| platform_of(&devices(names)).map(|platform| platform.to_string());
        assert_eq!(name(&["NVIDIA H100 80GB HBM3"; 8]).as_deref(), Some("dgx_h100"));
        assert_eq!(name(&["NVIDIA H100 80GB HBM3"]).as_deref(), Some("h100x1"));
        assert_eq!(name(&["NVIDIA A100-SXM4-80GB"; 4]).as_deref(), Some("a100x4"));
        assert_eq!(name(&["NVIDIA GeForce RTX 4090"; 2]).as_deref(), Some("rtx4090x2"));
        assert_eq!(name(&["NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB"]), None);
        assert_eq!((name(&["nameless"]), name(&[])), (None, None));
    }

    #[test]
    fn a_platform_needs_its_devices() {
        let eight = devices(&["NVIDIA H100 80GB HBM3"; 8]);
        for name in ["dgx_h100", "h100x1", "h100x8"] {
            assert_eq!(answers_to(name, &eight), Ok(()), "{name}");
        }
        assert_eq!(
            answers_to("dgx_a100", &eight).unwrap_err(),
            "it needs 8 devices of model a100, and there are 0"
        );
        assert!(answers_to("h100x9", &eight).is_err() && answers_to("dgx_h100", &eight[..7]).is_err());
        for name in ["h100", "h100x0", "h100xx"] {
            assert!(answers_to(name, &eight).unwrap_err().contains("is called dgx_MODEL"), "{name}");
        }
    }
}
