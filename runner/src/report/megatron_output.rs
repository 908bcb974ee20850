//! The output JSON of Megatron-LM's inference scripts, so that its tools read our results.

use std::collections::BTreeMap;

use crate::golden::{Json, Metric, logprob_to_json};
use crate::metrics::{Metrics, RankRecord, RequestOutcome, RequestRecord};

/// Whose layout.
#[derive(Clone, Copy, Debug)]
pub enum MegatronLayout<'a> {
    /// `gpt_dynamic_inference_with_coordinator.py`: requests only, newlines of texts as a backslash and an `n`.
    Coordinator,
    /// The same with `--throughput-check-only`: tokens / latency of each request, and nothing else.
    ThroughputOnly(&'a Metrics),
    /// `offline_inference.py`: requests, then what was measured over the run.
    Offline(&'a Metrics),
    /// `gpt_dynamic_inference.py`: the same with more about each request, and one throughput per repeat.
    Direct(DirectRun<'a>),
}

/// What the original's direct script knows beside the requests of its last repeat.
#[derive(Clone, Copy, Debug)]
pub struct DirectRun<'a> {
    /// Summary of each repeat; the last one's requests are written.
    pub repeats: &'a [&'a Metrics],
    /// Ranks of the last repeat.
    pub ranks: &'a [RankRecord],
    /// Every so many requests are written, and the last.
    pub every_n_results: usize,
    /// With the throughput of each repeat.
    pub throughput: bool,
}

/// The file's text: completed requests by ascending id, in `layout`.
pub fn megatron_output(requests: &[RequestRecord], layout: MegatronLayout<'_>) -> String {
    let mut completed: Vec<&RequestRecord> =
        requests.iter().filter(|r| r.outcome == RequestOutcome::Completed).collect();
    completed.sort_by_key(|request| request.id);
    let entries =
        |of: fn(&RequestRecord) -> Json| completed.iter().map(|r| (r.id.to_string(), of(r))).collect();
    let members: Vec<(String, Json)> = match layout {
        MegatronLayout::Coordinator => entries(coordinator_entry),
        MegatronLayout::ThroughputOnly(metrics) => {
            let list = metrics.throughput.iter().copied().map(Json::float).collect();
            vec![(Metric::Throughput.name().to_owned(), Json::Array(list))]
        }
        MegatronLayout::Offline(metrics) => {
            let mut members: Vec<(String, Json)> = entries(offline_entry);
            members.extend(offline_system(&[metrics], true));
            members
        }
        MegatronLayout::Direct(run) => {
            let last = completed.len().saturating_sub(1);
            let written = |(i, _): &(usize, _)| i % run.every_n_results.max(1) == 0 || *i == last;
            let entry = |(_, request): (usize, &&RequestRecord)| {
                (request.id.to_string(), direct_entry(request, &run))
            };
            let mut members: Vec<(String, Json)> =
                completed.iter().enumerate().filter(written).map(entry).collect();
            members.extend(offline_system(run.repeats, run.throughput));
            members.extend(
                ["async_sched_step_count", "async_sched_compaction_step_count"]
                    .map(|key| field(key, Json::from(0))),
            );
            members
        }
    };
    Json::Object(members).pretty()
}

fn coordinator_entry(request: &RequestRecord) -> Json {
    let mut fields = common(request, &request.generated_text.replace('\n', "\\n"));
    if let Some(generated) = &request.generated_logprobs {
        fields.push(field("logprobs", logprobs(request.prompt_logprobs.iter().flatten().chain(generated))));
    }
    Json::Object(fields)
}

fn offline_entry(request: &RequestRecord) -> Json {
    let mut fields = common(request, &request.generated_text);
    let first = request.arrivals.iter().find(|arrival| arrival.num_tokens > 0);
    fields
        .push(field("ttft", first.map_or(Json::Null, |arrival| Json::float(arrival.at_s - request.sent_s))));
    if let Some(generated) = &request.generated_logprobs {
        let prompt = request.prompt_logprobs.as_deref().unwrap_or_default();
        fields.push(field("prompt_logprobs", logprobs(prompt)));
        fields.push(field("generated_logprobs", logprobs(generated)));
        fields.push(field("logprobs", logprobs(prompt.iter().chain(generated))));
    }
    Json::Object(fields)
}

fn direct_entry(request: &RequestRecord, run: &DirectRun<'_>) -> Json {
    let Json::Object(mut fields) = offline_entry(request) else { return Json::Null };
    let steps = run.ranks.iter().map(|rank| rank.num_steps).max().unwrap_or(0);
    let top_n = |list: &Option<Vec<Vec<(String, f32)>>>| list.as_deref().map_or(Json::Null, by_text);
    let at = fields.iter().position(|(key, _)| key == "ttft").map_or(fields.len(), |at| at + 1);
    let more = [
        field("cuda_graph_request_count_map", graph_steps(run.ranks)),
        field("step_count", Json::from(steps)),
        field("top_n_logprobs", top_n(&request.generated_top_n_logprobs)),
        field("prompt_top_n_logprobs", top_n(&request.prompt_top_n_logprobs)),
    ];
    fields.splice(at..at, more);
    Json::Object(fields)
}

/// Steps of all ranks that ran as CUDA graphs, by the requests that the graph has room for; null without graphs.
fn graph_steps(ranks: &[RankRecord]) -> Json {
    let mut steps = BTreeMap::new();
    for (&requests, &count) in
        ranks.iter().flat_map(|rank| &rank.graphs).flat_map(|graphs| &graphs.replays_by_requests)
    {
        *steps.entry(requests).or_insert(0) += count;
    }
    let captures = ranks.iter().any(|rank| rank.graphs.is_some());
    let members =
        steps.into_iter().map(|(requests, count): (usize, u64)| (requests.to_string(), Json::from(count)));
    if captures { Json::Object(members.collect()) } else { Json::Null }
}

/// By position a map from text to logprob; of tokens with equal texts the likeliest one, as a map can hold one only.
fn by_text(positions: &[Vec<(String, f32)>]) -> Json {
    let map = |alternatives: &Vec<(String, f32)>| {
        let mut members: Vec<(String, Json)> = Vec::with_capacity(alternatives.len());
        for (text, logprob) in alternatives {
            if members.iter().all(|(known, _)| known != text) {
                members.push((text.clone(), logprob_to_json(*logprob)));
            }
        }
        Json::Object(members)
    };
    Json::Array(positions.iter().map(map).collect())
}

/// What was measured over the last of some repeats, and the throughput of each.
fn offline_system(repeats: &[&Metrics], with_throughput: bool) -> Vec<(String, Json)> {
    let mut members = Vec::new();
    if with_throughput {
        let all = repeats.iter().filter_map(|metrics| metrics.output_throughput.value());
        members.push(field(Metric::Throughput.name(), Json::Array(all.map(Json::float).collect())));
    }
    let Some(metrics) = repeats.last() else { return members };
    if let Some(bytes) = metrics.mem_max_allocated_bytes.value() {
        members.push(field(Metric::MemMaxAllocatedBytes.name(), Json::from(bytes as u64)));
    }
    let prefill = Json::from(metrics.lifetime_prefill_token_count);
    members.push(field(Metric::LifetimePrefillTokenCount.name(), prefill));
    members
}

/// What both scripts write of a request.
fn common(request: &RequestRecord, text: &str) -> Vec<(String, Json)> {
    let tokens = request.generated_tokens.iter().map(|&token| Json::from(u64::from(token))).collect();
    let latency = request.finished_s.map_or(Json::Null, |at_s| Json::float(at_s - request.sent_s));
    vec![
        field("input_prompt", request.prompt.as_deref().map_or(Json::Null, Json::from)),
        field("generated_text", Json::from(text)),
        field("generated_tokens", Json::Array(tokens)),
        field("latency", latency),
    ]
}

fn logprobs<'a>(list: impl IntoIterator<Item = &'a f32>) -> Json {
    Json::Array(list.into_iter().copied().map(logprob_to_json).collect())
}

fn field(key: &str, value: Json) -> (String, Json) {
    (key.to_owned(), value)
}

#[cfg(test)]
mod tests {
    use goldlap_kernels::ops::graph_counts::GraphCounts;

    use super::*;
    use crate::golden::Golden;
    use crate::golden::test_run::record;

    fn parsed(layout: MegatronLayout<'_>) -> serde_json::Value {
        serde_json::from_str(&megatron_output(&record("cpu").requests, layout)).unwrap()
    }

    #[test]
    fn the_coordinator_layout_has_requests_only_and_flat_text() {
        let output = parsed(MegatronLayout::Coordinator);
        assert_eq!(output.as_object().unwrap().keys().collect::<Vec<_>>(), ["0", "1", "2"]);
        let fields: Vec<_> = output["1"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(fields, ["input_prompt", "generated_text", "generated_tokens", "latency", "logprobs"]);
        assert_eq!(output["1"]["generated_text"], "reply 1\\nof ten words");
        assert_eq!(output["1"]["latency"], 1.1);
        assert_eq!(output["1"]["logprobs"].as_array().unwrap().len(), 12);
    }

    #[test]
    fn throughput_check_only_has_one_number_per_request() {
        let metrics = Metrics::of(&record("cpu"), None);
        let output = parsed(MegatronLayout::ThroughputOnly(&metrics));
        assert_eq!(output.as_object().unwrap().len(), 1);
        assert_eq!(output["throughput"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn what_is_written_reads_as_a_golden() {
        let run = record("cpu");
        let metrics = Metrics::of(&run, None);
        for layout in [
            MegatronLayout::Coordinator,
            MegatronLayout::ThroughputOnly(&metrics),
            MegatronLayout::Offline(&metrics),
        ] {
            let text = megatron_output(&run.requests, layout);
            let golden = Golden::from_bytes(text.as_bytes()).unwrap();
            if let Some(request) = golden.requests.get(&0) {
                let logprobs = request.logprobs.as_ref().unwrap();
                assert_eq!(logprobs[2..], run.requests[0].generated_logprobs.clone().unwrap());
            }
        }
        let offline = parsed(MegatronLayout::Offline(&metrics));
        assert_eq!(offline["lifetime_prefill_token_count"], 9);
        assert_eq!(offline["0"]["ttft"], 0.1);
    }

    #[test]
    fn the_direct_layout_has_graphs_alternatives_and_each_repeat() {
        let mut run = record("vcuda");
        let replays_by_requests = [(1, 4), (8, 2)].into();
        run.ranks[0].graphs = Some(GraphCounts { replays_by_requests, ..GraphCounts::default() });
        run.ranks.push(run.ranks[0].clone());
        let alternatives = vec![vec![("a".to_owned(), -0.5), ("b".to_owned(), -1.0), ("a".to_owned(), -2.0)]];
        run.requests[0].generated_top_n_logprobs = Some(alternatives);
        let metrics = Metrics::of(&run, None);
        let repeats = [&metrics, &metrics, &metrics];
        let direct = |every_n_results, throughput| {
            let ranks = &run.ranks;
            let layout =
                MegatronLayout::Direct(DirectRun { repeats: &repeats, ranks, every_n_results, throughput });
            serde_json::from_str::<serde_json::Value>(&megatron_output(&run.requests, layout)).unwrap()
        };
        let all = direct(1, true);
        assert_eq!(all["0"]["cuda_graph_request_count_map"], serde_json::json!({"1": 8, "8": 4}));
        assert_eq!(all["0"]["top_n_logprobs"], serde_json::json!([{"a": -0.5, "b": -1.0}]));
        assert_eq!(all["1"]["top_n_logprobs"], serde_json::Value::Null);
        assert_eq!(all["throughput"].as_array().unwrap().len(), 3);
        let some = direct(2, false);
        assert!(some.get("0").is_some() && some.get("1").is_none() && some.get("2").is_some());
        assert!(some.get("throughput").is_none());
    }

    #[test]
    fn requests_that_did_not_complete_are_left_out() {
        let mut run = record("cpu");
        run.requests[1].outcome = RequestOutcome::Unanswered;
        let text = megatron_output(&run.requests, MegatronLayout::Coordinator);
        let output: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(output.as_object().unwrap().keys().collect::<Vec<_>>(), ["0", "2"]);
    }
}
