//! The state machine, one situation a test.

use super::*;
use crate::coordinator::state::Event;

const CLIENT: &str = "c";

#[test]
fn a_request_goes_out_and_its_answers_come_back_under_the_clients_id() {
    let mut driver = Driver::started(2);
    assert_eq!(dispatches(&driver.client(CLIENT, submit(40))), [(0, 0)]);
    assert_eq!(dispatches(&driver.client(CLIENT, submit(41))), [(1, 1)]);
    let streamed = replies(&driver.rank(1, tokens(1, &[5])));
    let [(_, ClientReply::Partial { client_id: 41, partial })] = streamed.as_slice() else {
        panic!("{streamed:?}")
    };
    assert_eq!((partial.request_id, partial.new_tokens.as_slice()), (1, &[5][..]));
    let (client_id, reply) = finals(&driver.rank(1, done(1, &[5, 6, 0, 0]))).remove(0);
    assert_eq!((client_id, reply.request_id), (41, 1));
    assert_eq!(
        reply.generated_text.as_deref(),
        Some("<5><6>"),
        "trailing end-of-document tokens are no text"
    );
    assert_eq!(reply.served_by, Some(ServedBy { rank: 1, num_dispatches: 1 }));
}

#[test]
fn foreign_clients_get_no_key_they_do_not_know() {
    let mut driver = Driver::started(1);
    assert_eq!(replies(&driver.client("foreign", ClientMessage::Connect)).len(), 1);
    assert!(driver.client("foreign", ClientMessage::Connect).is_empty(), "the second CONNECT gets no answer");
    driver.client("foreign", submit(0));
    assert_eq!(finals(&driver.rank(0, done(0, &[1])))[0].1.served_by, None);
    let bad = BadMessage { error: WireError::UnknownHeader { number: 99 }, request: None };
    let malformed = Event::Malformed { identity: b"foreign".to_vec(), error: bad };
    assert!(driver.handle(malformed).is_empty());
    let illegal = driver.client("foreign", ClientMessage::Control(ControlSignal::Unpause));
    assert!(matches!(illegal.as_slice(), [Command::Note(_)]), "noted, and not answered: {illegal:?}");
}

#[test]
fn a_stop_word_ends_a_request_and_is_no_part_of_its_output() {
    let mut driver = Driver::started(1);
    let ClientMessage::Submit(mut request) = submit(0) else { panic!("a submission") };
    // Token 6 is <6>: the word spans two tokens.
    request.sampling.stop_words = Some(vec!["6><7".into()]);
    let sent = to_ranks(&driver.client(CLIENT, ClientMessage::Submit(request)));
    let [(0, RankCommand::Submit(sent))] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(
        (&sent.sampling.stop_words, sent.sampling.streaming),
        (&None, true),
        "ranks know no stop words"
    );
    assert_eq!(driver.rank(0, tokens(0, &[5])).len(), 1);
    assert!(driver.rank(0, tokens(0, &[6])).is_empty(), "it could begin the word");
    let found = driver.rank(0, tokens(0, &[7]));
    assert_eq!(to_ranks(&found), [(0, RankCommand::Abort { request_id: 0 })]);
    assert!(replies(&found).is_empty());
    let (_, reply) = finals(&driver.rank(0, done(0, &[5, 6, 7, 8, 9]))).remove(0);
    assert_eq!(
        (reply.generated_tokens.as_slice(), reply.generated_text.as_deref()),
        (&[5][..], Some("<5><"))
    );
    assert_eq!(reply.sampling.stop_words, Some(vec!["6><7".to_owned()]));
}

#[test]
fn a_word_that_is_held_back_is_streamed_again_when_it_is_none() {
    let mut driver = Driver::started(1);
    let ClientMessage::Submit(mut request) = submit(0) else { panic!("a submission") };
    request.sampling.stop_words = Some(vec!["<6><7>".into()]);
    driver.client(CLIENT, ClientMessage::Submit(request));
    assert!(driver.rank(0, tokens(0, &[6])).is_empty());
    let streamed = replies(&driver.rank(0, tokens(0, &[5])));
    let [(_, ClientReply::Partial { partial, .. })] = streamed.as_slice() else { panic!("{streamed:?}") };
    assert_eq!(partial.new_tokens, [6, 5]);
    let (_, reply) = finals(&driver.rank(0, done(0, &[6, 5, 6]))).remove(0);
    assert_eq!(reply.generated_tokens, [6, 5, 6]);
}

#[test]
fn requests_queue_when_ranks_are_full_and_are_refused_when_all_is_full() {
    let mut driver = Driver::started(2);
    let sent: Vec<_> = (0..6).flat_map(|id| dispatches(&driver.client(CLIENT, submit(id)))).collect();
    assert_eq!(sent, [(0, 0), (1, 1), (0, 2), (1, 3)]);
    assert_eq!((driver.state.stats().num_queued, driver.state.stats().max_queued), (2, 2));
    assert_eq!(dispatches(&driver.rank(1, done(3, &[1]))), [(1, 4)], "first come, first served");
    for id in 6..101 {
        driver.client(CLIENT, submit(id));
    }
    let refused = failure_of(&driver.client(CLIENT, submit(200)));
    assert_eq!(refused, "the coordinator holds 100 unfinished requests, its limit");
}

#[test]
fn requests_of_a_dead_rank_are_served_by_another_and_stream_once() {
    let mut driver = Driver::started(2);
    driver.client(CLIENT, submit(0));
    driver.rank(0, tokens(0, &[5, 6]));
    assert_eq!(dispatches(&driver.exit(0)), [(1, 0)]);
    assert!(driver.rank(0, tokens(0, &[7])).is_empty(), "the dead rank's last words come late");
    assert!(driver.rank(0, done(0, &[5, 6, 7])).is_empty());
    assert_eq!(driver.state.stats().counters.late_replies, 2);
    assert!(driver.rank(1, tokens(0, &[5])).is_empty());
    let streamed = replies(&driver.rank(1, tokens(0, &[6, 7])));
    let [(_, ClientReply::Partial { partial, .. })] = streamed.as_slice() else { panic!("{streamed:?}") };
    assert_eq!(partial.new_tokens, [7]);
    let (_, reply) = finals(&driver.rank(1, done(0, &[5, 6, 7, 8]))).remove(0);
    assert_eq!(reply.served_by, Some(ServedBy { rank: 1, num_dispatches: 2 }));
    assert!(driver.rank(1, done(0, &[5, 6, 7, 8])).is_empty());
    assert!(driver.rank(1, done(9, &[5])).is_empty());
    let counters = driver.state.stats().counters;
    assert_eq!((counters.duplicate_replies, counters.unknown_ids, counters.redispatched), (1, 1, 1));
}

#[test]
fn a_rank_that_contradicts_what_was_streamed_fails_the_request() {
    let mut driver = Driver::started(2);
    driver.client(CLIENT, submit(0));
    driver.rank(0, tokens(0, &[5, 6]));
    driver.exit(0);
    let commands = driver.rank(1, tokens(0, &[5, 9]));
    assert!(failure_of(&commands).contains("generated another token 1"));
    assert_eq!(to_ranks(&commands), [(1, RankCommand::Abort { request_id: 0 })]);
}

#[test]
fn a_silent_rank_is_lost_and_a_talking_one_is_not() {
    let mut driver = Driver::started(2);
    driver.client(CLIENT, submit(0));
    driver.now_s = 4.0;
    driver.rank(1, RankMessage::Heartbeat(RankStats::default()));
    driver.now_s = 5.5;
    let commands = driver.handle(Event::Tick);
    let abort = (0, RankCommand::Abort { request_id: 0 });
    assert!(to_ranks(&commands).contains(&abort), "it may still be at work");
    assert_eq!(dispatches(&commands), [(1, 0)]);
    let told = commands.iter().find_map(|command| {
        let Command::RankLost { rank: 0, why } = command else { return None };
        Some(why.as_str())
    });
    assert_eq!(told, Some("nothing was heard of it for 5.5 s, the limit is 5 s"));
    driver.rank(0, RankMessage::Heartbeat(RankStats::default()));
    assert_eq!(driver.state.stats().ranks.len(), 1, "once lost it stays lost");
}

#[test]
fn a_request_that_outlives_too_many_ranks_is_given_up() {
    let mut driver = Driver::started(5);
    driver.client(CLIENT, submit(0));
    driver.exit(0);
    driver.exit(1);
    let reason = failure_of(&driver.exit(2));
    assert_eq!(
        reason,
        "given up after 3 dispatches to ranks that were lost; the last, rank 2: killed by signal 9"
    );
}

#[test]
fn with_no_rank_left_every_request_fails_and_new_ones_are_refused() {
    let mut driver = Driver::started(1);
    for id in 0..5 {
        driver.client(CLIENT, submit(id));
    }
    let failed = finals(&driver.exit(0));
    let reason = "no rank is left to serve it; the last one lost was rank 0: killed by signal 9";
    assert_eq!(failed.len(), 5);
    assert!(failed.iter().all(|(_, reply)| reply.failure().as_deref() == Some(reason)));
    let refused = driver.client(CLIENT, submit(5));
    assert_eq!(failure_of(&refused), reason);
    assert!(!refused.iter().any(|command| matches!(command, Command::End)), "the coordinator goes on");
    driver.rank(7, RankMessage::Register);
    assert_eq!(dispatches(&driver.client(CLIENT, submit(6))), [(7, 6)], "and takes a new rank in");
}

#[test]
fn requests_wait_for_ranks_that_still_start_and_no_longer() {
    let mut driver = Driver::new(settings(2));
    driver.client(CLIENT, ClientMessage::Connect);
    assert!(driver.client(CLIENT, submit(0)).is_empty());
    assert!(finals(&driver.exit(0)).is_empty());
    assert_eq!(finals(&driver.exit(1)).len(), 1);
    driver.rank(1, RankMessage::Register);
    assert_eq!(dispatches(&driver.client(CLIENT, submit(1))), [(1, 1)], "a new process may take its place");
}

#[test]
fn aborts_end_requests_in_every_state() {
    let abort = |client_id| ClientMessage::Abort { client_id };
    let mut driver = Driver::started(1);
    (0..3).for_each(|id| drop(driver.client(CLIENT, submit(id))));
    let at_rank = driver.client(CLIENT, abort(0));
    assert_eq!(to_ranks(&at_rank), [(0, RankCommand::Abort { request_id: 0 })]);
    assert_eq!(finals(&driver.rank(0, done(0, &[1]))).len(), 1);
    (3..5).for_each(|id| drop(driver.client(CLIENT, submit(id))));
    assert_eq!(failure_of(&driver.client(CLIENT, abort(4))), "aborted by the client before a rank had it");
    assert!(driver.client(CLIENT, abort(4)).is_empty());
    driver.client(CLIENT, abort(1));
    let reasons: Vec<_> =
        finals(&driver.exit(0)).into_iter().filter_map(|(_, reply)| reply.failure()).collect();
    assert!(reasons.iter().any(|reason| reason.starts_with("aborted by the client; rank 0")), "{reasons:?}");
}

#[test]
fn a_client_that_vanishes_frees_its_requests() {
    let mut driver = Driver::started(1);
    (0..3).for_each(|id| drop(driver.client(CLIENT, submit(id))));
    driver.client("other", ClientMessage::Connect);
    driver.client("other", submit(0));
    let commands = driver.handle(Event::ClientUnreachable { client: CLIENT.into() });
    let aborted = [0, 1].map(|request_id| (0, RankCommand::Abort { request_id }));
    assert_eq!(to_ranks(&commands)[..2], aborted);
    assert_eq!(dispatches(&commands), [(0, 3)], "the other client's turn");
    assert!(driver.rank(0, done(0, &[1])).is_empty());
    assert_eq!(driver.state.stats().counters.abandoned, 3);
}

#[test]
fn stop_fails_what_is_unfinished_and_is_not_a_loss() {
    let mut driver = Driver::started(2);
    driver.client(CLIENT, submit(0));
    let stop = ClientMessage::Control(ControlSignal::Stop);
    let refused = replies(&driver.client(CLIENT, stop.clone()));
    let reason = "STOP has no meaning while Running".into();
    assert_eq!(refused, [(CLIENT.to_owned(), ClientReply::Refusal { reason })]);
    assert_eq!(to_ranks(&driver.client(CLIENT, ClientMessage::Control(ControlSignal::Pause))).len(), 2);
    assert_eq!(
        dispatches(&driver.client(CLIENT, submit(1))),
        [(1, 1)],
        "requests are forwarded in every state"
    );
    let commands = driver.client(CLIENT, stop);
    assert_eq!((to_ranks(&commands).len(), finals(&commands).len()), (2, 2));
    let report = Box::new(crate::metrics::RankRecord { rank: 1, ..Default::default() });
    assert!(matches!(driver.rank(1, RankMessage::Report(report)).as_slice(), [Command::RankReport(_)]));
    assert!(matches!(driver.rank(1, RankMessage::Disconnect).as_slice(), [Command::RankLeft { rank: 1 }]));
    assert!(matches!(driver.exit(0).last(), Some(Command::RankLeft { rank: 0 })));
    assert_eq!(driver.state.stats().counters.ranks_lost, 0);
}

#[test]
fn bad_messages_are_answered_where_that_is_possible() {
    let mut driver = Driver::started(2);
    let error = WireError::Arity { header: Header::SubmitRequest, expected: "4 or 5", got: 3 };
    let from = |identity: &str, request| {
        let error = BadMessage { error: error.clone(), request };
        Event::Malformed { identity: identity.into(), error }
    };
    assert_eq!(
        failure_of(&driver.handle(from(CLIENT, Some(7)))),
        "SUBMIT_REQUEST: expected 4 or 5 elements, got 3"
    );
    let refused = replies(&driver.handle(from(CLIENT, None)));
    assert!(matches!(refused.as_slice(), [(_, ClientReply::Refusal { .. })]));
    assert!(driver.handle(from("stranger", Some(7))).is_empty());
    driver.client(CLIENT, submit(0));
    assert_eq!(dispatches(&driver.handle(from("mp-coord-0", None))), [(1, 1)], "its answer may be lost");
    assert_eq!(driver.state.stats().counters.malformed, 4);
}

#[test]
fn shutdown_answers_everything_first() {
    let mut driver = Driver::started(1);
    driver.client(CLIENT, submit(0));
    let commands = driver.client(CLIENT, ClientMessage::Shutdown);
    assert!(failure_of(&commands).contains("shut the coordinator down"));
    assert!(matches!(commands.last(), Some(Command::End)));
}

#[test]
fn segments_are_the_texts_of_single_tokens_for_whoever_asks() {
    for asked in [true, false] {
        let mut driver = Driver::started(1);
        let ClientMessage::Submit(mut request) = submit(0) else { panic!("a submission") };
        request.prompt = Prompt::Tokens(vec![7, 8]);
        request.sampling.return_segments = asked;
        driver.client(CLIENT, ClientMessage::Submit(request));
        let answers = finals(&driver.rank(0, done(0, &[5, 6])));
        let segments = |key: &str| {
            let found = answers[0].1.extra.iter().find(|(known, _)| known == key);
            found.map(|(_, value)| value.to_string())
        };
        let expected = |texts: &str| asked.then(|| texts.to_owned());
        assert_eq!(segments("segments"), expected(r#"["<7>", "<8>", "<5>", "<6>"]"#));
        assert_eq!(segments("generated_segments"), expected(r#"["<5>", "<6>"]"#));
    }
}
