//! A short-lived process beside the ranks: measures what a rank's device can do, and ends.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::fleet::ROLE_VARIABLE;
use super::guard::describe_exit;
use super::rank_environment::set_environment;
use super::rank_spec::RankSpec;

/// Value of [`ROLE_VARIABLE`] for it.
pub const ROLE_LIMITS: &str = "limits";

/// Starts `executable` in that role where the rank of `spec` would run, and returns what it printed.
pub fn probe(executable: &Path, spec: &RankSpec) -> Result<String, String> {
    let fail = |what: &dyn std::fmt::Display| format!("the limits of the device cannot be measured: {what}");
    let mut command = Command::new(executable);
    set_environment(&mut command, spec).map_err(|error| fail(&error))?;
    command
        .env(ROLE_VARIABLE, ROLE_LIMITS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| fail(&error))?;
    let text = serde_json::to_vec(spec).map_err(|error| fail(&error))?;
    // A process that has ended already says why; its input closes when it goes out of scope.
    let _broken_pipe = child.stdin.take().map(|mut input| input.write_all(&text));
    let output = child.wait_with_output().map_err(|error| fail(&error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(fail(&format!("the process {}: {}", describe_exit(output.status), said.trim())))
}
