//! The same over real sockets when ranks, clients or messages are bad. Nothing may hang.

use std::time::Duration;

use super::sockets::{DEADLINE_S, Fault, Fleet, check_all, requests, token};
use crate::client::{Client, ClientError};
use crate::coordinator::socket::Dealer;
use crate::coordinator::wire::*;
use crate::coordinator::{CoordinatorOptions, NotReady, RankLink, spawn};
use crate::metrics::{Clock, RequestOutcome};
use crate::plan::Arrival;

fn raw_client(endpoint: &str) -> Dealer {
    let dealer = Dealer::connect(endpoint, None, Duration::ZERO).expect("a socket");
    dealer.send(ClientMessage::Connect.encode()).expect("sent");
    assert_eq!(receive(&dealer), ClientReply::ConnectAck);
    dealer
}

fn receive(dealer: &Dealer) -> ClientReply {
    let payload = dealer.receive(Duration::from_secs(5)).expect("a socket").expect("an answer in time");
    ClientReply::decode(&payload, &WireLimits::default()).expect("a reply")
}

#[test]
fn a_rank_that_dies_costs_nothing_but_time() {
    let fleet = Fleet::start(&[Fault::None, Fault::Die(3)]);
    let mut client = fleet.client();
    let requests = requests(40, 20);
    let mut told = false;
    let coordinator = &fleet.coordinator;
    let records = client.run(&requests, Arrival::AllAtOnce, DEADLINE_S, &mut |progress| {
        // As the process guard does, some time after the rank has gone.
        if progress.num_tokens > 100 && !told {
            told = true;
            coordinator.rank_exited(1, "killed by signal 9");
        }
    });
    assert!(check_all(&records, &requests) > 0, "some were served anew");
    assert!(fleet.coordinator.lost_ranks().contains_key(&1));
    assert!(fleet.coordinator.incidents()[0].what.starts_with("rank 1 is lost"));
    assert_eq!(fleet.stop(client).into_keys().collect::<Vec<_>>(), [0]);
}

#[test]
fn a_rank_that_hangs_is_noticed_by_its_silence() {
    let fleet = Fleet::start(&[Fault::Hang(2), Fault::None]);
    let mut client = fleet.client();
    let requests = requests(20, 10);
    let records = client.run(&requests, Arrival::AllAtOnce, DEADLINE_S, &mut |_| {});
    assert!(check_all(&records, &requests) > 0);
    assert!(fleet.coordinator.lost_ranks()[&0].starts_with("nothing was heard of it"));
    fleet.stop(client);
}

#[test]
fn a_rank_that_sends_garbage_is_lost() {
    let fleet = Fleet::start(&[Fault::Garbage(2), Fault::None]);
    let mut client = fleet.client();
    let requests = requests(20, 10);
    let records = client.run(&requests, Arrival::AllAtOnce, DEADLINE_S, &mut |_| {});
    check_all(&records, &requests);
    assert!(fleet.coordinator.lost_ranks()[&0].contains("4294967295 values claimed"));
    fleet.stop(client);
}

#[test]
fn when_all_ranks_die_every_request_fails_with_the_reason() {
    let fleet = Fleet::start(&[Fault::Hang(2), Fault::Hang(2)]);
    let mut client = fleet.client();
    let records = client.run(&requests(10, 50), Arrival::AllAtOnce, DEADLINE_S, &mut |_| {});
    for record in &records {
        let RequestOutcome::Failed { reason } = &record.outcome else { panic!("{:?}", record.outcome) };
        assert!(reason.starts_with("no rank is left to serve it"), "{reason}");
    }
    fleet.stop(client);
}

#[test]
fn what_is_unanswered_at_the_deadline_says_so() {
    let fleet = Fleet::start(&[Fault::None]);
    let mut client = fleet.client();
    client.pause().expect("sent");
    let deadline_s = fleet.clock.now_s() + 0.3;
    let records = client.run(&requests(3, 5), Arrival::AllAtOnce, deadline_s, &mut |_| {});
    assert!(records.iter().all(|record| record.outcome == RequestOutcome::Unanswered));
    fleet.stop(client);
}

#[test]
fn a_client_that_vanishes_harms_nobody() {
    let fleet = Fleet::start(&[Fault::None]);
    let vanishing = raw_client(fleet.coordinator.endpoint());
    for id in 0..50 {
        let sampling =
            SamplingParams { streaming: true, num_tokens_to_generate: Some(1 << 40), ..Default::default() };
        let submit = Submit { id, prompt: Prompt::Tokens(vec![1]), sampling, multi_modal: None };
        vanishing.send(ClientMessage::Submit(submit).encode()).expect("sent");
    }
    // A connection that closes with unread replies is reset, and what is under way on it is lost.
    assert_eq!(fleet.stats_when(|stats| stats.counters.accepted == 50).counters.accepted, 50);
    drop(vanishing);
    let mut client = fleet.client();
    let requests = requests(10, 5);
    check_all(&client.run(&requests, Arrival::AllAtOnce, DEADLINE_S, &mut |_| {}), &requests);
    // Its end shows when a message to it does not get through.
    assert_eq!(fleet.stats_when(|stats| stats.counters.abandoned == 50).counters.abandoned, 50);
    fleet.stop(client);
}

#[test]
fn a_foreign_client_is_served_in_its_own_words() {
    let fleet = Fleet::start(&[Fault::None]);
    let foreign = raw_client(fleet.coordinator.endpoint());
    // [20, 5, [9], {num_tokens_to_generate: 2, unheard_of: 1}]: four elements, a subset of keys, an unknown one.
    let mut submit = vec![0x94, 0x14, 0x05, 0x91, 0x09, 0x82];
    submit.extend(b"\xb6num_tokens_to_generate\x02\xaaunheard_of\x01");
    foreign.send(submit).expect("sent");
    let ClientReply::Final { client_id: 5, reply } = receive(&foreign) else { panic!("a final answer") };
    assert_eq!(reply.generated_tokens, [token(&[9], 0), token(&[9], 1)]);
    assert_eq!((reply.served_by, &reply.sampling.extra[0].0[..]), (None, "unheard_of"));
    drop(foreign);
    let client = fleet.client();
    fleet.stop(client);
}

#[test]
fn garbage_is_counted_and_harms_nobody() {
    let fleet = Fleet::start(&[Fault::None]);
    let vandal = raw_client(fleet.coordinator.endpoint());
    let garbage: [&[u8]; 6] =
        [b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x93\x14\x07\x91", b"\x91\x63", b"\x91\x02"];
    garbage.iter().for_each(|bytes| vandal.send(bytes.to_vec()).expect("sent"));
    vandal.send_frames(&[b"\x91\x28", b"", b"\x91\x2d"]);
    // A request whose id can be read is answered.
    vandal.send(vec![0x94, 0x14, 0x07, 0xc0, 0x80]).expect("sent");
    let ClientReply::Final { client_id: 7, reply } = receive(&vandal) else { panic!("a final answer") };
    let reason = "SUBMIT_REQUEST: element 2: expected a string or an array of token ids, got nil";
    assert_eq!(reply.failure().as_deref(), Some(reason));
    let mut client = fleet.client();
    let requests = requests(5, 3);
    check_all(&client.run(&requests, Arrival::AllAtOnce, DEADLINE_S, &mut |_| {}), &requests);
    assert_eq!(fleet.stats_when(|stats| stats.counters.malformed == 8).counters.malformed, 8);
    fleet.stop(client);
}

#[test]
fn readiness_has_a_deadline_and_ends_early_when_a_rank_dies() {
    let clock = Clock::start();
    let options = CoordinatorOptions { settings: super::settings(2), wire: WireLimits::default(), clock };
    let coordinator = spawn(options).expect("a coordinator");
    let mut link = RankLink::connect(coordinator.endpoint(), 1).expect("a link");
    link.register(super::ready()).expect("sent");
    let missing = coordinator.wait_ready(0.3).unwrap_err();
    assert_eq!(missing.to_string(), "ranks [0] of 2 were not ready by the deadline");
    coordinator.rank_exited(0, "exit code 3");
    let lost = coordinator.wait_ready(DEADLINE_S).unwrap_err();
    assert_eq!(lost, NotReady::RankLost { rank: 0, why: "exit code 3".into() });
    drop(link);
    coordinator.join().expect("a clean end");
    assert!(clock.now_s() < DEADLINE_S);
}

#[test]
fn a_client_without_a_coordinator_gives_up() {
    let clock = Clock::start();
    let options = CoordinatorOptions { settings: super::settings(1), wire: WireLimits::default(), clock };
    let coordinator = spawn(options).expect("a coordinator");
    let endpoint = coordinator.endpoint().to_owned();
    coordinator.join().expect("a clean end");
    let Err(ClientError::NoAnswer { .. }) = Client::connect(&endpoint, clock, Duration::from_millis(200))
    else {
        panic!("nobody is there")
    };
    assert!(Client::connect("tcp://no port", clock, Duration::from_millis(200)).is_err());
    assert!(clock.now_s() < DEADLINE_S);
}
