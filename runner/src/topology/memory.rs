//! What processes hold in memory together.

/// Proportional set sizes of these processes, added up, bytes: a page that several of them map is shared out between
/// them, so that the weights of all ranks count once. `None` where the system tells it of none of them.
pub fn proportional_bytes(pids: &[u32]) -> Option<u64> {
    pids.iter().filter_map(|pid| proportional_bytes_of(*pid)).reduce(|sum, bytes| sum + bytes)
}

fn proportional_bytes_of(pid: u32) -> Option<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kibibytes = rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix("kB"))?;
    kibibytes.trim().parse::<u64>().ok().map(|number| number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_a_process_touched_is_counted() {
        let own = [std::process::id()];
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        let bytes = proportional_bytes(&own).unwrap();
        assert!(bytes >= touched.len() as u64, "{bytes} bytes, {} touched", touched.len());
        assert!(proportional_bytes(&[own[0], own[0]]).unwrap() >= 2 * touched.len() as u64);
        assert_eq!(proportional_bytes(&[u32::MAX]), None);
    }
}
