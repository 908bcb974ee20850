//! `cargo xtask ptx`: kernels/cu/*.cu -> kernels/ptx/*.ptx through NVRTC, which needs no GPU and no CUDA toolkit. The
//! kernels with planted bugs, by which the sanitizers are tested, are compiled in the same way.

mod compile;
mod report;
mod toolchain;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use goldlap::report::write_atomically;

/// Sources and PTX of the kernels with planted bugs.
const PLANTED: (&str, &str) =
    ("kernels/virtual_driver/tests/cu/planted", "kernels/virtual_driver/tests/ptx/planted");

/// Compile the CUDA kernels to PTX.
#[derive(Args)]
pub(crate) struct Ptx {
    /// Write nothing; fail if the committed PTX (and the committed report, with --report) differs from what the sources give.
    #[arg(long)]
    check: bool,
    /// Also assemble for sm_80 and sm_90 and write kernels/ptx/REPORT.md: registers, shared memory, spills, occupancy. Fails on a
    /// kernel that spills or uses local memory.
    #[arg(long)]
    report: bool,
}

impl Ptx {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if let Some(code) = toolchain::with_pinned_nvrtc()? {
            return Ok(code);
        }
        let root = crate::workspace_root();
        let mut files: BTreeMap<String, String> = compile::all(&root, "kernels/cu")?;
        if self.report {
            let report = report::write(&files, &toolchain::ptxas()?)?;
            files.insert("REPORT.md".to_owned(), report);
        }
        let code = self.bring(&root, "kernels/cu", "kernels/ptx", &files)?;
        let planted = compile::all(&root, PLANTED.0)?;
        let planted = self.bring(&root, PLANTED.0, PLANTED.1, &planted)?;
        let is_fine = code == ExitCode::SUCCESS && planted == ExitCode::SUCCESS;
        if !is_fine {
            eprintln!("run `cargo xtask ptx --report` and commit what it writes");
        }
        Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Writes or checks the files of one folder.
    fn bring(
        &self,
        root: &Path,
        sources: &str,
        target: &str,
        files: &BTreeMap<String, String>,
    ) -> Result<ExitCode> {
        let folder = root.join(target);
        let mut code = ExitCode::SUCCESS;
        for (name, text) in files {
            let path = folder.join(name);
            if fs::read_to_string(&path).ok().as_ref() == Some(text) {
                continue;
            }
            if self.check {
                eprintln!("{target}/{name} differs from what {sources} gives");
                code = ExitCode::FAILURE;
            } else {
                write_atomically(&path, text.as_bytes())
                    .with_context(|| format!("writing {}", path.display()))?;
                println!("wrote {target}/{name}");
            }
        }
        for name in orphans(&folder, files)? {
            if self.check {
                eprintln!("{target}/{name} has no source in {sources}");
                code = ExitCode::FAILURE;
            } else {
                fs::remove_file(folder.join(&name)).with_context(|| format!("removing {name}"))?;
                println!("removed {target}/{name}");
            }
        }
        if code == ExitCode::SUCCESS {
            let modules = files.keys().filter(|name| name.ends_with(".ptx")).count();
            println!("{target} is up to date: {modules} modules");
        }
        Ok(code)
    }
}

fn orphans(folder: &Path, files: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let mut orphans = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".ptx") && !files.contains_key(&name) {
            orphans.push(name);
        }
    }
    Ok(orphans)
}
