//! Any message, for round trips and as a start for mutations.

use proptest::collection::{btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use rmpv::Value;

use crate::coordinator::wire::*;
use crate::engine::CacheChanges;
use crate::metrics::RankRecord;

fn logprobs() -> impl Strategy<Value = Vec<f32>> {
    vec(-50.0_f32..=0.0, 0..5)
}

fn alternatives() -> impl Strategy<Value = Vec<Value>> {
    vec(
        ("[a-z]{0,3}", -9.0..0.0)
            .prop_map(|(text, p): (String, f64)| Value::Map(vec![(text.into(), p.into())])),
        0..3,
    )
}

fn extra() -> impl Strategy<Value = Vec<(String, Value)>> {
    let value =
        prop_oneof![any::<i64>().prop_map(Value::from), ".{0,4}".prop_map(Value::from), Just(Value::Nil)];
    // Sorted and distinct, as they are read; names that no key of ours has.
    proptest::collection::btree_map("zz_[a-z]{1,4}", value, 0..3).prop_map(|map| map.into_iter().collect())
}

prop_compose! {
    fn sampling()(
        (temperature, top_k, top_p) in (0.0..4.0, any::<u32>(), 0.0..1.0),
        flags in any::<[bool; 9]>(),
        (num_tokens_to_generate, num_tokens_total, termination_id) in (of(any::<u64>()), of(any::<u64>()), of(any::<i64>())),
        (top_n_logprobs, streaming_interval) in (any::<u32>(), 1..u32::MAX),
        stop_words in of(vec(".{0,5}", 0..3)),
        extra in extra(),
    ) -> SamplingParams {
        let [return_log_probs, skip_prompt_log_probs, return_segments, return_prompt_top_n_logprobs, add_bos,
            detokenize_stop_sequence, return_prompt_tokens, streaming, do_kv_handoff] = flags;
        SamplingParams {
            temperature, top_k, top_p, return_log_probs, skip_prompt_log_probs, return_segments,
            num_tokens_to_generate, num_tokens_total, termination_id, top_n_logprobs, return_prompt_top_n_logprobs,
            add_bos, stop_words, detokenize_stop_sequence, return_prompt_tokens, streaming, streaming_interval,
            do_kv_handoff, extra,
        }
    }
}

prop_compose! {
    fn submit()(
        id in any::<u64>(),
        prompt in prop_oneof![".{0,8}".prop_map(Prompt::Text), vec(any::<u32>(), 0..8).prop_map(Prompt::Tokens)],
        sampling in sampling(),
        images in of(extra()),
    ) -> Submit {
        let map = |entries: Vec<(String, Value)>| Value::Map(entries.into_iter().map(|(k, v)| (k.into(), v)).collect());
        Submit { id, prompt, sampling, multi_modal: images.map(map) }
    }
}

prop_compose! {
    fn final_reply()(
        (request_id, sampling, failed) in (any::<u64>(), sampling(), any::<bool>()),
        (prompt, generated_text) in (of(".{0,8}"), of(".{0,8}")),
        (prompt_tokens, generated_tokens) in (of(vec(any::<u32>(), 0..5)), vec(any::<u32>(), 0..5)),
        (prompt_log_probs, generated_log_probs) in (of(logprobs()), of(logprobs())),
        (prompt_top_n_logprobs, generated_top_n_logprobs) in (of(alternatives()), of(alternatives())),
        (tpot, ttft) in (vec(0.0..9.0, 0..3), of(0.0..9.0)),
        (served_by, effort, extra) in (of((any::<u32>(), any::<u32>())), of((any::<u64>(), any::<u64>())), extra()),
    ) -> FinalReply {
        let reply = if failed {
            FinalReply::failed(request_id, sampling, ErrorClass::Any, "reason", 0.5)
        } else {
            FinalReply::completed(request_id, sampling, generated_tokens)
        };
        FinalReply {
            prompt, prompt_tokens, generated_text, prompt_log_probs, generated_log_probs, prompt_top_n_logprobs,
            generated_top_n_logprobs, tpot, ttft, extra,
            served_by: served_by.map(|(rank, num_dispatches)| ServedBy { rank, num_dispatches }),
            effort: effort.map(|(num_cached_tokens, num_evictions)| Effort { num_cached_tokens, num_evictions }),
            ..reply
        }
    }
}

prop_compose! {
    fn partial_reply()(
        (request_id, new_tokens) in (any::<u64>(), vec(any::<u32>(), 0..5)),
        (new_log_probs, prompt_log_probs) in (of(logprobs()), of(logprobs())),
        (new_top_n_logprobs, prompt_top_n_logprobs) in (of(alternatives()), of(alternatives())),
        extra in extra(),
    ) -> PartialReply {
        PartialReply { request_id, new_tokens, new_log_probs, new_top_n_logprobs, prompt_log_probs, prompt_top_n_logprobs, extra }
    }
}

fn control() -> impl Strategy<Value = ControlSignal> {
    prop_oneof![
        Just(ControlSignal::Pause),
        Just(ControlSignal::Unpause),
        Just(ControlSignal::Suspend),
        Just(ControlSignal::Resume),
        Just(ControlSignal::Stop),
        Just(ControlSignal::StartCudaProfiler),
        Just(ControlSignal::StopCudaProfiler),
        any::<i64>().prop_map(ControlSignal::SetGenerationEpoch),
    ]
}

fn versions() -> impl Strategy<Value = Versions> {
    any::<[u32; 2]>().prop_map(|[newest, oldest]| Versions { newest, oldest })
}

pub(super) fn client_message() -> impl Strategy<Value = ClientMessage> {
    prop_oneof![
        4 => submit().prop_map(ClientMessage::Submit),
        1 => any::<u64>().prop_map(|client_id| ClientMessage::Abort { client_id }),
        1 => any::<u64>().prop_map(|client_id| ClientMessage::SubmitWithKv { client_id }),
        1 => versions().prop_map(|versions| ClientMessage::Hello { versions }),
        1 => control().prop_map(ClientMessage::Control),
        1 => prop_oneof![
            Just(ClientMessage::Connect), Just(ClientMessage::ReleaseKv), Just(ClientMessage::Disconnect),
            Just(ClientMessage::Shutdown),
        ],
    ]
}

pub(super) fn client_reply() -> impl Strategy<Value = ClientReply> {
    prop_oneof![
        4 => (any::<u64>(), final_reply()).prop_map(|(client_id, reply)| ClientReply::Final { client_id, reply: Box::new(reply) }),
        2 => (any::<u64>(), partial_reply()).prop_map(|(client_id, partial)| ClientReply::Partial { client_id, partial }),
        1 => Just(ClientReply::ConnectAck),
        1 => ".{0,9}".prop_map(|reason| ClientReply::Refusal { reason }),
        1 => any::<u32>().prop_map(|version| ClientReply::Agreed { version }),
    ]
}

pub(super) fn rank_command() -> impl Strategy<Value = RankCommand> {
    prop_oneof![
        submit().prop_map(RankCommand::Submit),
        any::<u64>().prop_map(|request_id| RankCommand::Abort { request_id }),
        control().prop_map(RankCommand::Control),
        any::<u32>().prop_map(|version| RankCommand::Agreed { version }),
        ".{0,9}".prop_map(|reason| RankCommand::Refusal { reason }),
    ]
}

pub(super) fn rank_message() -> impl Strategy<Value = RankMessage> {
    let ready = (versions(), any::<u32>(), ".{0,9}", any::<[u64; 2]>()).prop_map(
        |(versions, pid, device, [num_kv_blocks, max_requests])| RankReady {
            versions,
            pid,
            device,
            num_kv_blocks,
            max_requests,
        },
    );
    let names = || btree_set(any::<u64>(), 0..4);
    let changes = (names(), names()).prop_map(|(cached, forgotten)| CacheChanges { cached, forgotten });
    let stats = (any::<[u64; 7]>(), of(any::<i64>())).prop_map(|(n, generation_epoch)| RankStats {
        num_steps: n[0],
        num_running: n[1],
        num_waiting: n[2],
        num_kv_blocks_used: n[3],
        num_tokens_generated: n[4],
        num_suspensions: n[5],
        num_signals: n[6],
        generation_epoch,
    });
    let report = (any::<u32>(), any::<u64>(), ".{0,9}", 0.0..9.0).prop_map(
        |(rank, num_steps, device, step_seconds)| {
            Box::new(RankRecord { rank, num_steps, device, step_seconds, ..RankRecord::default() })
        },
    );
    prop_oneof![
        1 => Just(RankMessage::Register),
        1 => Just(RankMessage::Disconnect),
        4 => vec(final_reply(), 0..3).prop_map(RankMessage::Finals),
        2 => vec(partial_reply(), 0..3).prop_map(RankMessage::Partials),
        1 => ready.prop_map(RankMessage::Ready),
        1 => stats.prop_map(RankMessage::Heartbeat),
        1 => changes.prop_map(RankMessage::CachedBlocks),
        1 => report.prop_map(RankMessage::Report),
    ]
}
