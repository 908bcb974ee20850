//! A rank of ours behind a coordinator that is not: over a real socket, byte by byte.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::RankError;
use super::plain_link::PlainLink;
use super::tests::{only_final, serve_at, spec};
use crate::coordinator::RankLink;
use crate::coordinator::socket::Router;
use crate::coordinator::wire::{
    ControlSignal, FinalReply, PartialReply, Prompt, RankCommand, RankMessage, ReplyStatus, SamplingParams,
    Submit, WireLimits,
};

const PATIENCE: Duration = Duration::from_secs(20);
const IDENTITY: &[u8] = b"mp-coord-3";

/// The original's coordinator, which reads what the rank says and knows nothing of heartbeats, caches and records.
struct Foreign {
    router: Router,
    rank: JoinHandle<Result<(), RankError>>,
}

impl Foreign {
    /// A rank whose steps take so long joins.
    fn start(step: Duration) -> Foreign {
        let (router, _waker) = Router::bind("tcp://127.0.0.1:*", 1 << 20, PATIENCE).unwrap();
        let endpoint = router.endpoint().to_owned();
        let rank = thread::spawn(move || {
            let mut link = RankLink::connect(&endpoint, 3)?;
            link.register_plainly()?;
            let tokenize = |text: &str, _: bool| match text {
                "bad" => Err("no such text".to_owned()),
                _ => Ok(vec![text.len() as u32]),
            };
            serve_at(PlainLink::new(link, Arc::new(tokenize)), &spec(), step)
        });
        let foreign = Foreign { router, rank };
        assert_eq!(foreign.next(), RankMessage::Register);
        foreign
    }

    fn received(&self, patience: Duration) -> Option<RankMessage> {
        let until = Instant::now() + patience;
        loop {
            if let Some(delivered) = self.router.receive().unwrap() {
                assert_eq!((delivered.identity(), delivered.num_frames), (IDENTITY, 1));
                return Some(RankMessage::decode(delivered.payload(), &WireLimits::default()).unwrap());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.router.wait(left).unwrap();
        }
    }

    /// The next message, whatever it is: heartbeats are not passed over.
    fn next(&self) -> RankMessage {
        self.received(PATIENCE).expect("the rank is silent")
    }

    fn next_final(&self) -> FinalReply {
        only_final(self.next())
    }

    fn tell(&self, command: &RankCommand) {
        self.router.send(IDENTITY, &command.encode()).unwrap();
    }

    fn signal(&self, signal: ControlSignal) {
        self.tell(&RankCommand::Control(signal));
    }

    /// In the form of four elements (0.19), or of five.
    fn submit(&self, id: u64, prompt: Prompt, sampling: SamplingParams, later: bool) {
        let mut submit = Submit { id, prompt, sampling, multi_modal: None };
        if later {
            submit.make_later_form();
        }
        let bytes = RankCommand::Submit(submit).encode();
        assert_eq!(bytes[..2], [if later { 0x95 } else { 0x94 }, 20]);
        self.router.send(IDENTITY, &bytes).unwrap();
    }

    /// STOP; what is answered at last.
    fn stop(self) -> Vec<FinalReply> {
        self.signal(ControlSignal::Pause);
        self.signal(ControlSignal::Stop);
        let mut answered = Vec::new();
        let mut message = self.next();
        while let RankMessage::Finals(replies) = message {
            answered.extend(replies);
            message = self.next();
        }
        assert_eq!(message, RankMessage::Disconnect, "only the farewell comes after final replies");
        assert_eq!(self.received(Duration::from_millis(300)), None, "nothing comes after the farewell");
        self.rank.join().unwrap().unwrap();
        answered
    }
}

fn streaming(num_tokens: u64) -> SamplingParams {
    let num_tokens_to_generate = Some(num_tokens);
    SamplingParams { top_k: 1, num_tokens_to_generate, streaming: true, ..SamplingParams::default() }
}

#[test]
fn only_a_coordinator_that_is_later_than_0_19_is_streamed_to() {
    let foreign = Foreign::start(Duration::ZERO);
    foreign.submit(0, Prompt::Tokens(vec![1, 2]), streaming(4), false);
    let reply = foreign.next_final();
    assert_eq!((reply.generated_tokens.len(), reply.sampling.streaming), (4, false), "nothing came before");
    foreign.submit(1, Prompt::Tokens(vec![1, 2]), streaming(4), true);
    let mut streamed = Vec::new();
    let mut message = foreign.next();
    while let RankMessage::Partials(partials) = message {
        streamed.extend(partials.into_iter().flat_map(|PartialReply { new_tokens, .. }| new_tokens));
        message = foreign.next();
    }
    let RankMessage::Finals(mut replies) = message else { panic!("{message:?}") };
    let last = replies.remove(0);
    assert_eq!(
        (streamed.as_slice(), &last.generated_tokens),
        (&reply.generated_tokens[..3], &reply.generated_tokens)
    );
    // A restarted coordinator may be an older one.
    foreign.submit(2, Prompt::Tokens(vec![1, 2]), streaming(4), false);
    assert_eq!(foreign.next_final().generated_tokens, reply.generated_tokens);
    assert!(foreign.stop().is_empty());
}

#[test]
fn an_unknown_coordinator_gets_no_heartbeat_and_no_record() {
    let foreign = Foreign::start(Duration::from_millis(100));
    // Six heartbeats would be due, idle and at work.
    assert_eq!(foreign.received(Duration::from_millis(300)), None);
    foreign.submit(0, Prompt::Text("four".to_owned()), streaming(3), false);
    let reply = foreign.next_final();
    assert_eq!((reply.prompt.as_deref(), reply.effort), (Some("four"), None));
    // Whatever these headers mean to it, they are no orders of ours.
    foreign.tell(&RankCommand::Refusal { reason: "not ours".to_owned() });
    foreign.tell(&RankCommand::Agreed { version: 7 });
    foreign.submit(1, Prompt::Text("bad".to_owned()), streaming(3), true);
    assert_eq!(foreign.next_final().failure().as_deref(), Some("no such text"));
    assert!(foreign.stop().is_empty());
}

#[test]
fn what_stop_cuts_short_is_answered_before_the_farewell() {
    let foreign = Foreign::start(Duration::from_millis(50));
    foreign.submit(4, Prompt::Text("running".to_owned()), streaming(40), false);
    foreign.submit(2, Prompt::Tokens(vec![1]), streaming(40), false);
    thread::sleep(Duration::from_millis(120));
    foreign.signal(ControlSignal::Pause);
    foreign.submit(9, Prompt::Tokens(vec![1]), streaming(40), false);
    foreign.tell(&RankCommand::Abort { request_id: 2 });
    assert_eq!(foreign.next_final().status, ReplyStatus::Completed, "an abort is answered by itself");
    let answered = foreign.stop();
    let told: Vec<_> = answered.iter().map(|reply| (reply.request_id, reply.prompt.as_deref())).collect();
    assert_eq!(told, [(4, Some("running")), (9, None)]);
    for reply in answered {
        assert_eq!(reply.failure().as_deref(), Some("the ranks were stopped before it was finished"));
    }
}

#[test]
fn requests_that_are_not_supported_are_answered_all_the_same() {
    let foreign = Foreign::start(Duration::ZERO);
    // [24, 5, [], {}, {}, []]: a request whose KV cache lies elsewhere.
    foreign.router.send(IDENTITY, &[0x96, 24, 5, 0x90, 0x80, 0x80, 0x90]).unwrap();
    let reply = foreign.next_final();
    let reason = "SUBMIT_REQUEST_WITH_KV (24) is not taken by a rank without KV hand-off";
    assert_eq!((reply.request_id, reply.failure().as_deref()), (5, Some(reason)));
    // [25, 5]: frees it.
    foreign.router.send(IDENTITY, &[0x92, 25, 5]).unwrap();
    foreign.submit(6, Prompt::Tokens(vec![1]), streaming(1), true);
    assert_eq!(foreign.next_final().request_id, 6);
    assert!(foreign.stop().is_empty());
}

#[test]
fn frames_of_a_split_message_are_not_taken_for_orders() {
    let foreign = Foreign::start(Duration::ZERO);
    // After 0.19 the original's coordinator sends the prompt in a frame of its own; this one reads as STOP.
    foreign.router.send_frames(IDENTITY, &[&[0x95, 20, 0, 0x80, 0xc0, 0xc0], &[0x91, 45], &[0xc0]]);
    let error = foreign.rank.join().unwrap().unwrap_err().to_string();
    assert!(error.starts_with("cannot understand the coordinator: it splits messages"), "{error}");
}
