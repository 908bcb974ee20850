//! A process on the virtual driver: this test binary started again with the library in front of every other.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Set in the started process.
const INSIDE: &str = "GOLDLAP_TEST_INSIDE";

/// The library that cargo has built for this very test run. A package's library is built before its integration tests,
/// in every crate type it names, into the folder in which the test binaries lie.
pub(crate) fn library() -> PathBuf {
    let binary = std::env::current_exe().expect("the path of this test binary");
    let folder = binary.parent().expect("a folder");
    let library = folder.join("libgoldlap_virtual_driver.so");
    assert!(library.exists(), "cargo did not build {}", library.display());
    library
}

/// Makes the private folder: the library under the names by which programs load a driver.
pub(crate) fn fill_folder(folder: &Path) {
    for name in ["libcuda.so", "libcuda.so.1"] {
        std::os::unix::fs::symlink(library(), folder.join(name)).expect("a link to the library");
    }
}

/// Makes a command find the library first.
pub(crate) fn on_virtual_driver(command: &mut Command, folder: &Path) {
    let rest = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
    command.env("LD_LIBRARY_PATH", format!("{}:{rest}", folder.display()));
    command.env("GOLDLAP_VIRTUAL_DRIVER", "1");
}

/// Runs the body of the test called `name` in a process on the virtual driver, with more environment.
pub(crate) fn run_with(name: &str, environment: &[(&str, &str)], body: fn()) -> Option<Output> {
    if std::env::var_os(INSIDE).is_some() {
        body();
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    fill_folder(folder.path());
    let mut command = Command::new(std::env::current_exe().expect("the path of this test binary"));
    command
        .args(["--exact", name, "--nocapture", "--test-threads", "1", "--include-ignored"])
        .env(INSIDE, "1");
    on_virtual_driver(&mut command, folder.path());
    command.envs(environment.iter().copied());
    let output = command.output().expect("a process");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} failed:\n{out}\n{err}");
    assert!(out.contains("1 passed"), "{name} was not run:\n{out}");
    Some(output)
}

/// As [`run_with`], with the environment as it is.
pub(crate) fn run(name: &str, body: fn()) -> Option<Output> {
    run_with(name, &[], body)
}
