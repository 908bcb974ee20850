//! Where a case runs; names its golden file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A place where cases run. The name is the last part of `golden_values_dev_<platform>.json`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Platform {
    /// The native CPU backend.
    Cpu,
    /// The CUDA backend on the virtual driver.
    Vcuda,
    /// The CUDA backend on real GPUs, by Megatron's names: `dgx_h100`, `h100x1`, `dgx_a100`, ...
    Gpu(String),
}

impl Platform {
    /// Name of the golden file of this platform.
    pub fn golden_file_name(&self) -> String {
        format!("golden_values_dev_{self}.json")
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Vcuda => f.write_str("vcuda"),
            Self::Gpu(name) => f.write_str(name),
        }
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        // Every GPU platform is called after a model number; without one it is a misspelling.
        let well_formed = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && name.bytes().any(|b| b.is_ascii_digit());
        match name {
            "cpu" => Ok(Self::Cpu),
            "vcuda" => Ok(Self::Vcuda),
            _ if well_formed => Ok(Self::Gpu(name.to_owned())),
            _ => Err(format!(
                "platform {name:?} is not a name: expected cpu, vcuda or a GPU platform such as dgx_h100 \
                 (lower-case letters, underscores, at least one digit)"
            )),
        }
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.to_string()
    }
}

impl TryFrom<String> for Platform {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in ["cpu", "vcuda", "dgx_h100", "h100x1"] {
            assert_eq!(name.parse::<Platform>().unwrap().to_string(), name);
        }
        assert_eq!(Platform::Cpu.golden_file_name(), "golden_values_dev_cpu.json");
    }

    #[test]
    fn a_path_is_not_a_platform() {
        for name in ["", "../cpu", "CPU", "a b", "cpuu", "h100/x1"] {
            assert!(name.parse::<Platform>().unwrap_err().contains("is not a name"));
        }
    }
}
