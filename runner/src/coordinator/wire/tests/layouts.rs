//! Bytes and layouts as the original has them.

use rmpv::Value;

use crate::coordinator::wire::*;

fn limits() -> WireLimits {
    WireLimits::default()
}

/// The message as a msgpack value, to look at its layout.
fn layout(bytes: &[u8]) -> Vec<Value> {
    let mut rest = bytes;
    let value = rmpv::decode::read_value(&mut rest).expect("msgpack");
    assert!(rest.is_empty());
    let Value::Array(elements) = value else { panic!("an array") };
    elements
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_map().expect("a map").iter().map(|(key, _)| key.as_str().expect("a string key")).collect()
}

fn value_of<'a>(map: &'a Value, key: &str) -> &'a Value {
    let entry = map.as_map().expect("a map").iter().find(|(name, _)| name.as_str() == Some(key));
    &entry.unwrap_or_else(|| panic!("no key {key}")).1
}

#[test]
fn short_messages_are_these_bytes() {
    let control = ClientMessage::Control;
    let table: [(ClientMessage, &[u8]); 9] = [
        (ClientMessage::Connect, &[0x91, 0x00]),
        (control(ControlSignal::Pause), &[0x91, 0x28]),
        (control(ControlSignal::Unpause), &[0x91, 0x29]),
        (control(ControlSignal::Stop), &[0x91, 0x2d]),
        (control(ControlSignal::SetGenerationEpoch(7)), &[0x92, 0x2c, 0x07]),
        (control(ControlSignal::StartCudaProfiler), &[0x91, 0x2e]),
        (ClientMessage::Abort { client_id: 12 }, &[0x92, 0x17, 0x0c]),
        (ClientMessage::Shutdown, &[0x91, 0x3d]),
        (ClientMessage::Hello { versions: Versions::OURS }, &[0x92, 0x64, 0x01]),
    ];
    for (message, bytes) in table {
        assert_eq!(message.encode(), bytes, "{message:?}");
        assert_eq!(ClientMessage::decode(bytes, &limits()), Ok(message));
    }
    assert_eq!(ClientReply::ConnectAck.encode(), [0x91, 0x01]);
    assert_eq!(RankMessage::Register.encode(), b"");
    assert_eq!(RankMessage::Disconnect.encode(), [0x91, 0x3c]);
    assert_eq!(RankCommand::Abort { request_id: 12 }.encode(), [0x92, 0x17, 0x0c]);
    assert_eq!(RankCommand::Control(ControlSignal::Resume).encode(), [0x91, 0x2b]);
}

#[test]
fn a_submission_has_five_elements_and_every_sampling_key() {
    let sampling = SamplingParams { temperature: 1.0, termination_id: Some(-1), ..SamplingParams::default() };
    let submit =
        Submit { id: 3, prompt: Prompt::Tokens(vec![1, 300]), sampling, multi_modal: Some(Value::Nil) };
    let elements = layout(&RankCommand::Submit(submit).encode());
    assert_eq!(elements.len(), 5);
    assert_eq!((&elements[0], &elements[1], &elements[4]), (&20.into(), &3.into(), &Value::Nil));
    assert_eq!(elements[2], Value::Array(vec![1.into(), 300.into()]));
    let sampling_keys = "temperature top_k top_p return_log_probs skip_prompt_log_probs return_segments \
         num_tokens_to_generate num_tokens_total termination_id top_n_logprobs return_prompt_top_n_logprobs add_BOS \
         stop_words detokenize_stop_sequence return_prompt_tokens streaming streaming_interval do_kv_handoff";
    assert_eq!(keys(&elements[3]).join(" "), sampling_keys);
    assert_eq!(value_of(&elements[3], "temperature"), &Value::F64(1.0));
    assert_eq!(value_of(&elements[3], "num_tokens_to_generate"), &Value::Nil);
}

#[test]
fn the_older_submission_of_four_elements_is_read_with_defaults() {
    let bytes = [0x94, 0x14, 0x05, 0xa2, b'h', b'i', 0x81, 0xa5, b't', b'o', b'p', b'_', b'k', 0x01];
    let Ok(ClientMessage::Submit(submit)) = ClientMessage::decode(&bytes, &limits()) else {
        panic!("a submission")
    };
    assert_eq!((submit.id, submit.prompt, submit.multi_modal), (5, Prompt::Text("hi".into()), None));
    assert_eq!(submit.sampling, SamplingParams { top_k: 1, ..SamplingParams::default() });
}

#[test]
fn a_final_reply_has_only_keys_that_every_client_knows() {
    let mut reply = FinalReply::completed(9, SamplingParams::default(), vec![4, 5]);
    reply.prompt_tokens = Some(vec![1]);
    reply.generated_log_probs = Some(vec![-0.1, -0.2]);
    let mut known = [
        "request_id",
        "status",
        "sampling_params",
        "inference_parameters",
        "prompt",
        "prompt_tokens",
        "generated_text",
        "generated_tokens",
        "generated_length",
        "prompt_log_probs",
        "generated_log_probs",
        "prompt_top_n_logprobs",
        "generated_top_n_logprobs",
        "ttft",
        "tpot",
        "latency",
        "events",
        "routing_indices",
    ];
    known.sort_unstable();
    let elements = layout(&ClientReply::Final { client_id: 2, reply: Box::new(reply.clone()) }.encode());
    assert_eq!((elements.len(), &elements[0], &elements[1]), (3, &21.into(), &2.into()));
    let mut written = keys(&elements[2]);
    written.sort_unstable();
    assert_eq!(written, known);
    let tensor = Value::Array(vec!["tensor".into(), Value::Array(vec![1.into()])]);
    assert_eq!(value_of(&elements[2], "prompt_tokens"), &tensor);
    assert_eq!(value_of(&elements[2], "generated_length"), &2.into());
    reply.served_by = Some(ServedBy { rank: 3, num_dispatches: 2 });
    let ours = layout(&ClientReply::Final { client_id: 2, reply: Box::new(reply) }.encode());
    assert_eq!((value_of(&ours[2], "rank"), value_of(&ours[2], "num_dispatches")), (&3.into(), &2.into()));
}

#[test]
fn ranks_answer_in_lists() {
    let partial = PartialReply { request_id: 4, new_tokens: vec![7], ..PartialReply::default() };
    let elements = layout(&RankMessage::Partials(vec![partial.clone()]).encode());
    assert_eq!((elements.len(), &elements[0]), (2, &22.into()));
    assert_eq!(keys(&elements[1].as_array().expect("a list")[0]), ["request_id", "new_tokens"]);
    let with_logprobs =
        PartialReply { new_log_probs: Some(vec![-1.5]), prompt_log_probs: Some(vec![]), ..partial };
    let elements = layout(&ClientReply::Partial { client_id: 1, partial: with_logprobs }.encode());
    assert_eq!(keys(&elements[2]), ["request_id", "new_tokens", "new_log_probs", "prompt_log_probs"]);
    assert_eq!(layout(&RankMessage::Finals(vec![]).encode()), [21.into(), Value::Array(vec![])]);
}

#[test]
fn a_foreign_engines_further_keys_pass_through() {
    let reply = Value::Map(vec![
        ("request_id".into(), 3.into()),
        ("status".into(), "COMPLETED".into()),
        ("uid".into(), "chatcmpl-0".into()),
        ("routing_indices".into(), Value::Array(vec!["ndarray".into()])),
        ("prompt_tokens".into(), Value::Array(vec![8.into()])),
    ]);
    let bytes = {
        let mut bytes = Vec::new();
        let message = Value::Array(vec![21.into(), Value::Array(vec![reply])]);
        rmpv::encode::write_value(&mut bytes, &message).expect("written");
        bytes
    };
    let Ok(RankMessage::Finals(mut replies)) = RankMessage::decode(&bytes, &limits()) else {
        panic!("final replies")
    };
    let reply = replies.remove(0);
    assert_eq!(reply.prompt_tokens, Some(vec![8]));
    let sent_on = layout(&ClientReply::Final { client_id: 0, reply: Box::new(reply) }.encode());
    assert_eq!(value_of(&sent_on[2], "uid"), &"chatcmpl-0".into());
    assert_eq!(value_of(&sent_on[2], "routing_indices"), &Value::Array(vec!["ndarray".into()]));
    assert_eq!(keys(&sent_on[2]).iter().filter(|key| **key == "routing_indices").count(), 1);
}

#[test]
fn a_failure_says_why_as_the_original_does() {
    let reason = "prompt of 9 tokens, at most 8";
    let reply = FinalReply::failed(6, SamplingParams::default(), ErrorClass::MaxSequenceLength, reason, 1.5);
    assert_eq!(reply.failure().as_deref(), Some(reason));
    let elements = layout(&ClientReply::Final { client_id: 0, reply: Box::new(reply) }.encode());
    assert_eq!(value_of(&elements[2], "status"), &"FAILED".into());
    let events = value_of(&elements[2], "events").as_array().expect("a list");
    assert_eq!(
        (value_of(&events[0], "type"), value_of(&events[1], "type")),
        (&"ERROR_NONTRANSIENT".into(), &"FAIL".into())
    );
    assert_eq!(value_of(value_of(&events[0], "payload"), "request_id"), &6.into());
    assert_eq!(value_of(value_of(&events[0], "payload"), "type"), &"MaxSequenceLengthOverflowError".into());
}
