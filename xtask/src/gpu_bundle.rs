//! `cargo xtask gpu-bundle`: one folder for a GPU host that has neither Rust nor a network.
//!
//! It needs what every program built here needs there: a Linux of the same processor architecture whose C library is not older
//! than this machine's, libstdc++, and NVIDIA's driver. No CUDA toolkit: the kernels are PTX inside the programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

/// The one command of the bundle.
const RUN: &str = include_str!("gpu_bundle/run.sh");

/// What is built, and how `cargo build` is asked for it.
const PROGRAMS: [(&str, &[&str]); 4] = [
    ("goldlap", &["--package", "goldlap", "--bin", "goldlap"]),
    ("conformance", &["--package", "goldlap-kernels", "--test", "conformance"]),
    // For trials without a GPU: programs look for it beside themselves.
    ("libgoldlap_virtual_driver.so", &["--package", "goldlap-virtual-driver", "--lib"]),
    ("kernel_times", &["--package", "goldlap-kernels", "--example", "kernel_times"]),
];

/// Pack everything that a GPU host without Rust or network needs.
#[derive(Args)]
pub(crate) struct GpuBundle {
    /// The folder to make; must not exist
    #[arg(long, default_value = "target/gpu-bundle")]
    out: PathBuf,
    /// Cargo profile of the programs
    #[arg(long, default_value = "release")]
    profile: String,
}

impl GpuBundle {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        ensure!(!self.out.exists(), "{} exists; remove it, or name another --out", self.out.display());
        let root = crate::workspace_root();
        let parent = self.out.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        // Packed aside and then renamed: a bundle is whole or not there.
        let packed = tempfile::Builder::new().prefix(".gpu-bundle").tempdir_in(parent)?;
        fs::create_dir(packed.path().join("bin"))?;
        for (name, arguments) in PROGRAMS {
            let program =
                build(&root, &self.profile, arguments).with_context(|| format!("building {name}"))?;
            copy(&program, &packed.path().join("bin").join(name))?;
        }
        for folder in ["test_cases", "golden_values", "kernels/ptx", "kernels/cu"] {
            copy_folder(&root.join(folder), &packed.path().join(folder))?;
        }
        copy(&root.join("LICENSE"), &packed.path().join("LICENSE"))?;
        write_run(&packed.path().join("run"))?;
        fs::set_permissions(packed.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let packed = packed.keep();
        fs::rename(&packed, &self.out).with_context(|| format!("naming {}", self.out.display()))?;
        println!("{}: copy it to a GPU host and call ./run there", self.out.display());
        Ok(ExitCode::SUCCESS)
    }
}

fn write_run(path: &Path) -> Result<()> {
    fs::write(path, RUN).context("writing run")?;
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).context("run")
}

/// Builds one program or shared library and says where it is.
fn build(root: &Path, profile: &str, arguments: &[&str]) -> Result<PathBuf> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["build", "--locked", "--quiet", "--profile", profile])
        .args(["--message-format", "json-render-diagnostics"])
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    ensure!(output.status.success(), "cargo build failed");
    let messages = String::from_utf8(output.stdout).context("cargo's messages")?;
    let mut built = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let libraries = message["filenames"].as_array().into_iter().flatten();
        let library = libraries.filter_map(serde_json::Value::as_str).find(|name| name.ends_with(".so"));
        // Of the workspace's packages only the virtual driver has a shared library; those of others are procedural macros.
        let is_macro = message["target"]["kind"][0] == "proc-macro";
        message["executable"].as_str().or(library.filter(|_| !is_macro)).map(PathBuf::from)
    });
    // The program itself is built last; helpers of its package may come before.
    match built.next_back() {
        Some(path) => Ok(path),
        None => bail!("cargo named no program"),
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &target)?,
            false => copy(&entry.path(), &target)?,
        }
    }
    Ok(())
}
