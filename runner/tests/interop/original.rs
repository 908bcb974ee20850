//! The original's own client and coordinator, unchanged, from the wheels of megatron-core that lie in the folder
//! GOLDLAP_MEGATRON_WHEELS; without, every trial is listed as ignored.

use std::fs;
use std::path::PathBuf;

use libtest_mimic::{Completion, Failed, Trial};

use crate::service::Model;
use crate::{Python, driven, foreign};

/// The name of a trial, the release of megatron-core, and what is done with it.
const TRIALS: [(&str, &str, Use); 9] = [
    (
        "megatron_0_16_drives_the_service",
        "0.16",
        Use::Client { end: "stop", service: &["--old-clients", "0.16"] },
    ),
    ("megatron_0_17_drives_the_service", "0.17", Use::Client { end: "stop", service: &[] }),
    ("megatron_0_17_shuts_the_service_down", "0.17", Use::Client { end: "shutdown", service: &[] }),
    ("megatron_0_18_drives_the_service", "0.18", Use::Client { end: "stop", service: &["--dp", "2"] }),
    ("megatron_0_18_shuts_the_service_down", "0.18", Use::Client { end: "shutdown", service: &[] }),
    ("megatron_0_19_drives_the_service", "0.19", Use::Client { end: "stop", service: &["--dp", "2"] }),
    ("megatron_0_19_shuts_the_service_down", "0.19", Use::Client { end: "shutdown", service: &[] }),
    ("megatron_0_19_drives_a_single_rank", "0.19", Use::Client { end: "stop", service: &[] }),
    ("ranks_join_the_coordinator_of_megatron_0_19", "0.19", Use::Coordinator),
];

#[derive(Clone, Copy)]
enum Use {
    /// Its client says everything that it can, and ends the service like this.
    Client { end: &'static str, service: &'static [&'static str] },
    /// Its coordinator, with its client, over two ranks of ours.
    Coordinator,
}

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |(name, release, purpose): (&'static str, &'static str, Use)| {
        Trial::ignorable_test(name, move || {
            let found = Python::find().and_then(|python| Ok((python, wheel(release)?)));
            let (python, wheel) = match found {
                Ok(found) => found,
                Err(reason) => return Ok(Completion::ignored_with(reason)),
            };
            run(&python, &wheel, purpose)?;
            Ok(Completion::Completed)
        })
    };
    TRIALS.into_iter().map(trial).collect()
}

fn run(python: &Python, wheel: &str, purpose: Use) -> Result<(), Failed> {
    let model = Model::random()?;
    match purpose {
        Use::Client { end, service } => {
            driven(&model, service, |endpoint| python.run("megatron.py", &["client", wheel, endpoint, end]))?;
            Ok(())
        }
        Use::Coordinator => {
            foreign::ranks_serve(&model, python.script("megatron.py", &["coordinator", wheel, "2"]))
        }
    }
}

/// The wheel of a release.
fn wheel(release: &str) -> Result<String, String> {
    let folder = std::env::var_os("GOLDLAP_MEGATRON_WHEELS").map(PathBuf::from);
    let folder = folder.ok_or("GOLDLAP_MEGATRON_WHEELS names no folder with wheels of megatron-core")?;
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let start = format!("megatron_core-{release}.");
    let is_wanted = |name: &str| name.starts_with(&start) && name.ends_with(".whl");
    let found = entries.flatten().find(|entry| entry.file_name().to_str().is_some_and(is_wanted));
    let found = found.ok_or_else(|| format!("{} has no wheel {start}*", folder.display()))?;
    Ok(found.path().display().to_string())
}
