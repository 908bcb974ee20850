//! Ranks that never announce themselves: the original's engines. They get nothing that they do not know, are served by as
//! any other, and their end is noticed where the original's coordinator notices it.

use std::time::Duration;

use super::sockets::{DEADLINE_S, token};
use super::*;
use crate::client::Client;
use crate::coordinator::socket::Dealer;
use crate::coordinator::{CoordinatorHandle, CoordinatorOptions, CoordinatorStats, RankLink, spawn};
use crate::metrics::{Clock, RequestOutcome};
use crate::plan::Arrival;

/// One foreign rank, and a foreign client.
fn foreign_fleet() -> Driver {
    let mut driver = Driver::new(settings(1));
    assert!(driver.rank(0, RankMessage::Register).is_empty(), "registration has no answer");
    driver.client("foreign", ClientMessage::Connect);
    driver
}

/// [`submit`] in the form of later releases.
fn submit_later(id: u64) -> ClientMessage {
    let ClientMessage::Submit(mut request) = submit(id) else { panic!("a submission") };
    request.make_later_form();
    ClientMessage::Submit(request)
}

/// First bytes of what the ranks are sent: the number of elements, and the header.
fn heads(commands: &[Command]) -> Vec<[u8; 2]> {
    let head = |(_, command): (u32, RankCommand)| {
        let bytes = command.encode();
        [bytes[0], bytes[1]]
    };
    to_ranks(commands).into_iter().map(head).collect()
}

#[test]
fn an_engine_of_0_19_gets_four_elements_and_no_abort() {
    let mut driver = foreign_fleet();
    assert_eq!(heads(&driver.client("foreign", submit(0))), [[0x94, 20]]);
    assert_eq!(heads(&driver.client("foreign", ClientMessage::Abort { client_id: 0 })), [[0; 2]; 0]);
    let answers = finals(&driver.rank(0, done(0, &[1, 2, 3])));
    assert_eq!((answers.len(), answers[0].1.generated_tokens.len()), (1, 3), "it is served to its end");
    driver.client("foreign", submit(1));
    let gone = driver.handle(Event::ClientUnreachable { client: b"foreign".to_vec() });
    assert_eq!(heads(&gone), [[0; 2]; 0]);
    assert!(driver.rank(0, done(1, &[1])).is_empty(), "what it finishes for nobody is counted");
    assert_eq!(
        driver.state.stats().counters.late_replies + driver.state.stats().counters.duplicate_replies,
        1
    );
}

#[test]
fn an_engine_that_is_later_is_told_what_it_knows() {
    // By the form of its clients' requests, and by what it streams.
    for streams in [false, true] {
        let mut driver = foreign_fleet();
        let request = if streams { submit(0) } else { submit_later(0) };
        let head = heads(&driver.client("foreign", request));
        assert_eq!(head, [[if streams { 0x94 } else { 0x95 }, 20]]);
        if streams {
            driver.rank(0, tokens(0, &[5]));
        }
        assert_eq!(heads(&driver.client("foreign", ClientMessage::Abort { client_id: 0 })), [[0x92, 23]]);
        assert_eq!(finals(&driver.rank(0, done(0, &[5]))).len(), 1);
        assert_eq!(heads(&driver.client("foreign", submit(1))), [[0x95, 20]]);
    }
}

#[test]
fn a_rank_of_ours_gets_five_elements_from_every_client() {
    let mut driver = Driver::started(1);
    assert_eq!(heads(&driver.client("c", submit(0))), [[0x95, 20]]);
    assert_eq!(heads(&driver.client("c", submit_later(1))), [[0x95, 20]]);
}

#[test]
fn foreign_engines_have_no_heartbeat_to_miss_and_get_no_message_of_ours() {
    let mut driver = foreign_fleet();
    let mut commands = driver.client("foreign", submit(0));
    driver.now_s = 1e6;
    commands.extend(driver.handle(Event::Tick));
    assert_eq!(driver.state.stats().ranks.len(), 1);
    for signal in [ControlSignal::Pause, ControlSignal::Unpause, ControlSignal::SetGenerationEpoch(3)] {
        commands.extend(driver.client("foreign", ClientMessage::Control(signal)));
    }
    commands.extend(driver.rank(0, done(0, &[1])));
    commands.extend(driver.handle(Event::Shutdown));
    let headers: Vec<u8> = heads(&commands).into_iter().map(|[_, header]| header).collect();
    assert_eq!(headers, [20, 40, 41, 44], "not even STOP, of which a running engine would end");
}

/// The original's engine of 0.19, as far as its messages go: registers with an empty message, and ends of what it does not know.
struct Engine(Dealer);

impl Engine {
    fn join(endpoint: &str, rank: u32) -> Engine {
        let dealer =
            Dealer::connect(endpoint, Some(&format!("mp-coord-{rank}")), Duration::ZERO).expect("a socket");
        dealer.send(Vec::new()).expect("sent");
        Engine(dealer)
    }

    /// The next request, and its answer; nothing else may come.
    fn request(&self) -> (u64, FinalReply) {
        let bytes = self.0.receive(Duration::from_secs(10)).expect("a socket").expect("a request in time");
        assert_eq!(bytes[..2], [0x94, 20], "a submission of four elements");
        let Ok(RankCommand::Submit(submit)) = RankCommand::decode(&bytes, &WireLimits::default()) else {
            panic!("{bytes:?}")
        };
        let Prompt::Tokens(prompt) = &submit.prompt else { panic!("tokens") };
        let generated =
            (0..submit.sampling.num_tokens_to_generate.unwrap_or(0) as usize).map(|i| token(prompt, i));
        (submit.id, FinalReply::completed(submit.id, submit.sampling, generated.collect()))
    }
}

/// A coordinator with one foreign engine, which a thread plays, and a foreign client: ours says HELLO.
struct Service {
    coordinator: CoordinatorHandle,
    clock: Clock,
    client: Dealer,
}

impl Service {
    fn start() -> Service {
        let clock = Clock::start();
        let settings = Settings { max_outstanding_per_rank: 64, ..settings(1) };
        let options = CoordinatorOptions { settings, wire: WireLimits::default(), clock };
        let coordinator = spawn(options).expect("a coordinator");
        let client = Dealer::connect(coordinator.endpoint(), None, Duration::ZERO).expect("a socket");
        client.send(ClientMessage::Connect.encode()).expect("sent");
        let service = Service { coordinator, clock, client };
        assert_eq!(service.answer(), ClientReply::ConnectAck);
        service
    }

    fn ask(&self, id: u64) {
        let ClientMessage::Submit(mut request) = submit(id) else { panic!("a submission") };
        request.sampling.num_tokens_to_generate = Some(2);
        self.client.send(ClientMessage::Submit(request).encode()).expect("sent");
    }

    fn answer(&self) -> ClientReply {
        let bytes =
            self.client.receive(Duration::from_secs(10)).expect("a socket").expect("an answer in time");
        ClientReply::decode(&bytes, &WireLimits::default()).expect("a reply")
    }

    fn final_answer(&self) -> (u64, FinalReply) {
        let answer = self.answer();
        let ClientReply::Final { client_id, reply } = answer else {
            panic!("expected a final reply, got {answer:?}");
        };
        (client_id, *reply)
    }

    fn wait(&self, what: &str, is_so: impl Fn(&CoordinatorStats) -> bool) {
        while !is_so(&self.coordinator.stats()) {
            assert!(self.clock.now_s() < DEADLINE_S, "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn an_engine_that_dies_is_noticed_and_what_it_had_is_served_by_another() {
    let service = Service::start();
    let endpoint = service.coordinator.endpoint().to_owned();
    let engine = std::thread::spawn(move || {
        let engine = Engine::join(&endpoint, 0);
        let (_, reply) = engine.request();
        engine.0.send(RankMessage::Finals(vec![reply]).encode()).expect("sent");
        // Takes two more, answers one of them, and is gone without a word.
        engine.request();
        let (_, reply) = engine.request();
        let Engine(dealer) = engine;
        dealer.send(RankMessage::Finals(vec![reply]).encode()).expect("sent");
        dealer.receive(Duration::from_millis(100)).expect("a socket");
    });
    service.ask(0);
    let truth = |id: u64| vec![token(&[id as u32], 0), token(&[id as u32], 1)];
    let (id, reply) = service.final_answer();
    assert_eq!((id, reply.generated_tokens), (0, truth(0)));
    service.ask(1);
    service.ask(2);
    let (id, reply) = service.final_answer();
    assert_eq!((id, reply.generated_tokens), (2, truth(2)), "what it said before it went counts");
    // A rank of ours waits idle: nothing is sent to the dead one that could find out.
    let mut ours = RankLink::connect(service.coordinator.endpoint(), 1).expect("a link");
    ours.register(ready()).expect("sent");
    let command =
        ours.recv_timeout(Duration::from_secs(10)).expect("a command").expect("the request in time");
    let RankCommand::Submit(submit) = command else { panic!("{command:?}") };
    ours.send_finals(vec![FinalReply::completed(submit.id, submit.sampling, vec![7])]).expect("sent");
    let (id, reply) = service.final_answer();
    assert_eq!((id, reply.failure(), reply.generated_tokens), (1, None, vec![7]));
    engine.join().expect("an engine");
    assert_eq!(service.coordinator.lost_ranks()[&0], "its connection has closed");
    service.coordinator.join().expect("a clean end");
}

#[test]
fn the_last_engine_that_dies_leaves_an_answer_and_may_come_again() {
    let service = Service::start();
    for round in 0..3 {
        let engine = Engine::join(service.coordinator.endpoint(), 0);
        service.wait("the engine is taken in", |stats| stats.ranks.contains_key(&0));
        service.ask(round);
        engine.request();
        drop(engine);
        let reason = service.final_answer().1.failure().expect("a failure");
        assert_eq!(
            reason,
            "no rank is left to serve it; the last one lost was rank 0: its connection has closed"
        );
        service.wait("it is lost", |stats| stats.counters.ranks_lost == round + 1 && stats.ranks.is_empty());
    }
    service.coordinator.join().expect("a clean end");
}

#[test]
fn a_rank_of_ours_that_closes_is_left_to_the_guard_of_its_process() {
    let service = Service::start();
    let mut ours = RankLink::connect(service.coordinator.endpoint(), 0).expect("a link");
    ours.register(ready()).expect("sent");
    service.wait("the rank is ready", |stats| stats.ranks.contains_key(&0));
    let clock = service.clock;
    drop(ours);
    let later_s = clock.now_s() + 0.3;
    service.wait("time passes", |_| clock.now_s() > later_s);
    assert!(service.coordinator.lost_ranks().is_empty());
    service.coordinator.rank_exited(0, "killed by signal 9");
    service.wait("the rank is lost", |stats| stats.ranks.is_empty());
    assert_eq!(service.coordinator.lost_ranks()[&0], "killed by signal 9");
    service.coordinator.join().expect("a clean end");
}

#[test]
fn our_own_client_is_served_by_an_engine_of_0_19() {
    let clock = Clock::start();
    let coordinator =
        spawn(CoordinatorOptions { settings: settings(1), wire: WireLimits::default(), clock }).expect("one");
    let endpoint = coordinator.endpoint().to_owned();
    let engine = std::thread::spawn({
        let endpoint = endpoint.clone();
        move || {
            let engine = Engine::join(&endpoint, 0);
            for _ in 0..3 {
                let (_, reply) = engine.request();
                engine.0.send(RankMessage::Finals(vec![reply]).encode()).expect("sent");
            }
            engine
        }
    });
    let mut client = Client::connect(&endpoint, clock, Duration::from_secs(5)).expect("a client");
    let requests = super::sockets::requests(3, 4);
    let records = client.run(&requests, Arrival::AllAtOnce, DEADLINE_S, &mut |_| {});
    for (record, request) in records.iter().zip(&requests) {
        assert_eq!(record.outcome, RequestOutcome::Completed);
        let truth: Vec<u32> = (0..4).map(|i| token(&request.prompt_tokens, i)).collect();
        assert_eq!(record.generated_tokens, truth);
    }
    client.shutdown().expect("sent");
    let engine = engine.join().expect("an engine");
    coordinator.join().expect("a clean end");
    assert_eq!(engine.0.receive(Duration::from_millis(200)), Ok(None), "nothing but its requests came");
}
