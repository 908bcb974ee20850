//! The name of a run's folder: unique on a machine, sorted by time.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::metrics::WallTime;

/// `20260131-093000-4711-0`: start, process, and how many runs that process had named before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId(String);

impl RunId {
    /// A new name.
    pub fn new(started: WallTime) -> Self {
        static NAMED: AtomicU32 = AtomicU32::new(0);
        let count = NAMED.fetch_add(1, Ordering::Relaxed);
        Self(format!("{}-{}-{count}", started.file_stamp(), std::process::id()))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_of_one_moment_differ() {
        let now = WallTime::now();
        assert_ne!(RunId::new(now), RunId::new(now));
    }
}
