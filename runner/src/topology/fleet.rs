//! All ranks of one run: launched together, watched together, ended together.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::guard::{ProcessGuard, describe_exit};
use super::rank_spec::RankSpec;

/// Environment variable that makes any Goldlap executable act as a rank.
pub const ROLE_VARIABLE: &str = "GOLDLAP_ROLE";
/// Its value for a rank.
pub const ROLE_RANK: &str = "rank";

/// How often the watcher looks for ranks that ended.
const WATCH_INTERVAL: Duration = Duration::from_millis(20);
/// How long a rank may take to end after STOP or TERM.
const END_PATIENCE: Duration = Duration::from_secs(5);

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

/// The rank processes of one run.
pub struct Fleet {
    guards: Arc<Mutex<Vec<ProcessGuard>>>,
    pids: Vec<u32>,
    logs: Vec<PathBuf>,
    stopping: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

impl Fleet {
    /// Starts one process per spec. Output of rank r goes to `<log_folder>/rank-<r>.log`.
    pub fn launch(
        executable: &Path,
        specs: &[RankSpec],
        log_folder: &Path,
        on_exit: OnExit,
    ) -> Result<Self, LaunchError> {
        let mut guards = Vec::with_capacity(specs.len());
        let mut logs = Vec::with_capacity(specs.len());
        for spec in specs {
            let log = log_folder.join(format!("rank-{}.log", spec.rank));
            let guard = start_rank(executable, spec, &log).map_err(|source| LaunchError {
                rank: spec.rank,
                executable: executable.display().to_string(),
                source,
            })?;
            guards.push(guard);
            logs.push(log);
        }
        let pids = guards.iter().map(ProcessGuard::pid).collect();
        let guards = Arc::new(Mutex::new(guards));
        let stopping = Arc::new(AtomicBool::new(false));
        let ranks: Vec<u32> = specs.iter().map(|spec| spec.rank).collect();
        let watcher = watch(Arc::clone(&guards), ranks, Arc::clone(&stopping), on_exit);
        Ok(Self { guards, pids, logs, stopping, watcher: Some(watcher) })
    }

    /// Process ids by rank.
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// The last `num_lines` lines of a rank's log.
    pub fn log_tail(&self, rank: usize, num_lines: usize) -> String {
        self.logs.get(rank).map_or_else(String::new, |log| super::rank_log::tail(log, num_lines))
    }

    /// Ranks were told to stop (or are given up): their ends are no incidents from now on.
    pub fn expect_end(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Waits for all ranks to end by themselves, then TERM, then KILL; returns what did not go well.
    /// No process is left when this returns.
    pub fn end(mut self) -> Vec<String> {
        self.end_all(END_PATIENCE)
    }

    fn end_all(&mut self, patience: Duration) -> Vec<String> {
        self.expect_end();
        if let Some(watcher) = self.watcher.take() {
            // The watcher only polls and calls back; if it panicked, the guards are still ours to end.
            let _panicked = watcher.join();
        }
        let mut complaints = Vec::new();
        for (rank, guard) in lock(&self.guards).iter_mut().enumerate() {
            match guard.wait(patience) {
                Ok(Some(_)) => {}
                Ok(None) => match guard.terminate(Duration::from_millis(500)) {
                    Ok(status) => complaints
                        .push(format!("rank {rank} did not stop when told to and {}", describe_exit(status))),
                    Err(error) => complaints.push(format!("rank {rank} cannot be reaped: {error}")),
                },
                Err(error) => complaints.push(format!("rank {rank} cannot be reaped: {error}")),
            }
        }
        complaints
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _complaints = self.end_all(Duration::ZERO);
    }
}

fn start_rank(executable: &Path, spec: &RankSpec, log: &Path) -> io::Result<ProcessGuard> {
    let log = File::create(log)?;
    let mut child = Command::new(executable)
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
        Some(Err(error)) => Err(error),
        None => Err(io::Error::other("the child has no standard input")),
    }
}

fn watch(
    guards: Arc<Mutex<Vec<ProcessGuard>>>,
    ranks: Vec<u32>,
    stopping: Arc<AtomicBool>,
    on_exit: OnExit,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut reported = vec![false; ranks.len()]; // by index into `ranks`
        while !stopping.load(Ordering::Relaxed) {
            for (index, guard) in lock(&guards).iter_mut().enumerate() {
                if reported[index] {
                    continue;
                }
                if let Ok(Some(status)) = guard.try_wait()
                    && !stopping.load(Ordering::Relaxed)
                {
                    reported[index] = true;
                    on_exit(ranks[index], describe_exit(status));
                }
            }
            thread::sleep(WATCH_INTERVAL);
        }
    })
}

fn lock(guards: &Mutex<Vec<ProcessGuard>>) -> std::sync::MutexGuard<'_, Vec<ProcessGuard>> {
    // Guards stay valid whatever panicked while they were locked.
    guards.lock().unwrap_or_else(PoisonError::into_inner)
}
