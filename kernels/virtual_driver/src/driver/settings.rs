//! What the environment asks of the driver: how many devices, how large, which of them, on how many threads.

use crate::sanitizer::Checks;

/// Number of devices of the machine; 1 where it is not set.
pub const DEVICES_VARIABLE: &str = "GOLDLAP_VIRTUAL_DEVICES";
/// Bytes of memory of each device; where it is not set, half of the host's memory shared among all.
pub const MEMORY_VARIABLE: &str = "GOLDLAP_VIRTUAL_MEMORY";
/// Host threads that run a kernel's blocks; where it is not set, one per core.
pub const THREADS_VARIABLE: &str = "GOLDLAP_THREADS";
/// Sanitizers that are on; see [`Checks::parse`].
pub const SANITIZE_VARIABLE: &str = "GOLDLAP_VCUDA_SANITIZE";
/// Numbers of the devices that the process sees, in its order, as NVIDIA's driver reads it: the list ends at the first
/// entry that is no device.
pub const VISIBLE_VARIABLE: &str = "CUDA_VISIBLE_DEVICES";

/// More devices than any host has, so that a slip of the finger does not exhaust the machine.
const MOST_DEVICES: usize = 64;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Numbers of the devices that are seen.
    pub devices: Vec<usize>,
    /// Bytes of each.
    pub memory: u64,
    /// Host threads; `None`: one per core.
    pub threads: Option<usize>,
    /// Sanitizers.
    pub checks: Checks,
}

impl Settings {
    /// Reads the variables.
    ///
    /// # Errors
    /// A sentence that names the variable, what was expected and what was got.
    pub fn parse(get: impl Fn(&str) -> Option<String>, host_memory: u64) -> Result<Self, String> {
        let number = |name: &str, expected: &str, fits: &dyn Fn(u64) -> bool| {
            let Some(text) = get(name) else { return Ok(None) };
            let value = text.trim().parse::<u64>().ok().filter(|value| fits(*value));
            value.map(Some).ok_or_else(|| format!("{name}: expected {expected}, got '{text}'"))
        };
        let few = |count: u64| (1..=MOST_DEVICES as u64).contains(&count);
        let count =
            number(DEVICES_VARIABLE, &format!("a number from 1 to {MOST_DEVICES}"), &few)?.unwrap_or(1);
        let memory = number(MEMORY_VARIABLE, "a number of bytes", &|bytes| bytes > 0)?;
        let threads = number(THREADS_VARIABLE, "a number from 1 to 1024", &|n| (1..=1024).contains(&n))?;
        let sanitize = get(SANITIZE_VARIABLE).unwrap_or_default();
        let checks = Checks::parse(&sanitize).map_err(|what| format!("{SANITIZE_VARIABLE}: {what}"))?;
        Ok(Self {
            checks,
            devices: visible(get(VISIBLE_VARIABLE).as_deref(), count as usize),
            memory: memory.unwrap_or((host_memory / 2 / count) & !0xF_FFFF),
            threads: threads.map(|threads| threads as usize),
        })
    }

    /// Reads the environment and the size of the host.
    ///
    /// # Errors
    /// As [`Settings::parse`].
    pub fn from_environment() -> Result<Self, String> {
        Self::parse(|name| std::env::var(name).ok(), host_memory())
    }
}

fn visible(list: Option<&str>, count: usize) -> Vec<usize> {
    let Some(list) = list else { return (0..count).collect() };
    let mut seen = Vec::new();
    for entry in list.split(',') {
        match entry.trim().parse::<usize>() {
            Ok(number) if number < count && !seen.contains(&number) => seen.push(number),
            Ok(_) | Err(_) => break,
        }
    }
    seen
}

/// Bytes of memory of the host; 4 GiB where it does not tell.
fn host_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map_or(4 << 30, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let get =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Settings::parse(get, 16 << 30)
    }

    #[test]
    fn the_environment_decides_how_many_devices() {
        let plain = parse(&[]).unwrap();
        assert_eq!(
            plain,
            Settings { devices: vec![0], memory: 8 << 30, threads: None, checks: Checks::NONE }
        );
        let four = parse(&[(DEVICES_VARIABLE, "4"), (THREADS_VARIABLE, "2")]).unwrap();
        assert_eq!(
            four,
            Settings { devices: vec![0, 1, 2, 3], memory: 2 << 30, threads: Some(2), checks: Checks::NONE }
        );
        assert_eq!(parse(&[(SANITIZE_VARIABLE, "1")]).unwrap().checks, Checks::ALL);
        assert_eq!(parse(&[(MEMORY_VARIABLE, "1000")]).unwrap().memory, 1000);
    }

    #[test]
    fn a_process_sees_the_devices_it_is_given() {
        let seen = |list| parse(&[(DEVICES_VARIABLE, "4"), (VISIBLE_VARIABLE, list)]).unwrap().devices;
        assert_eq!(seen("3,1"), [3, 1]);
        assert_eq!(seen("2, 9, 1"), [2]);
        assert!(seen("").is_empty() && seen("-1").is_empty());
    }

    #[test]
    fn a_malformed_variable_is_named() {
        let refused = parse(&[(DEVICES_VARIABLE, "many")]).unwrap_err();
        assert_eq!(refused, "GOLDLAP_VIRTUAL_DEVICES: expected a number from 1 to 64, got 'many'");
        for bad in [
            (DEVICES_VARIABLE, "0"),
            (MEMORY_VARIABLE, "x"),
            (THREADS_VARIABLE, "0"),
            (SANITIZE_VARIABLE, "yes"),
        ] {
            assert!(parse(&[bad]).is_err(), "{bad:?}");
        }
    }
}
