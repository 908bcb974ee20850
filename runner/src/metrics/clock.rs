//! The clock: the only file that reads one. A run is timed on one monotonic [`Clock`] that its rooms share;
//! wall-clock time is for provenance alone and never enters a measurement.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A monotonic clock that started at 0. Copies share the start, so times of different rooms compare.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that reads 0 now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Seconds since the start.
    pub fn now_s(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Time left until `at_s`; zero once it has passed. A value that is no time at all (NaN) counts as passed.
    pub fn until(&self, at_s: f64) -> Duration {
        Duration::try_from_secs_f64(at_s - self.now_s()).unwrap_or(Duration::ZERO)
    }
}

/// Seconds of a core that something has had: what it needed, however long it waited for its turn.
#[derive(Clone, Copy, Debug)]
pub struct CpuTime;

impl CpuTime {
    /// The calling thread so far.
    pub fn of_thread_s() -> f64 {
        seconds(clock_gettime(ClockId::ThreadCPUTime))
    }

    /// All threads of this process so far, those that have ended included.
    pub fn of_process_s() -> f64 {
        seconds(clock_gettime(ClockId::ProcessCPUTime))
    }

    /// Threads of this process that live and whose name begins with one of `prefixes`; 0 where the system does not tell.
    pub fn of_threads_s(prefixes: &[&str]) -> f64 {
        let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
        let read = |thread: &std::fs::DirEntry, what: &str| std::fs::read_to_string(thread.path().join(what));
        let is_one = |thread: &std::fs::DirEntry| {
            read(thread, "comm").is_ok_and(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
        };
        let nanoseconds = threads.flatten().filter(is_one).filter_map(|thread| {
            // Nanoseconds on a core, nanoseconds waited for one, turns.
            read(&thread, "schedstat").ok()?.split(' ').next()?.parse::<f64>().ok()
        });
        nanoseconds.sum::<f64>() / 1e9
    }
}

fn seconds(time: Timespec) -> f64 {
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A moment of wall-clock time, UTC. Displays as RFC 3339 to the second: `2026-01-31T09:30:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime {
    nanos_since_epoch: u128,
}

impl WallTime {
    /// Now. A system clock set before 1970 reads as 1970.
    pub fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { nanos_since_epoch: since_epoch.as_nanos() }
    }

    /// Nanoseconds since 1970, for names that must not collide.
    pub fn nanos_since_epoch(self) -> u128 {
        self.nanos_since_epoch
    }

    /// `20260131-093000`: sorts by time and is safe in a file name.
    pub fn file_stamp(self) -> String {
        let (year, month, day, second) = self.civil();
        let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
        format!("{year:04}{month:02}{day:02}-{h:02}{m:02}{s:02}")
    }

    /// Year, month, day and second of the day: days to civil date as in Howard Hinnant's `civil_from_days`.
    fn civil(self) -> (i64, i64, i64, i64) {
        let seconds = i64::try_from(self.nanos_since_epoch / 1_000_000_000).unwrap_or(i64::MAX);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        (year_of_era + era * 400 + i64::from(month <= 2), month, day, second)
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, second) = self.civil();
        let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_share_the_start_and_time_never_runs_back() {
        let clock = Clock::start();
        let copy = clock;
        let first = clock.now_s();
        let second = copy.now_s();
        assert!(first >= 0.0 && second >= first);
    }

    #[test]
    fn until_is_zero_for_the_past_and_for_no_time_at_all() {
        let clock = Clock::start();
        assert_eq!(clock.until(-1.0), Duration::ZERO);
        assert_eq!(clock.until(f64::NAN), Duration::ZERO);
        assert!(clock.until(1000.0) > Duration::from_secs(900));
    }

    #[test]
    fn a_thread_is_charged_for_its_work_and_not_for_its_sleep() {
        let work = || (0..2_000_000_u64).fold(0, |sum, i| std::hint::black_box(sum ^ i));
        let (thread_s, process_s) = (CpuTime::of_thread_s(), CpuTime::of_process_s());
        std::thread::sleep(Duration::from_millis(50));
        let slept_s = CpuTime::of_thread_s() - thread_s;
        let named = std::thread::Builder::new().name("worker-of-test".into()).spawn(move || {
            work();
            (CpuTime::of_thread_s(), CpuTime::of_threads_s(&["worker-of-t"]))
        });
        let (worked_s, read_s) = named.unwrap().join().unwrap();
        assert!(slept_s < 0.04, "{slept_s}");
        assert!(worked_s > 0.0 && CpuTime::of_process_s() - process_s >= worked_s, "{worked_s}");
        // The file may lag by a tick.
        assert!(read_s > 0.0 && (read_s - worked_s).abs() < 0.02, "{read_s}, {worked_s}");
    }

    #[test]
    fn known_moments_print_as_rfc_3339() {
        for (seconds, text) in [
            (0_u128, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            let at = WallTime { nanos_since_epoch: seconds * 1_000_000_000 };
            assert_eq!(at.to_string(), text);
        }
        let at = WallTime { nanos_since_epoch: 1_700_000_000_000_000_000 };
        assert_eq!(at.file_stamp(), "20231114-221320");
    }
}
