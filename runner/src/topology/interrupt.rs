//! Ctrl-C and TERM: no rank process outlives the parent.

use std::io;
use std::process;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::guard;

/// Process groups that live now. A list and not a set: a handful of entries.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Between TERM and KILL when the person at the terminal has asked to stop.
const PATIENCE: Duration = Duration::from_millis(300);

/// Starts the thread that, on SIGINT, SIGTERM or SIGHUP, ends all ranks, calls `before_exit` and exits with
/// 128 + signal. Ranks that the parent cannot reach any more (it was SIGKILLed) end by PR_SET_PDEATHSIG.
pub fn install(before_exit: fn()) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new().name("interrupt".into()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            eprintln!("goldlap: signal {signal}: ending all ranks");
            // Locked until the process has ended: nobody takes note of the end of a rank any more, which would
            // make the case fail and this process end before its time, and nobody starts new ones.
            let groups = groups();
            guard::kill_groups(&groups, PATIENCE);
            before_exit();
            process::exit(128 + signal);
        }
    })?;
    Ok(())
}

pub(super) fn register(group: Pid) {
    groups().push(group);
}

pub(super) fn forget(group: Pid) {
    groups().retain(|&known| known != group);
}

fn groups() -> std::sync::MutexGuard<'static, Vec<Pid>> {
    // A panic while holding the lock cannot leave a half-changed Vec.
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}
