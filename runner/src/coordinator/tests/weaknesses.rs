//! Where the original's coordinator dies or loses requests, ours answers: the rows, each with the test that proves it.

use super::*;
use crate::coordinator::state::Event;

/// What happens (and what becomes of it in the original), and the test here.
const ROWS: [(&str, &str); 19] = [
    // What ends the process of a client.
    ("two final replies for one id (ends the client)", "every_request_gets_one_answer_and_a_true_stream"),
    ("a header that the client does not know (ends it)", "foreign_clients_get_only_messages_they_know"),
    ("a key that the client does not know (ends it)", "a_foreign_engines_keys_do_not_reach_foreign_clients"),
    (
        "a partial for an id that nobody waits for",
        "replies_for_nobody_headers_and_keys_unknown_end_no_client",
    ),
    ("a receive loop that sleeps 5 ms at a time", "the_client_wakes_with_a_reply_and_does_not_poll"),
    ("a final reply after a local abort (discarded)", "aborts_end_requests_in_every_state"),
    // What ends the coordinator, or loses requests in it.
    (
        "a rank disconnects or is unreachable (its requests hang)",
        "requests_of_a_rank_that_leaves_are_served_by_another",
    ),
    ("a rank is killed silently (not noticed)", "a_silent_rank_is_lost_and_a_talking_one_is_not"),
    (
        "the last rank has gone (exit without an answer)",
        "with_no_rank_left_every_request_fails_and_new_ones_are_refused",
    ),
    ("a client has gone with open requests (dies)", "a_client_that_vanishes_frees_its_requests"),
    ("abort of a request whose rank has gone (dies)", "an_abort_after_its_rank_has_gone_is_answered"),
    ("an unknown header, or no msgpack (dies)", "bad_messages_are_answered_where_that_is_possible"),
    (
        "three frames, or a header without a handler (dies)",
        "headers_without_a_handler_and_extra_frames_are_counted",
    ),
    ("a reply for an unknown id, or of a stranger (dies)", "replies_that_nobody_waits_for_are_counted"),
    (
        "a client before the ranks (takes it for a rank)",
        "requests_wait_for_ranks_that_still_start_and_no_longer",
    ),
    (
        "a rank refuses a request (FAILED, not looked at)",
        "a_refusal_of_the_rank_reaches_the_client_with_its_reason",
    ),
    ("abort (COMPLETED at the current length)", "an_aborted_request_completes_with_what_it_has"),
    ("STOP with open requests (nothing is sent)", "stop_fails_what_is_unfinished_and_is_not_a_loss"),
    ("a rank does not read (blocks everybody)", "a_rank_that_does_not_read_holds_nobody_up"),
];

#[test]
fn every_row_has_its_test() {
    let sources = [
        include_str!("scenarios.rs"),
        include_str!("simulation.rs"),
        include_str!("stray_replies.rs"),
        include_str!("weaknesses.rs"),
    ];
    for (row, test) in ROWS {
        let head = format!("fn {test}(");
        assert!(sources.iter().any(|source| source.contains(&head)), "{row}: no test {test}");
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
}

#[test]
fn a_foreign_engines_keys_do_not_reach_foreign_clients() {
    let reply = || {
        let mut reply = FinalReply::completed(0, SamplingParams::default(), vec![1]);
        let extra = [("uid", "chatcmpl-0"), ("routing_indices", "known")];
        reply.extra = extra.map(|(key, value)| (key.to_owned(), value.into())).into();
        RankMessage::Finals(vec![reply])
    };
    let keys_for = |client: &str| {
        let mut driver = Driver::started(1);
        connect(&mut driver, client);
        driver.client(client, submit(0));
        let (_, reply) = finals(&driver.rank(0, reply())).remove(0);
        reply.extra.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(keys_for("foreign"), ["routing_indices"]);
    assert_eq!(keys_for("c"), ["uid", "routing_indices"]);
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
    malformed(&mut driver, "foreign", WireError::Frames { got: 3 });
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
    driver.client("c", ClientMessage::Abort { client_id: 0 });
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
