//! The service against independent peers in Python, which know the protocol and nothing of Goldlap.
//! They need python3 with pyzmq and msgpack (GOLDLAP_INTEROP_PYTHON names another interpreter); without, every trial
//! is listed as ignored.

mod configured;
mod foreign;
mod original;
mod service;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};

use service::{Model, Service};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, trials()).exit_code()
}

type Test = fn(&Model, &Python) -> Result<(), Failed>;

fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 12] = [
        ("a_client_of_head_submits_streams_aborts_and_controls", |model, python| {
            scenario(model, python, "current", &["--dp", "2"])
        }),
        ("a_deserialising_client_of_0_17", |model, python| scenario(model, python, "0.17", &[])),
        ("a_deserialising_client_of_0_18", |model, python| scenario(model, python, "0.18", &[])),
        ("a_deserialising_client_of_0_19", |model, python| scenario(model, python, "0.19", &[])),
        ("a_deserialising_client_of_head", |model, python| scenario(model, python, "head", &[])),
        ("stop_ends_the_service", |model, python| scenario(model, python, "stop", &[])),
        ("clients_of_0_17_and_head_are_served_side_by_side", |model, python| {
            scenario(model, python, "older", &[])
        }),
        ("a_client_of_0_16_gets_its_acknowledgements", |model, python| {
            scenario(model, python, "oldest", &["--old-clients", "0.16"])
        }),
        ("a_client_that_vanishes_harms_nobody", |model, python| scenario(model, python, "vanish", &[])),
        ("ranks_join_a_foreign_coordinator", foreign::ranks_join),
        ("a_case_runs_at_a_foreign_coordinator", foreign::a_case_runs_elsewhere),
        ("ctrl_c_ends_the_service_and_every_rank", ctrl_c),
    ];
    let trial = |(name, test): (&'static str, Test)| {
        Trial::ignorable_test(name, move || {
            let python = match Python::find() {
                Ok(python) => python,
                Err(reason) => return Ok(Completion::ignored_with(reason)),
            };
            test(&Model::random()?, &python)?;
            Ok(Completion::Completed)
        })
    };
    tests.into_iter().map(trial).chain(original::trials()).chain([configured::trial()]).collect()
}

/// An interpreter that has what the peers need.
pub(crate) struct Python(PathBuf);

impl Python {
    fn find() -> Result<Python, String> {
        let name = std::env::var_os("GOLDLAP_INTEROP_PYTHON").unwrap_or_else(|| "python3".into());
        let check = Command::new(&name).args(["-c", "import msgpack, zmq"]).stdin(Stdio::null()).output();
        let shown = Path::new(&name).display();
        match check {
            Ok(output) if output.status.success() => Ok(Python(name.into())),
            Ok(_) => Err(format!("{shown} has no pyzmq and msgpack: pip install pyzmq msgpack")),
            Err(error) => Err(format!("{shown} cannot be started: {error}")),
        }
    }

    fn script(&self, name: &str, arguments: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name);
        let mut command = Command::new(&self.0);
        command.arg(script).args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Result<Output, Failed> {
        Ok(self.script(script, arguments).output()?)
    }
}

/// A service driven through one scenario by the peer, which also ends it.
fn scenario(model: &Model, python: &Python, name: &str, arguments: &[&str]) -> Result<(), Failed> {
    let said = driven(model, arguments, |endpoint| python.run("peer.py", &[name, endpoint]))?;
    if name == "current" {
        for line in [
            "PAUSE: Running -> Paused, passed on to 2 ranks",
            "PAUSE: nothing to do while Paused",
            "UNPAUSE: has no meaning while Running, not passed on",
            "SUSPEND: Paused -> Suspended, passed on to 2 ranks",
            "SET_GENERATION_EPOCH: Running -> Running, passed on to 2 ranks",
            "ended: a client said SHUTDOWN",
        ] {
            if !said.contains(line) {
                return Err(format!("the log lacks {line:?}:\n{said}").into());
            }
        }
    }
    Ok(())
}

/// What the service said that a peer drove, from its start to its good end.
fn driven(
    model: &Model,
    arguments: &[&str],
    peer: impl FnOnce(&str) -> Result<Output, Failed>,
) -> Result<String, Failed> {
    let mut service = Service::start(model, arguments)?;
    let output = peer(service.endpoint())?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("the peer failed:\n{error}\nthe service said:\n{}", service.kill()).into());
    }
    let (code, said) = service.wait()?;
    if code != Some(0) {
        return Err(format!("the service ended with {code:?}:\n{said}").into());
    }
    service.nothing_is_left()?;
    Ok(said)
}

fn ctrl_c(model: &Model, _python: &Python) -> Result<(), Failed> {
    let mut service = Service::start(model, &["--dp", "2"])?;
    let pid = Pid::from_raw(service.pid() as i32).ok_or("no pid")?;
    kill_process(pid, Signal::INT)?;
    let (code, said) = service.wait()?;
    if code != Some(130) {
        return Err(format!("the service ended with {code:?}:\n{said}").into());
    }
    service.nothing_is_left()
}
