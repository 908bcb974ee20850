//! Sections of PERFORMANCE.md that commands write: between two marks, with the machine that the numbers are of.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use goldlap::report::write_atomically;

const FILE: &str = "PERFORMANCE.md";

/// Puts `text` between the marks of `cargo xtask bench COMMAND`.
pub(super) fn write(command: &str, text: &str) -> Result<()> {
    let path = crate::workspace_root().join(FILE);
    replace(&path, command, text)?;
    println!("written to {FILE}");
    Ok(())
}

fn replace(path: &Path, command: &str, text: &str) -> Result<()> {
    let old = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let new = replaced(&old, command, text).with_context(|| path.display().to_string())?;
    write_atomically(path, new.as_bytes()).with_context(|| format!("writing {}", path.display()))
}

fn replaced(old: &str, command: &str, text: &str) -> Result<String> {
    let mark = |which: &str| format!("<!-- cargo xtask bench {command}: {which} -->\n");
    let (begin, end) = (mark("begin"), mark("end"));
    let (before, rest) = old.split_once(&begin).with_context(|| format!("the line {begin:?} is missing"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("the line {end:?} is missing"))?;
    ensure!(!text.contains(&begin), "the section contains its own mark");
    Ok(format!("{before}{begin}{text}{end}{after}"))
}

/// The processor, and how busy it was: figures of a loaded machine are the load's.
pub(super) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
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
    fn only_the_text_between_the_marks_changes() {
        let text = |inner: &str| {
            format!("a\n<!-- cargo xtask bench x: begin -->\n{inner}<!-- cargo xtask bench x: end -->\nz\n")
        };
        assert_eq!(replaced(&text("old\n"), "x", "new\n").unwrap(), text("new\n"));
        for (old, command) in [("no marks", "x"), (text("").as_str(), "y")] {
            assert!(replaced(old, command, "new\n").unwrap_err().to_string().contains("missing"));
        }
    }
}
