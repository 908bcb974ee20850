//! The table as Markdown.

use std::fmt::Write as _;

use goldlap::metrics::{MachineLimits, WallTime, median};

use super::Comparison;
use crate::bench::section;

/// Where and when, then a row a figure. `peer` has a name and a version.
pub(super) fn render(rows: &[Comparison], limits: &MachineLimits, peer: (&str, &str)) -> String {
    let (name, version) = peer;
    let mut text = format!(
        "{}: {}, {} threads; {:.1} GB/s read, {:.1} GFLOP/s bf16 dot (sustained, before the first pair); {name} {version}.\n\n\
         | figure | goal | ours, tok/s | {name}, tok/s | ratio | of bandwidth | of peak |\n\
         |---|---|---|---|---|---|---|\n",
        WallTime::now(),
        section::machine(),
        limits.num_threads,
        limits.read_bytes_per_second / 1e9,
        limits.flops_per_second / 1e9,
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let text = render(&[row], &limits, ("other", "version 1"));
        assert!(text.contains("| decode | 2 x | 30.0 | 10.0 | 3.00 | 50 % | 25 % |"), "{text}");
        assert!(text.contains("other version 1") && text.contains("| other, tok/s |"), "{text}");
    }
}
