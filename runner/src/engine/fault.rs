//! Failures that the project's own tests order: a rank that kills itself.

use rustix::process::{Signal, getpid, kill_process};

/// Ends this process as the kernel's out-of-memory killer would: at once, without any clean-up.
pub(super) fn die() -> ! {
    // Whether or not the signal could be sent, this process must not go on.
    let _result = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}
