//! Where the original's coordinator dies or loses requests, ours answers: the rows, each with the test that proves it.

use std::time::Duration;

use super::*;
use crate::coordinator::socket::{Dealer, Router, Sent};
use crate::coordinator::state::Event;
use crate::metrics::Clock;

/// What happens (and what becomes of it in the original), and the test here.
const ROWS: [(&str, &str); 26] = [
    // What ends the process of a client.
    ("two final replies for one id (ends the client)", "every_request_gets_one_answer_and_a_true_stream"),
    ("the same, at our client", "two_replies_for_one_request_end_no_client"),
    ("a header that the client does not know (ends it)", "foreign_clients_get_only_messages_they_know"),
    ("a key that the client does not know (ends it)", "a_foreign_engines_keys_do_not_reach_foreign_clients"),
    (
        "a partial for an id that nobody waits for",
        "replies_for_nobody_headers_and_keys_unknown_end_no_client",
    ),
    ("a receive loop that sleeps 5 ms at a time", "the_client_wakes_with_a_reply_and_does_not_poll"),
    ("a final reply after a local abort (discarded)", "aborts_end_requests_in_every_state"),
    ("the same, at our client", "a_reply_after_an_abort_is_nobody_elses"),
    // What ends the coordinator, or loses requests in it.
    (
        "a rank disconnects or is unreachable (its requests hang)",
        "requests_of_a_rank_that_leaves_are_served_by_another",
    ),
    ("a rank is killed silently (not noticed)", "a_silent_rank_is_lost_and_a_talking_one_is_not"),
    (
        "the same, one of the original's, which has no heartbeat",
        "an_engine_that_dies_is_noticed_and_what_it_had_is_served_by_another",
    ),
    (
        "the last rank has gone (exit without an answer)",
        "with_no_rank_left_every_request_fails_and_new_ones_are_refused",
    ),
    ("a client has gone with open requests (dies)", "a_client_that_vanishes_frees_its_requests"),
    ("the same, over a socket", "a_client_that_vanishes_harms_nobody"),
    ("abort of a request whose rank has gone (dies)", "an_abort_after_its_rank_has_gone_is_answered"),
    ("an unknown header, or no msgpack (dies)", "garbage_is_counted_and_harms_nobody"),
    ("the same, with a request that can be answered", "bad_messages_are_answered_where_that_is_possible"),
    (
        "three frames, or a header without a handler (dies)",
        "headers_without_a_handler_and_extra_frames_are_counted",
    ),
    ("a reply for an unknown id, or of a stranger (dies)", "replies_that_nobody_waits_for_are_counted"),
    (
        "a client before the ranks (takes it for a rank)",
        "a_client_that_comes_before_the_ranks_is_greeted_and_served",
    ),
    (
        "a rank refuses a request (FAILED, not looked at)",
        "a_refusal_of_the_rank_reaches_the_client_with_its_reason",
    ),
    ("abort (COMPLETED at the current length)", "an_aborted_request_completes_with_what_it_has"),
    ("STOP with open requests (nothing is sent)", "stop_fails_what_is_unfinished_and_is_not_a_loss"),
    (
        "the same, at a rank of ours behind the original's coordinator",
        "what_stop_cuts_short_is_answered_before_the_farewell",
    ),
    ("a peer does not read (blocks everybody)", "a_peer_that_does_not_read_fills_its_own_queue"),
    ("the same, if it is a rank", "a_rank_that_does_not_read_holds_nobody_up"),
];

#[test]
fn every_row_has_its_test() {
    let sources = [
        include_str!("foreign_ranks.rs"),
        include_str!("scenarios.rs"),
        include_str!("simulation.rs"),
        include_str!("sockets_faults.rs"),
        include_str!("stray_replies.rs"),
        include_str!("weaknesses.rs"),
        include_str!("../../engine/rank/plain_link_tests.rs"),
    ];
    for (row, test) in ROWS {
        let heads = ["", "    "].map(|indent| format!("\n{indent}#[test]\n{indent}fn {test}("));
        let is_there = |source: &&&str| heads.iter().any(|head| source.contains(head));
        assert_eq!(sources.iter().filter(is_there).count(), 1, "{row}: the test {test}");
    }
}

fn connect(driver: &mut Driver, client: &str) {
    driver.client(client, ClientMessage::Connect);
}

fn malformed(driver: &mut Driver, identity: &str, error: WireError) -> Vec<Command> {
    driver.handle(Event::Malformed { identity: identity.into(), error: error.into() })
}

#[test]
fn foreign_clients_get_only_messages_they_know() {
    let mut driver = Driver::started(1);
    connect(&mut driver, "foreign");
    let control = |signal| ClientMessage::Control(signal);
    let mut commands = driver.client("foreign", submit(0));
    commands.extend(driver.client("foreign", submit(0)));
    for signal in [ControlSignal::Stop, ControlSignal::Pause, ControlSignal::Pause, ControlSignal::Unpause] {
        commands.extend(driver.client("foreign", control(signal)));
    }
    commands.extend(malformed(&mut driver, "foreign", WireError::UnknownHeader { number: 7 }));
    commands.extend(driver.rank(0, tokens(0, &[1])));
    commands.extend(driver.rank(0, done(0, &[1])));
    let mut headers = Vec::new();
    for (_, reply) in replies(&commands) {
        headers.extend(reply.encode_as(Numbering::Current).map(|bytes| bytes[1]));
    }
    assert_eq!(headers, [22, 21], "nothing but the partial and the final reply");
    // Who did not ask for streamed tokens may be of 0.19, which does not know them, whatever the rank does.
    let ClientMessage::Submit(mut request) = submit(1) else { panic!("a submission") };
    request.sampling.streaming = false;
    driver.client("foreign", ClientMessage::Submit(request));
    assert!(driver.rank(0, tokens(1, &[1])).is_empty());
    assert_eq!(finals(&driver.rank(0, done(1, &[1, 2]))).len(), 1);
}

#[test]
fn a_foreign_engines_keys_do_not_reach_foreign_clients() {
    // What clients from 0.17 on all know.
    const KNOWN: &str = "request_id status sampling_params inference_parameters prompt prompt_tokens generated_text \
                         generated_tokens generated_length prompt_log_probs generated_log_probs prompt_top_n_logprobs \
                         generated_top_n_logprobs ttft tpot latency events routing_indices";
    let reply = || {
        let mut reply = FinalReply::completed(0, SamplingParams::default(), vec![1]);
        let extra = [("uid", "chatcmpl-0"), ("routing_indices", "known")];
        reply.extra = extra.map(|(key, value)| (key.to_owned(), value.into())).into();
        reply.effort = Some(Effort::default());
        RankMessage::Finals(vec![reply])
    };
    let written = |reply: FinalReply| {
        let bytes = ClientReply::Final { client_id: 0, reply: Box::new(reply) }.encode();
        let message = rmpv::decode::read_value(&mut &*bytes).expect("msgpack");
        let dict = message[2].as_map().expect("a map").clone();
        dict.into_iter().map(|(key, _)| key.as_str().expect("a text").to_owned()).collect::<Vec<_>>()
    };
    let keys_for = |client: &str| {
        let mut driver = Driver::started(1);
        connect(&mut driver, client);
        driver.client(client, submit(0));
        let (_, reply) = finals(&driver.rank(0, reply())).remove(0);
        written(reply)
    };
    let known: Vec<&str> = KNOWN.split_whitespace().collect();
    let mut foreign = keys_for("foreign");
    foreign.sort_by_key(|key| known.iter().position(|known| known == key));
    assert_eq!(foreign, known, "all of them, and no other");
    let ours = keys_for("c");
    for key in ["uid", "routing_indices", "rank", "num_dispatches", "num_cached_tokens"] {
        assert!(ours.iter().any(|known| known == key), "{key}");
    }
}

#[test]
fn requests_of_a_rank_that_leaves_are_served_by_another() {
    for unreachable in [false, true] {
        let mut driver = Driver::started(2);
        driver.client("c", submit(0));
        let commands = if unreachable {
            driver.handle(Event::RankUnreachable { rank: 0, why: "it is no longer connected".into() })
        } else {
            driver.rank(0, RankMessage::Disconnect)
        };
        assert_eq!(dispatches(&commands), [(1, 0)]);
        assert_eq!(finals(&driver.rank(1, done(0, &[1]))).len(), 1);
    }
}

#[test]
fn an_abort_after_its_rank_has_gone_is_answered() {
    let mut driver = Driver::new(settings(2));
    driver.rank(0, RankMessage::Register);
    connect(&mut driver, "foreign");
    driver.client("foreign", submit(3));
    driver.exit(0);
    let answers = finals(&driver.client("foreign", ClientMessage::Abort { client_id: 3 }));
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].0, answers[0].1.status), (3, ReplyStatus::Failed));
    assert!(finals(&driver.client("foreign", ClientMessage::Abort { client_id: 3 })).is_empty());
}

#[test]
fn headers_without_a_handler_and_extra_frames_are_counted() {
    let mut driver = Driver::started(1);
    connect(&mut driver, "foreign");
    let limits = WireLimits::default();
    for number in [1_u8, 26, 80, 81] {
        let error = ClientMessage::decode(&[0x91, number], &limits).unwrap_err();
        assert!(matches!(error.error, WireError::WrongDirection { .. }), "{number}");
        let error = RankMessage::decode(&[0x91, number], &limits).unwrap_err();
        assert!(matches!(error, WireError::WrongDirection { .. }), "{number}");
        malformed(&mut driver, "foreign", error.clone());
        malformed(&mut driver, "mp-coord-0", error);
    }
    let noted = malformed(&mut driver, "foreign", WireError::Frames { got: 3 });
    let expected =
        "a client's message came to nothing: message of 3 frames after the identity, expected exactly 1";
    assert!(matches!(noted.as_slice(), [Command::Note(note)] if note.what == expected), "{noted:?}");
    assert_eq!(driver.state.stats().counters.malformed, 9);
    driver.client("foreign", submit(0));
    assert_eq!(finals(&driver.rank(0, done(0, &[1]))).len(), 1, "all go on");
}

#[test]
fn replies_that_nobody_waits_for_are_counted() {
    let mut driver = Driver::started(1);
    driver.client("c", submit(0));
    assert!(driver.rank(0, done(77, &[1])).is_empty());
    assert!(driver.rank(0, tokens(77, &[1])).is_empty());
    assert!(driver.rank(5, done(0, &[1])).is_empty(), "a rank that never registered");
    let counters = driver.state.stats().counters;
    assert_eq!((counters.unknown_ids, counters.late_replies), (2, 1));
    assert_eq!(finals(&driver.rank(0, done(0, &[1]))).len(), 1);
}

#[test]
fn a_refusal_of_the_rank_reaches_the_client_with_its_reason() {
    let mut driver = Driver::started(1);
    driver.client("c", submit(0));
    let reply = FinalReply::failed(0, SamplingParams::default(), ErrorClass::Blocks, "too long", 0.0);
    let commands = driver.rank(0, RankMessage::Finals(vec![reply]));
    assert_eq!(failure_of(&commands), "too long");
    assert_eq!(finals(&commands)[0].1.generated_text.as_deref(), Some(""), "always a text");
}

#[test]
fn an_aborted_request_completes_with_what_it_has() {
    let mut driver = Driver::started(1);
    driver.client("c", submit(0));
    driver.rank(0, tokens(0, &[5, 6]));
    let abort = driver.client("c", ClientMessage::Abort { client_id: 0 });
    assert_eq!(to_ranks(&abort), [(0, RankCommand::Abort { request_id: 0 })]);
    let answers = finals(&driver.rank(0, done(0, &[5, 6])));
    assert_eq!((answers[0].1.status, answers[0].1.generated_tokens.len()), (ReplyStatus::Completed, 2));
}

#[test]
fn a_rank_that_does_not_read_holds_nobody_up() {
    let mut driver = Driver::started(2);
    driver.client("c", submit(0));
    driver.client("c", submit(1));
    let full = Event::RankUnreachable { rank: 0, why: "it does not read its messages".into() };
    assert_eq!(dispatches(&driver.handle(full)), [(1, 0)]);
    assert_eq!(finals(&driver.rank(1, done(1, &[1]))).len(), 1);
    assert_eq!(finals(&driver.rank(1, done(0, &[1]))).len(), 1);
}

#[test]
fn a_client_that_comes_before_the_ranks_is_greeted_and_served() {
    let mut driver = Driver::new(settings(2));
    let greeting = replies(&driver.client("foreign", ClientMessage::Connect));
    assert_eq!(greeting, [("foreign".to_owned(), ClientReply::ConnectAck)]);
    assert!(driver.client("foreign", submit(0)).is_empty(), "it waits");
    assert!(driver.state.stats().ranks.is_empty(), "a client is no rank");
    assert_eq!(dispatches(&driver.rank(1, RankMessage::Register)), [(1, 0)], "the first rank is enough");
    assert_eq!(finals(&driver.rank(1, done(0, &[1]))).len(), 1);
}

#[test]
fn a_peer_that_does_not_read_fills_its_own_queue() {
    let (router, _waker) = Router::bind("tcp://127.0.0.1:*", 1 << 20, Duration::ZERO).expect("a router");
    let connect = |identity: &str| {
        let dealer = Dealer::connect_idle(router.endpoint(), identity).expect("a socket");
        dealer.send(vec![7]).expect("sent");
        while router.receive().expect("a socket").is_none() {
            router.wait(Duration::from_secs(10)).expect("a socket");
        }
        dealer
    };
    let (_idle, reader) = (connect("idle"), connect("reader"));
    let clock = Clock::start();
    let payload = vec![0; 1000];
    let is_full = (0..1_000_000).any(|_| router.send(b"idle", &payload).expect("a socket") == Sent::Full);
    assert!(is_full && clock.now_s() < 20.0, "no send waits; {} s", clock.now_s());
    assert_eq!(router.send(b"reader", &[8]).expect("a socket"), Sent::Queued);
    assert_eq!(reader.receive(Duration::from_secs(10)).expect("a socket"), Some(vec![8]));
}

#[test]
fn text_becomes_tokens_here_and_comes_back_with_the_reply() {
    let tokenize = |text: &str, add_bos: bool| match text {
        "bad" => Err("no such text".to_owned()),
        _ => Ok([u32::from(add_bos), text.len() as u32].into()),
    };
    let mut driver = Driver::new(Settings { tokenize: Some(Arc::new(tokenize)), ..settings(1) });
    driver.rank(0, RankMessage::Register);
    connect(&mut driver, "foreign");
    let ask = |id, text: &str| {
        let sampling = SamplingParams { add_bos: true, ..SamplingParams::default() };
        let prompt = Prompt::Text(text.to_owned());
        ClientMessage::Submit(Submit { id, prompt, sampling, multi_modal: None })
    };
    let sent = to_ranks(&driver.client("foreign", ask(0, "four")));
    let [(0, RankCommand::Submit(submit))] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(submit.prompt, Prompt::Tokens(vec![1, 4]));
    let (_, reply) = finals(&driver.rank(0, done(0, &[9]))).remove(0);
    assert_eq!(reply.prompt.as_deref(), Some("four"));
    assert_eq!(failure_of(&driver.client("foreign", ask(1, "bad"))), "no such text");
}

#[test]
fn signals_are_acknowledged_in_the_coordinators_own_log() {
    let mut driver = Driver::started(2);
    connect(&mut driver, "foreign");
    let mut notes = Vec::new();
    for signal in [ControlSignal::Pause, ControlSignal::Pause, ControlSignal::Resume, ControlSignal::Unpause]
    {
        for command in driver.client("foreign", ClientMessage::Control(signal)) {
            if let Command::Note(note) = command {
                notes.push(note.what);
            }
        }
    }
    assert_eq!(
        notes,
        [
            "PAUSE: Running -> Paused, passed on to 2 ranks",
            "PAUSE: nothing to do while Paused",
            "RESUME: has no meaning while Paused, not passed on",
            "UNPAUSE: Paused -> Running, passed on to 2 ranks",
        ]
    );
}
