//! How figures are printed: one a line, as rows of a table, so that `cargo xtask bench` can take them over.

/// One figure with its value.
pub(crate) fn row(figure: &str, value: &str) {
    println!("| {figure} | {value} |");
}

/// Median of several rounds, and the best and the worst in parentheses.
pub(crate) fn spread(rounds: &mut [f64], digits: usize) -> String {
    rounds.sort_by(f64::total_cmp);
    let (first, median, last) = (rounds[0], rounds[rounds.len() / 2], rounds[rounds.len() - 1]);
    format!("{median:.digits$} ({first:.digits$} to {last:.digits$})")
}
