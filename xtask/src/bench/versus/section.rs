//! The table as Markdown, and its place in PERFORMANCE.md.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use goldlap::metrics::{MachineLimits, WallTime, median};
use goldlap::report::write_atomically;

use super::Comparison;

const BEGIN: &str = "<!-- cargo xtask bench --versus: begin -->\n";
const END: &str = "<!-- cargo xtask bench --versus: end -->\n";

/// Where and when, then a row a figure.
pub(super) fn render(rows: &[Comparison], limits: &MachineLimits, peer: &str) -> String {
    let mut text = String::new();
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let _infallible = write!(
        text,
        "{}: {}, {} threads; {:.1} GB/s read, {:.1} GFLOP/s bf16 dot (sustained, before the first pair); load average \
         at the end {}; llama.cpp {peer}.\n\n\
         | figure | goal | ours, tok/s | llama.cpp, tok/s | ratio | of bandwidth | of peak |\n\
         |---|---|---|---|---|---|---|\n",
        WallTime::now(),
        cpu.trim_start_matches([' ', '\t', ':']),
        limits.num_threads,
        limits.read_bytes_per_second / 1e9,
        limits.flops_per_second / 1e9,
        load.split(' ').next().unwrap_or("unknown"),
    );
    for row in rows {
        let number = |values: &[f64]| median(values).map_or("-".to_owned(), |value| format!("{value:.1}"));
        let _infallible = writeln!(
            text,
            "| {} | {} | {} | {} | {:.2} | {:.0} % | {:.0} % |",
            row.figure,
            row.goal,
            number(&row.ours),
            number(&row.peer),
            row.ratio(),
            row.share_of_bandwidth * 100.0,
            row.share_of_peak * 100.0,
        );
    }
    text
}

/// Puts `text` between the marks in the file.
pub(super) fn replace(path: &Path, text: &str) -> Result<()> {
    let old = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    write_atomically(path, replaced(&old, text)?.as_bytes())?;
    Ok(())
}

fn replaced(old: &str, text: &str) -> Result<String> {
    let (before, rest) = old.split_once(BEGIN).with_context(|| format!("the line {BEGIN:?} is missing"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("the line {END:?} is missing"))?;
    ensure!(!text.contains(BEGIN), "the section contains its own mark");
    Ok(format!("{before}{BEGIN}{text}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_between_the_marks_changes() {
        let old = format!("a\n{BEGIN}old\n{END}z\n");
        assert_eq!(replaced(&old, "new\n").unwrap(), format!("a\n{BEGIN}new\n{END}z\n"));
        assert!(replaced("no marks", "new\n").unwrap_err().to_string().contains("missing"));
    }

    #[test]
    fn the_ratio_is_the_median_over_pairs() {
        let row = Comparison {
            figure: "decode".to_owned(),
            goal: "2 x".to_owned(),
            ours: vec![10.0, 30.0, 60.0],
            peer: vec![5.0, 10.0, 10.0],
            share_of_bandwidth: 0.5,
            share_of_peak: 0.25,
        };
        let limits = MachineLimits { read_bytes_per_second: 1e9, flops_per_second: 2e9, num_threads: 2 };
        let text = render(&[row], &limits, "version: 1");
        assert!(text.contains("| decode | 2 x | 30.0 | 10.0 | 3.00 | 50 % | 25 % |"), "{text}");
    }
}
