//! `cargo xtask bench overhead`: runs the benchmark and puts its figures into PERFORMANCE.md.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

const FILE: &str = "PERFORMANCE.md";
/// The figures stand between these lines.
const BEGIN: &str = "<!-- cargo xtask bench overhead: begin -->";
const END: &str = "<!-- end -->";

pub(super) fn run() -> Result<ExitCode> {
    let output =
        Command::new(super::built()?).stderr(Stdio::inherit()).output().context("cannot start it")?;
    if !output.status.success() {
        bail!("the benchmark ended with {}", output.status);
    }
    let figures = String::from_utf8(output.stdout)?;
    print!("{figures}");
    let path = crate::workspace_root().join(FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let section = format!("\nMeasured on {}.\n\n| figure | measured |\n|---|---|\n{figures}\n", machine());
    let text = replaced(&text, &section).with_context(|| format!("{FILE} has no lines {BEGIN} and {END}"))?;
    let fresh = path.with_extension("md.new");
    std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, &path))?;
    println!("written to {FILE}");
    Ok(ExitCode::SUCCESS)
}

/// `text` with `section` between the marks.
fn replaced(text: &str, section: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{section}{END}{after}"))
}

/// Processor and cores, and how busy they were: figures of a loaded machine are the load's.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processor = processor.map_or("an unnamed processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    format!("{processor}, {cores} cores, load average {load} at the end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let text = format!("# a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(replaced(&text, "new\n"), Some(format!("# a\n{BEGIN}\nnew\n{END}\nb\n")));
        assert_eq!(replaced("# a", "new"), None);
    }
}
