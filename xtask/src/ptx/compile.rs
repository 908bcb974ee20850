//! NVRTC: every .cu file to PTX text that is the same on every machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cudarc::nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts};

/// The oldest GPU that the kernels serve, and with it all later ones.
const ARCHITECTURE: &str = "--gpu-architecture=compute_80";
/// PTX ISA that NVRTC writes, and the older one that the kernels need: a driver accepts a module if it knows the
/// ISA that the module names, so the lower one serves drivers from CUDA 11.8 on. `--report` proves with ptxas that it is enough.
const WRITTEN_VERSION: &str = ".version 8.8";
const NEEDED_VERSION: &str = ".version 7.8";

/// Compiles the .cu files of a folder of the repository: name of the .ptx file -> its text.
pub(super) fn all(root: &Path, sources: &str) -> Result<BTreeMap<String, String>> {
    let folder = root.join(sources);
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cu") {
            let stem = path.file_stem().context("a .cu file has a name")?.to_string_lossy().into_owned();
            let text = compile(root, sources, &path, &stem)?;
            files.insert(format!("{stem}.ptx"), text);
        }
    }
    ensure!(!files.is_empty(), "no .cu file in {}", folder.display());
    Ok(files)
}

fn compile(root: &Path, sources: &str, path: &Path, stem: &str) -> Result<String> {
    let source = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let options = CompileOptions {
        // Fused multiply-adds are written, never inferred: bits must not hang on the compiler's taste.
        fmad: Some(false),
        include_paths: vec![root.join(sources).display().to_string()],
        options: [ARCHITECTURE, "-lineinfo", "--std=c++17", "-default-device"].map(str::to_owned).to_vec(),
        name: Some(path.display().to_string()),
        ..CompileOptions::default()
    };
    match compile_ptx_with_opts(source, options) {
        Ok(ptx) => normalise(&ptx.to_src(), root, &format!("{sources}/{stem}.cu")),
        Err(CompileError::CompileError { log, .. }) => {
            bail!("{}:\n{}", path.display(), log.to_string_lossy().trim_end())
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Takes the machine out of the text: paths become relative, the compiler's build number goes.
fn normalise(ptx: &str, root: &Path, source: &str) -> Result<String> {
    let prefix = format!("\"{}/", root.display());
    let mut text = format!(
        "// Made from {source} by `cargo xtask ptx` with NVRTC {}.{}; do not edit.\n",
        super::toolchain::NVRTC_VERSION.0,
        super::toolchain::NVRTC_VERSION.1
    );
    for line in ptx.trim_end_matches('\0').lines().skip_while(|line| !line.starts_with(".version")) {
        if line.starts_with(".version") {
            ensure!(line == WRITTEN_VERSION, "{source}: NVRTC wrote `{line}`, expected `{WRITTEN_VERSION}`");
            text.push_str(NEEDED_VERSION);
        } else if line.trim_start().starts_with(".file") {
            ensure!(line.contains(&prefix), "{source}: `{line}` lies outside the repository");
            text.push_str(&line.replace(&prefix, "\""));
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    Ok(text)
}
