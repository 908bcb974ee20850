//! `goldlap serve --config`: a service as a case describes it, which the case's own requests then find.

use std::path::Path;
use std::time::Duration;

use goldlap::client::Client;
use goldlap::metrics::Clock;
use libtest_mimic::{Completion, Failed, Trial};
use serde_json::Value;

use crate::service::{Service, program};

const CASE: &str = "gpt_dynamic_inference_tp1_pp1_dp2_tiny_route_longest_prefix_zmq";

/// Needs no peer in Python.
pub(crate) fn trial() -> Trial {
    Trial::ignorable_test("a_service_is_what_a_case_says", || {
        serve_as_the_case_says()?;
        Ok(Completion::Completed)
    })
}

/// The shipped case passes against its golden at a service that was told nothing but its config: model, vocabulary, two ranks. The
/// schedule shows routing and prefix caching: the third request, sent when the others are done, follows the second. How many tokens were
/// cached is not compared, since a client that does not announce itself is not told.
fn serve_as_the_case_says() -> Result<(), Failed> {
    let root = tempfile::tempdir()?;
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let schedule = root.path().join("schedule.json");
    let folder = root.path().join("gpt").join(CASE);
    std::fs::create_dir_all(&folder)?;
    let config = folder.join("model_config.yaml");
    let shipped =
        std::fs::read_to_string(repository.join("test_cases/gpt").join(CASE).join("model_config.yaml"))?;
    let line = format!("  --coordinator-schedule-output-path: {}\nMETRICS:\n", schedule.display());
    let text = shipped.replacen("METRICS:\n", &line, 1).replacen("  - num_cached_tokens\n", "", 1);
    std::fs::write(&config, text)?;

    let mut command = program();
    command.arg("serve").arg("--config").arg(&config).env("DATA_PATH", repository.join("test_cases"));
    let mut service = Service::started(command, root.path())?;
    let mut run = program();
    run.args(["run", CASE, "--endpoint", service.endpoint(), "--cases"]).arg(root.path());
    run.arg("--goldens")
        .arg(repository.join("golden_values"))
        .arg("--output")
        .arg(root.path().join("output"));
    let ran = run.env("DATA_PATH", repository.join("test_cases")).output()?;
    let said = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    if !ran.status.success() || !said.contains("1 passed") {
        return Err(format!("the case failed there:\n{said}\n{}", service.kill()).into());
    }
    let mut client = Client::connect_plainly(service.endpoint(), Clock::start(), Duration::from_secs(10))?;
    client.shutdown()?;
    let (code, said) = service.wait()?;
    if code != Some(0) {
        return Err(format!("the service ended with {code:?}:\n{said}").into());
    }
    service.nothing_is_left()?;
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&schedule)?)?;
    let head =
        [&written["policy"], &written["data_parallel_size"], &written["num_requests"]].map(Value::to_string);
    assert_eq!(head, ["\"longest_prefix\"", "2", "3"], "{written}");
    let records = &written["records"];
    assert!(records[2]["num_hashes"].as_u64() > Some(0), "{written}");
    assert_eq!(records[2]["rank_index"], records[1]["rank_index"], "{written}");
    assert_ne!(records[1]["rank_index"], records[0]["rank_index"], "{written}");
    Ok(())
}
