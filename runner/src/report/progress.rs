//! Progress bars: one for the run, one for each rank. Drawn on standard error, and only if that is a terminal.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::client::Progress;

/// More ranks than this get no bars of their own: they would scroll the terminal.
const MAX_RANK_BARS: usize = 16;

/// The bars of one run; gone from the screen when dropped.
pub struct RunProgress {
    bars: MultiProgress,
    overall: ProgressBar,
    ranks: Vec<ProgressBar>,
}

impl RunProgress {
    /// Bars for a case with so many ranks and requests; hidden where nobody is looking.
    pub fn new(case: &str, num_ranks: usize, num_requests: usize) -> Self {
        let target =
            if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self::draw_to(target, case, num_ranks, num_requests)
    }

    fn draw_to(target: ProgressDrawTarget, case: &str, num_ranks: usize, num_requests: usize) -> Self {
        let bars = MultiProgress::with_draw_target(target);
        let overall = bars.add(ProgressBar::new(num_requests as u64));
        overall.set_style(style("{msg}\n{elapsed:>4} {wide_bar:.cyan} {pos}/{len} requests"));
        overall.set_message(format!("{case}: starting {num_ranks} ranks"));
        overall.enable_steady_tick(Duration::from_millis(200));
        let ranks = (0..num_ranks.min(MAX_RANK_BARS)).map(|rank| {
            let bar = bars.add(ProgressBar::new(num_requests.div_ceil(num_ranks.max(1)) as u64));
            bar.set_style(style("  rank {prefix:>2} {bar:20} {pos} answered"));
            bar.set_prefix(rank.to_string());
            bar
        });
        Self { ranks: ranks.collect(), overall, bars }
    }

    /// Shows how far the run is.
    pub fn update(&self, case: &str, progress: &Progress) {
        self.overall.set_position(progress.num_finished as u64);
        self.overall.set_message(format!(
            "{case}: {} sent, {} answered, {} tokens",
            progress.num_sent, progress.num_finished, progress.num_tokens
        ));
        for (&rank, &finished) in &progress.finished_by_rank {
            if let Some(bar) = self.ranks.get(rank as usize) {
                bar.set_length(bar.length().unwrap_or_default().max(finished));
                bar.set_position(finished);
            }
        }
    }
}

impl Drop for RunProgress {
    fn drop(&mut self) {
        self.overall.finish_and_clear();
        self.ranks.iter().for_each(ProgressBar::finish_and_clear);
        // A terminal that has gone away needs no clearing.
        let _gone = self.bars.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, TermLike};

    use super::*;

    #[test]
    fn the_bars_show_the_run_and_each_rank_and_leave_nothing_behind() {
        let terminal = InMemoryTerm::new(30, 80);
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
        let bars = RunProgress::draw_to(target, "gpt::a", 2, 10);
        let progress = Progress {
            num_requests: 10,
            num_sent: 8,
            num_finished: 5,
            num_tokens: 40,
            finished_by_rank: [(0, 2), (1, 3)].into(),
        };
        for _ in 0..3 {
            bars.update("gpt::a", &progress);
            std::thread::sleep(Duration::from_millis(20));
        }
        let shown = terminal.contents();
        assert!(shown.contains("gpt::a: 8 sent, 5 answered, 40 tokens"), "{shown}");
        assert!(shown.contains("rank  1") && shown.contains("3 answered"), "{shown}");
        assert!(terminal.width() == 80);
        drop(bars);
        assert_eq!(terminal.contents().trim(), "");
    }
}
