//! How a run is conducted besides its timetable: batches that are drained, engines that are suspended.

use std::time::Duration;

use serde::Serialize;

use super::resolution::Resolution;

/// What the client does between requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Conduct {
    /// First requests of batches: each is submitted only when all requests before it are answered
    /// (`--drain-between-batches`, `--batch-boundaries`). Empty = one batch.
    pub batch_starts: Vec<usize>,
    /// All ranks are suspended and resumed after every so many submitted requests (`--suspend-resume-interval`).
    pub suspend_interval: Option<usize>,
    /// How long they stay suspended (`--suspend-timeout`).
    pub suspend_time: Duration,
}

impl Resolution<'_> {
    pub(super) fn conduct(&mut self) -> Option<Conduct> {
        let batch_starts = self.batch_starts();
        let suspend_interval = self.count("--suspend-resume-interval");
        let suspend_time = if suspend_interval.is_some() {
            self.number_in("--suspend-timeout", |s| (0.0..=3600.0).contains(&s), "between 0 and 3600 seconds")
        } else {
            self.ignore("--suspend-timeout", "has an effect with --suspend-resume-interval only");
            Some(0.0)
        };
        let suspend_time = Duration::from_secs_f64(suspend_time?);
        Some(Conduct { batch_starts: batch_starts?, suspend_interval, suspend_time })
    }

    fn batch_starts(&mut self) -> Option<Vec<usize>> {
        const FLAG: &str = "--batch-boundaries";
        if !self.switch("--drain-between-batches") {
            self.ignore(FLAG, "has an effect with --drain-between-batches only");
            return Some(Vec::new());
        }
        let text = self.text(FLAG).unwrap_or_default();
        let starts: Result<Vec<usize>, _> =
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::parse).collect();
        match starts {
            Ok(starts) if starts.is_sorted_by(|a, b| a < b) => Some(starts),
            Ok(_) | Err(_) => {
                self.error(
                    FLAG,
                    format!("expected ascending request numbers such as \"0,8,16\", got {text:?}"),
                    None,
                );
                None
            }
        }
    }
}
