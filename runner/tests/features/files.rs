//! Files that a case asks for are there, in the original's layout, and true to the record of the run.

use std::fs;

use goldlap::metrics::RunRecord;
use goldlap::report::{CaseOutcome, CaseResult};
use libtest_mimic::Failed;
use serde_json::Value;
use tempfile::TempDir;

use super::workshop::{Edit, Workshop};

/// Flags whose files, or what they leave out of them, are tested here: each assertion fails where the flag is ignored.
pub(crate) const SWITCHED: [&str; 5] = [
    "--output-path",
    "--output-every-n-results",
    "--no-record-throughput",
    "--throughput-check-only",
    "--coordinator-schedule-output-path",
];

/// The case's file under `flag`, and the record of the last run.
fn written(case: &str, flag: &'static str, more: &[Edit]) -> Result<(Value, RunRecord), Failed> {
    let folder = TempDir::new()?;
    let path = folder.path().join("out.json");
    // An edit is static; so small a text may stay.
    let text: &'static str = path.display().to_string().leak();
    let edits: Vec<Edit> = more.iter().copied().chain([Edit::With(flag, text)]).collect();
    let workshop = Workshop::new(case, &edits)?;
    let result = passed(workshop.run()?)?;
    let file = serde_json::from_slice(&fs::read(&path)?)?;
    let last = result.records.last().ok_or("a record")?;
    Ok((file, serde_json::from_slice(&fs::read(last)?)?))
}

fn passed(result: CaseResult) -> Result<CaseResult, Failed> {
    if matches!(result.outcome, CaseOutcome::Passed) {
        return Ok(result);
    }
    Err(format!("{:?}", result.outcome).into())
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

pub(crate) fn the_direct_output_has_each_repeat() -> Result<(), Failed> {
    let (file, record) = written("dp1_tiny_repeats", "--output-path", &[])?;
    let ids = ["0", "1", "2", "3"];
    let about_the_run = [
        "throughput",
        "mem-max-allocated-bytes",
        "lifetime_prefill_token_count",
        "async_sched_step_count",
        "async_sched_compaction_step_count",
    ];
    assert_eq!(keys(&file), [&ids[..], &about_the_run].concat());
    assert_eq!(record.repeat, 3, "N_REPEAT times --inference-repeat-n");
    let throughput = file["throughput"].as_array().ok_or("a list")?;
    assert!(
        throughput.len() == 2 && throughput[0] != throughput[1],
        "one per repeat of the file: {throughput:?}"
    );
    let fields = [
        "input_prompt",
        "generated_text",
        "generated_tokens",
        "latency",
        "ttft",
        "cuda_graph_request_count_map",
        "step_count",
        "top_n_logprobs",
        "prompt_top_n_logprobs",
        "prompt_logprobs",
        "generated_logprobs",
        "logprobs",
    ];
    assert_eq!(keys(&file["2"]), fields);
    assert_eq!(file["2"]["step_count"], record.ranks[0].num_steps);
    assert_eq!(file["2"]["cuda_graph_request_count_map"], Value::Null);
    let less = [Edit::With("--output-every-n-results", "2"), Edit::With("--no-record-throughput", "true")];
    let (file, _) = written("dp1_tiny_repeats", "--output-path", &less)?;
    assert_eq!(keys(&file), [&["0", "2", "3"][..], &about_the_run[1..]].concat());
    Ok(())
}

pub(crate) fn the_coordinators_output_is_the_coordinators() -> Result<(), Failed> {
    let (file, record) = written("dp1_tiny_step_arrivals", "--output-path", &[])?;
    assert_eq!(file.as_object().map(serde_json::Map::len), Some(record.requests.len()));
    assert_eq!(
        keys(&file["0"]),
        ["input_prompt", "generated_text", "generated_tokens", "latency", "logprobs"]
    );
    let only = [Edit::With("--throughput-check-only", "true")];
    let (file, record) = written("dp1_tiny_step_arrivals", "--output-path", &only)?;
    assert_eq!(keys(&file), ["throughput"]);
    assert_eq!(file["throughput"].as_array().map(Vec::len), Some(record.requests.len()));
    Ok(())
}

pub(crate) fn the_schedule_says_where_requests_went() -> Result<(), Failed> {
    const FLAG: &str = "--coordinator-schedule-output-path";
    let (file, record) = written("dp2_tiny_route_longest_prefix", FLAG, &[])?;
    assert_eq!((&file["policy"], &file["data_parallel_size"]), (&"longest_prefix".into(), &2.into()));
    assert_eq!(file["num_requests"], 3);
    let of = |record: &Value, key: &str| record[key].as_u64();
    let records = file["records"].as_array().ok_or("a list")?;
    let went: Vec<_> = records.iter().map(|r| (of(r, "request_id"), of(r, "rank_index"))).collect();
    let served = record.requests.iter().map(|request| (Some(request.id), request.rank.map(u64::from)));
    assert_eq!(went, served.collect::<Vec<_>>());
    let hashes: Vec<_> = records.iter().map(|record| of(record, "num_hashes")).collect();
    assert_eq!(hashes, [Some(2), Some(11), Some(13)]);
    Ok(())
}
