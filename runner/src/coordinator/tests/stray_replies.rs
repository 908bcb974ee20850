//! What ends or delays the original's client does not ours: replies that nobody waits for, and waiting itself.

use std::thread;
use std::time::Duration;

use super::sockets::{DEADLINE_S, requests};
use crate::client::Client;
use crate::coordinator::socket::{Delivered, Router};
use crate::coordinator::wire::*;
use crate::metrics::{Clock, RequestOutcome, RequestRecord};
use crate::plan::Arrival;

const PATIENCE: Duration = Duration::from_secs(20);
/// How long the coordinator here takes to answer.
const PAUSE: Duration = Duration::from_millis(60);

fn next(router: &Router) -> Delivered {
    next_within(router, PATIENCE).expect("a message in time")
}

fn next_within(router: &Router, patience: Duration) -> Option<Delivered> {
    let clock = Clock::start();
    while clock.now_s() < patience.as_secs_f64() {
        if let Some(delivered) = router.receive().expect("a message") {
            return Some(delivered);
        }
        router.wait(clock.until(patience.as_secs_f64())).expect("a socket");
    }
    None
}

/// `num_requests` requests at a coordinator that sends `replies` to its client; the client's records and how often its loop turned.
fn serve(num_requests: usize, replies: Vec<Vec<u8>>) -> (Vec<RequestRecord>, Vec<String>, u32, Clock) {
    let (router, _waker) = Router::bind("tcp://127.0.0.1:*", 1 << 20, PATIENCE).unwrap();
    let endpoint = router.endpoint().to_owned();
    let coordinator = thread::spawn(move || {
        let client = next(&router).identity().to_vec();
        router.send(&client, &ClientReply::ConnectAck.encode()).unwrap();
        (0..num_requests).for_each(|_| drop(next(&router)));
        thread::sleep(PAUSE);
        for reply in replies {
            router.send(&client, &reply).unwrap();
        }
        router
    });
    let clock = Clock::start();
    let mut client = Client::connect_plainly(&endpoint, clock, PATIENCE).unwrap();
    let mut turns = 0;
    let requests = requests(num_requests, 2);
    let records = client.run(&requests, Arrival::AllAtOnce, DEADLINE_S, &mut |_| turns += 1);
    let incidents = client.incidents().iter().map(|incident| incident.what.clone()).collect();
    drop(coordinator.join().unwrap());
    (records, incidents, turns, clock)
}

fn partial(client_id: u64, token: u32) -> Vec<u8> {
    let partial = PartialReply { new_tokens: vec![token], ..PartialReply::default() };
    ClientReply::Partial { client_id, partial }.encode()
}

fn last(client_id: u64) -> Vec<u8> {
    let mut reply = FinalReply::completed(0, SamplingParams::default(), vec![7, 8]);
    reply.extra = [("a_key_of_the_future".to_owned(), 1.into())].into();
    ClientReply::Final { client_id, reply: Box::new(reply) }.encode()
}

#[test]
fn replies_for_nobody_headers_and_keys_unknown_end_no_client() {
    let unknown_header = vec![0x91, 99];
    let stray = vec![partial(0, 7), partial(41, 9), last(41), unknown_header, last(0)];
    let (records, incidents, _, _) = serve(1, stray);
    let record = &records[0];
    assert_eq!(record.outcome, RequestOutcome::Completed);
    assert_eq!(record.generated_tokens, [7, 8]);
    assert_eq!(incidents.iter().filter(|what| what.contains("request 41, which waits for none")).count(), 2);
    assert!(incidents.iter().any(|what| what.starts_with("unreadable reply")), "{incidents:?}");
}

#[test]
fn two_replies_for_one_request_end_no_client() {
    let (records, incidents, _, _) = serve(2, vec![last(0), last(0), partial(0, 7), last(1)]);
    for record in records {
        assert_eq!((record.outcome, record.generated_tokens), (RequestOutcome::Completed, vec![7, 8]));
    }
    assert_eq!(incidents, ["a reply for request 0, which waits for none"; 2]);
}

#[test]
fn a_reply_after_an_abort_is_nobody_elses() {
    let (router, _waker) = Router::bind("tcp://127.0.0.1:*", 1 << 20, PATIENCE).unwrap();
    let endpoint = router.endpoint().to_owned();
    let client = thread::spawn(move || {
        let clock = Clock::start();
        let mut client = Client::connect(&endpoint, clock, PATIENCE).unwrap();
        let deadline_s = clock.now_s() + 0.1;
        let aborted = client.run(&requests(1, 2), Arrival::AllAtOnce, deadline_s, &mut |_| ());
        let later = client.run(&requests(1, 2), Arrival::AllAtOnce, DEADLINE_S, &mut |_| ());
        (aborted, later)
    });
    let identity = next(&router).identity().to_vec();
    router.send(&identity, &ClientReply::ConnectAck.encode()).unwrap();
    let headers = [(); 4].map(|()| next(&router).payload()[1]);
    assert_eq!(headers, [100, 20, 23, 20], "HELLO, a request, its abort, and the next request");
    for reply in [partial(0, 9), last(0), last(1)] {
        router.send(&identity, &reply).unwrap();
    }
    let (aborted, later) = client.join().unwrap();
    assert_eq!((&aborted[0].outcome, aborted[0].generated_tokens.len()), (&RequestOutcome::Unanswered, 0));
    assert_eq!((&later[0].outcome, &later[0].generated_tokens), (&RequestOutcome::Completed, &vec![7, 8]));
}

#[test]
fn the_client_wakes_with_a_reply_and_does_not_poll() {
    let (records, _, turns, clock) = serve(1, vec![partial(0, 7), last(0)]);
    assert_eq!(records[0].outcome, RequestOutcome::Completed);
    // A loop that sleeps 5 ms at a time turns a dozen times before the answer; ours wakes every 100 ms to tell how far
    // it is, and else for replies only.
    let at_most = 3 + (clock.now_s() / 0.1).ceil() as u32;
    assert!(turns <= at_most, "{turns} turns, expected at most {at_most}");
}

#[test]
fn only_a_coordinator_that_streams_or_is_ours_is_told_to_abort() {
    // 0.19's neither streams nor knows ABORT_REQUEST, and would end of it.
    for (connect, streams, expected) in
        [("plainly", false, None), ("plainly", true, Some([0x92, 23])), ("as ours", false, Some([0x92, 23]))]
    {
        let (router, _waker) = Router::bind("tcp://127.0.0.1:*", 1 << 20, PATIENCE).unwrap();
        let endpoint = router.endpoint().to_owned();
        let is_plain = connect == "plainly";
        let client = thread::spawn(move || {
            let clock = Clock::start();
            let connect = if is_plain { Client::connect_plainly } else { Client::connect };
            let mut client = connect(&endpoint, clock, PATIENCE).unwrap();
            let deadline_s = clock.now_s() + 0.3;
            let records = client.run(&requests(1, 2), Arrival::AllAtOnce, deadline_s, &mut |_| ());
            assert_eq!(records[0].outcome, RequestOutcome::Unanswered);
            client
        });
        let identity = next(&router).identity().to_vec();
        router.send(&identity, &ClientReply::ConnectAck.encode()).unwrap();
        if !is_plain {
            assert_eq!(next(&router).payload()[..2], [0x92, 100], "HELLO");
        }
        assert_eq!(next(&router).payload()[..2], [0x94, 20]);
        if streams {
            router.send(&identity, &partial(0, 7)).unwrap();
        }
        let client = client.join().unwrap();
        let last = next_within(&router, Duration::from_millis(300))
            .map(|last| [last.payload()[0], last.payload()[1]]);
        assert_eq!(last, expected, "{connect}, streams: {streams}");
        drop(client);
    }
}
