//! The only file that kills: owns one rank process and sees it end.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGKILL, SIGTERM};

use super::interrupt;
use crate::metrics::Clock;

/// How often a process that should end is looked at.
const POLL: Duration = Duration::from_millis(5);

/// A rank process in a process group of its own. Dropping it ends and reaps the whole group.
#[derive(Debug)]
pub struct ProcessGuard {
    child: Child,
    group: Pid,
    ended: Option<ExitStatus>,
}

impl ProcessGuard {
    /// Takes over a child that was spawned with `process_group(0)`.
    pub(super) fn new(child: Child) -> Self {
        let group = Pid::from_child(&child);
        interrupt::register(group);
        Self { child, group, ended: None }
    }

    /// Process id of the rank.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the process ended, if it has. Reaps it.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none()
            && let Some(status) = self.child.try_wait()?
        {
            self.finish(status);
        }
        Ok(self.ended)
    }

    /// Waits until the process ends by itself; `None` when `patience` runs out first.
    pub fn wait(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let clock = Clock::start();
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(Some(status));
            }
            if clock.now_s() >= patience.as_secs_f64() {
                return Ok(None);
            }
            thread::sleep(POLL);
        }
    }

    /// TERM, wait until `patience` runs out, KILL, reap: the process is gone when this returns.
    pub fn terminate(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.try_wait()? {
            return Ok(status);
        }
        self.signal(Signal::TERM);
        if let Some(status) = self.wait(patience)? {
            return Ok(status);
        }
        self.signal(Signal::KILL);
        let status = self.child.wait()?;
        self.finish(status);
        Ok(status)
    }

    /// SIGKILL at once, without waiting: fault injection in tests.
    pub fn kill_now(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // The group is gone already when this fails; there is nobody left to tell.
        let _gone = kill_process_group(self.group, signal);
    }

    /// Kills what the rank may have left in its group, and forgets the group.
    fn finish(&mut self, status: ExitStatus) {
        self.signal(Signal::KILL);
        interrupt::forget(self.group);
        self.ended = Some(status);
    }
}

impl Drop for ProcessGuard {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.signal(Signal::KILL);
            if let Ok(status) = self.child.wait() {
                self.finish(status);
            }
        }
    }
}

/// Kills every group of `groups`: TERM, a moment, KILL. For the interrupt handler.
pub(super) fn kill_groups(groups: &[Pid], patience: Duration) {
    for &group in groups {
        let _gone = kill_process_group(group, Signal::TERM);
    }
    thread::sleep(patience);
    for &group in groups {
        let _gone = kill_process_group(group, Signal::KILL);
    }
}

/// Whether somebody from outside ended the process: nothing that a rank does to itself looks like this.
pub fn was_killed_from_outside(status: ExitStatus) -> bool {
    matches!(status.signal(), Some(SIGKILL | SIGTERM | SIGINT | SIGHUP))
}

/// `exited with status 3`, `was killed by signal 9 (SIGKILL)`.
pub fn describe_exit(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}{}", signal_name(signal)),
        (None, None) => "ended without a status".to_owned(),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    fn guarded(script: &str) -> ProcessGuard {
        ProcessGuard::new(Command::new("sh").args(["-c", script]).process_group(0).spawn().unwrap())
    }

    #[test]
    fn a_process_that_ignores_term_is_killed_after_the_patience() {
        let mut guard = guarded("trap '' TERM; while true; do sleep 0.01; done");
        thread::sleep(Duration::from_millis(100));
        let status = guard.terminate(Duration::from_millis(50)).unwrap();
        assert_eq!(describe_exit(status), "was killed by signal 9 (SIGKILL)");
    }

    #[test]
    fn grandchildren_in_the_group_go_too() {
        let mut guard = guarded("sleep 1000 & echo $!; exit 3");
        assert_eq!(
            describe_exit(guard.wait(Duration::from_secs(5)).unwrap().unwrap()),
            "exited with status 3"
        );
        assert_eq!(living(guard.group), 0);
    }

    #[test]
    fn dropping_the_guard_ends_the_process() {
        let guard = guarded("sleep 1000");
        let group = guard.group;
        drop(guard);
        assert_eq!(living(group), 0);
    }

    /// Members of the group that still run after a moment; a killed process needs one to end.
    fn living(group: Pid) -> usize {
        let clock = Clock::start();
        while living_now(group) > 0 && clock.now_s() < 2.0 {
            thread::sleep(POLL);
        }
        living_now(group)
    }

    /// Orphans that init has yet to reap do not count.
    fn living_now(group: Pid) -> usize {
        let group = group.as_raw_nonzero().to_string();
        let stats = std::fs::read_dir("/proc").unwrap().flatten();
        let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        stats
            .filter(|stat| {
                // pid (name) state ppid pgrp ...; the name may hold anything, so count from its end
                let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
                fields[0] != "Z" && fields[2] == group
            })
            .count()
    }
}
