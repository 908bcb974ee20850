//! Looking for what a run may have left: processes, and files that belong to no finished work.

use std::fs;
use std::path::{Path, PathBuf};

use goldlap::metrics::Clock;
use goldlap::topology::{ROLE_RANK, ROLE_VARIABLE};

use super::scene::Scene;

/// Living processes, this one not counted, that write into the scene, or were started in it or about it.
pub(super) fn processes_of(scene: &Scene) -> Vec<u32> {
    let numbers = fs::read_dir("/proc").expect("a /proc to look into").flatten();
    let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| pid != std::process::id() && is_alive(pid) && belongs_to(pid, scene.root())).collect()
}

/// Those of them that are ranks.
pub(super) fn ranks_of(scene: &Scene) -> Vec<u32> {
    let role = format!("{ROLE_VARIABLE}={ROLE_RANK}");
    let is_rank = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == role.as_bytes())
    };
    processes_of(scene).into_iter().filter(is_rank).collect()
}

fn belongs_to(pid: u32, root: &Path) -> bool {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let links = ["fd/1", "fd/2", "cwd"].map(|link| fs::read_link(proc.join(link)).unwrap_or_default());
    let root_bytes = root.as_os_str().as_encoded_bytes();
    let names_root = |file: &str| {
        let bytes = fs::read(proc.join(file)).unwrap_or_default();
        bytes.windows(root_bytes.len()).any(|part| part == root_bytes)
    };
    links.iter().any(|link| link.starts_with(root)) || names_root("cmdline") || names_root("environ")
}

/// It runs; a zombie has ended, and its parent will reap it.
pub(super) fn is_alive(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains("zombie"))
}

/// Waits until `condition` holds; panics when that takes too long.
pub(super) fn wait_for(what: &str, patience_s: f64, mut condition: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !condition() {
        assert!(clock.now_s() < patience_s, "waited {patience_s} s in vain: {what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// No process is left, and no file but cases, goldens, records, logs and packed models.
pub(super) fn assert_nothing_left(scene: &Scene) {
    let processes = processes_of(scene);
    assert!(processes.is_empty(), "processes are left: {processes:?}");
    let odd: Vec<PathBuf> =
        files_below(scene.root()).into_iter().filter(|file| !is_expected(scene, file)).collect();
    assert!(odd.is_empty(), "files are left: {odd:?}");
}

fn is_expected(scene: &Scene, file: &Path) -> bool {
    let file = file.strip_prefix(scene.root()).unwrap_or(file);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if file.starts_with("test_cases") {
        return true;
    }
    if file.starts_with("golden_values") || file.starts_with("target/goldlap/pending") {
        return name.starts_with("golden_values_dev_") && name.ends_with(".json");
    }
    if file.starts_with("target/goldlap/runs") {
        return name == "record.json" || (name.starts_with("rank-") && name.ends_with(".log"));
    }
    file.starts_with("cache/packed")
        && !name.contains(".lock")
        && !file.to_string_lossy().contains(".partial")
}

/// All files below a folder, and empty folders named as those of unfinished work.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).into_iter().flatten();
    let is_odd_folder = |path: &Path| path.extension().is_some_and(|suffix| suffix == "partial");
    let files = entries.filter(|entry| !entry.file_type().is_dir() || is_odd_folder(entry.path()));
    files.map(walkdir::DirEntry::into_path).collect()
}
