//! All ranks of one run: launched together, watched together, ended together.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::guard::{ProcessGuard, describe_exit};
use super::rank_environment::set_environment;
use super::rank_spec::RankSpec;

/// Environment variable that makes any Goldlap executable act as a rank.
pub const ROLE_VARIABLE: &str = "GOLDLAP_ROLE";
/// Its value for a rank.
pub const ROLE_RANK: &str = "rank";

/// How often the watcher looks for ranks that ended.
const WATCH_INTERVAL: Duration = Duration::from_millis(20);
/// How long a rank may take to end after STOP.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of a rank may take that was given up: its connection breaks before it is gone.
const LOST_PATIENCE: Duration = Duration::from_millis(300);
/// How long it may take to end after TERM.
const TERM_PATIENCE: Duration = Duration::from_millis(500);

/// A rank could not be started.
#[derive(Debug, thiserror::Error)]
#[error("rank {rank}: cannot start {executable}: {source}")]
pub struct LaunchError {
    rank: u32,
    executable: String,
    source: io::Error,
}

/// Told when a rank ends before it was asked to: rank, and how it ended.
pub type OnExit = Arc<dyn Fn(u32, String) + Send + Sync>;

/// How the ranks of a run ended.
#[derive(Debug, Default)]
pub struct FleetEnd {
    /// Ranks that ended before they were told to, or after they were given up, and how.
    pub premature: Vec<(u32, ExitStatus)>,
    /// Ranks that still ran although they were given up, or that did not end when told to; they were killed.
    pub unresponsive: Vec<u32>,
    /// Processes that could not be reaped, and why.
    pub complaints: Vec<String>,
}

/// The rank processes of one run.
pub struct Fleet {
    ranks: Arc<Mutex<Vec<Rank>>>,
    stopping: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

struct Rank {
    rank: u32,
    guard: ProcessGuard,
    log: PathBuf,
    /// It ended before it was told to.
    premature: Option<ExitStatus>,
}

impl Fleet {
    /// Starts one process per spec. Output of rank r goes to `<log_folder>/rank-<r>.log`.
    pub fn launch(
        executable: &Path,
        specs: &[RankSpec],
        log_folder: &Path,
        on_exit: OnExit,
    ) -> Result<Self, LaunchError> {
        let mut ranks = Vec::with_capacity(specs.len());
        for spec in specs {
            let log = log_folder.join(format!("rank-{}.log", spec.rank));
            let guard = start_rank(executable, spec, &log).map_err(|source| LaunchError {
                rank: spec.rank,
                executable: executable.display().to_string(),
                source,
            })?;
            ranks.push(Rank { rank: spec.rank, guard, log, premature: None });
        }
        let ranks = Arc::new(Mutex::new(ranks));
        let stopping = Arc::new(AtomicBool::new(false));
        let watcher = watch(Arc::clone(&ranks), Arc::clone(&stopping), on_exit);
        Ok(Self { ranks, stopping, watcher: Some(watcher) })
    }

    /// Process ids, by rank.
    pub fn pids(&self) -> Vec<u32> {
        lock(&self.ranks).iter().map(|rank| rank.guard.pid()).collect()
    }

    /// The file that holds a rank's output; empty for a rank that is not of this fleet.
    pub fn log(&self, rank: u32) -> PathBuf {
        let ranks = lock(&self.ranks);
        ranks.iter().find(|candidate| candidate.rank == rank).map(|rank| rank.log.clone()).unwrap_or_default()
    }

    /// The last `num_lines` lines of a rank's log.
    pub fn log_tail(&self, rank: u32, num_lines: usize) -> String {
        let ranks = lock(&self.ranks);
        let found = ranks.iter().find(|candidate| candidate.rank == rank);
        found.map_or_else(String::new, |rank| super::rank_log::tail(&rank.log, num_lines))
    }

    /// Ranks were told to stop (or are given up): their ends are not premature from now on.
    pub fn expect_end(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Waits for all ranks to end by themselves, then TERM, then KILL; for those in `given_up` only a moment.
    /// No process is left when this returns.
    pub fn end(mut self, given_up: &[u32]) -> FleetEnd {
        self.end_all(END_PATIENCE, given_up)
    }

    fn end_all(&mut self, patience: Duration, given_up: &[u32]) -> FleetEnd {
        self.expect_end();
        if let Some(watcher) = self.watcher.take() {
            // The watcher only polls and calls back; if it panicked, the guards are still ours to end.
            let _panicked = watcher.join();
        }
        let mut end = FleetEnd::default();
        for rank in lock(&self.ranks).iter_mut() {
            let is_given_up = given_up.contains(&rank.rank);
            let patience = if is_given_up { patience.min(LOST_PATIENCE) } else { patience };
            let ended_by_itself = match rank.guard.wait(patience) {
                Ok(None) => rank.guard.terminate(TERM_PATIENCE).map(|_status| None),
                waited => waited,
            };
            match ended_by_itself {
                // The watcher may not have come round to a rank that was lost just now.
                Ok(Some(status)) if is_given_up => end.premature.push((rank.rank, status)),
                Ok(Some(_)) => end.premature.extend(rank.premature.map(|status| (rank.rank, status))),
                Ok(None) => end.unresponsive.push(rank.rank),
                Err(error) => end.complaints.push(format!("rank {} cannot be reaped: {error}", rank.rank)),
            }
        }
        end
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _nobody_asked = self.end_all(Duration::ZERO, &[]);
    }
}

fn start_rank(executable: &Path, spec: &RankSpec, log: &Path) -> io::Result<ProcessGuard> {
    let log = File::create(log)?;
    let mut command = Command::new(executable);
    set_environment(&mut command, spec).map_err(io::Error::other)?;
    let mut child = command
        .env(ROLE_VARIABLE, ROLE_RANK)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    let input = child.stdin.take();
    let guard = ProcessGuard::new(child);
    let spec = serde_json::to_vec(spec).map_err(io::Error::other)?;
    match input.map(|mut input| input.write_all(&spec)) {
        Some(Ok(())) => Ok(guard),
        // It has ended already; its exit status and its log say more than the broken pipe.
        Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(guard),
        Some(Err(error)) => Err(error),
        None => Err(io::Error::other("the child has no standard input")),
    }
}

fn watch(ranks: Arc<Mutex<Vec<Rank>>>, stopping: Arc<AtomicBool>, on_exit: OnExit) -> JoinHandle<()> {
    thread::spawn(move || {
        while !stopping.load(Ordering::Relaxed) {
            for rank in lock(&ranks).iter_mut().filter(|rank| rank.premature.is_none()) {
                if let Ok(Some(status)) = rank.guard.try_wait()
                    && !stopping.load(Ordering::Relaxed)
                {
                    rank.premature = Some(status);
                    on_exit(rank.rank, describe_exit(status));
                }
            }
            thread::sleep(WATCH_INTERVAL);
        }
    })
}

fn lock(ranks: &Mutex<Vec<Rank>>) -> std::sync::MutexGuard<'_, Vec<Rank>> {
    // Guards stay valid whatever panicked while they were locked.
    ranks.lock().unwrap_or_else(PoisonError::into_inner)
}
