//! A rank's loop against a scripted coordinator: no process, no socket, a model that is a hash.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use goldlap_kernels::model::step::{
    Extras, KvCacheShape, LanguageModel, SequenceSlice, StepCost, StepError, StepOutput,
};

use super::pulse::{Link, Pulse};
use super::serve::Server;
use super::{RankError, RankLog, heartbeat_interval};
use crate::coordinator::LinkError;
use crate::coordinator::wire::{
    ControlSignal, FinalReply, PartialReply, Prompt, RankCommand, RankMessage, RankStats, ReplyStatus,
    SamplingParams, Submit,
};
use crate::engine::tests::{FakeModel, cache};
use crate::engine::{Backend, CacheChanges, EngineLimits};
use crate::metrics::{Clock, RankRecord};
use crate::plan::{EngineFeatures, EnginePlan, Platform};
use crate::topology::{Fault, RankSpec};

const PATIENCE: Duration = Duration::from_secs(20);

struct FakeLink {
    commands: Receiver<RankCommand>,
    sent: Sender<RankMessage>,
}

impl FakeLink {
    fn send(&self, message: RankMessage) -> Result<(), LinkError> {
        // The script may have seen enough.
        let _gone = self.sent.send(message);
        Ok(())
    }
}

impl Link for FakeLink {
    fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<RankCommand>, LinkError> {
        match self.commands.recv_timeout(timeout) {
            Ok(command) => Ok(Some(command)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Ok(Some(RankCommand::Control(ControlSignal::Stop))),
        }
    }
    fn send_partials(&mut self, partials: Vec<PartialReply>) -> Result<(), LinkError> {
        if partials.is_empty() { Ok(()) } else { self.send(RankMessage::Partials(partials)) }
    }
    fn send_finals(&mut self, replies: Vec<FinalReply>) -> Result<(), LinkError> {
        if replies.is_empty() { Ok(()) } else { self.send(RankMessage::Finals(replies)) }
    }
    fn send_cache_changes(&mut self, changes: CacheChanges) -> Result<(), LinkError> {
        self.send(RankMessage::CachedBlocks(changes))
    }
    fn heartbeat(&mut self, stats: RankStats) -> Result<(), LinkError> {
        self.send(RankMessage::Heartbeat(stats))
    }
    fn send_dropped(&mut self, _replies: Vec<FinalReply>) -> Result<(), LinkError> {
        Ok(())
    }
    fn send_report(&mut self, record: RankRecord) -> Result<(), LinkError> {
        self.send(RankMessage::Report(Box::new(record)))
    }
    fn disconnect(self) -> Result<(), LinkError> {
        self.send(RankMessage::Disconnect)
    }
}

/// Each step takes this long.
struct SlowModel(FakeModel, Duration);

impl LanguageModel for SlowModel {
    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }
    fn kv_cache(&self) -> KvCacheShape {
        self.0.kv_cache()
    }
    fn step_into(
        &mut self,
        batch: &[SequenceSlice<'_>],
        extras: &[Extras],
        outputs: &mut Vec<StepOutput>,
    ) -> Result<(), StepError> {
        thread::sleep(self.1);
        self.0.step_into(batch, extras, outputs)
    }
    fn last_step_cost(&self) -> StepCost {
        self.0.last_step_cost()
    }
}

/// A rank on a thread, and the coordinator's end of its link.
struct Rank {
    commands: Sender<RankCommand>,
    sent: Receiver<RankMessage>,
    thread: JoinHandle<Result<(), RankError>>,
}

const LIMITS: EngineLimits = EngineLimits {
    block_size: 4,
    num_usable_blocks: 32,
    max_requests: 4,
    max_tokens: 64,
    max_sequence_length: 64,
    num_paused_blocks: 0,
    features: EngineFeatures::OFF,
};

pub(super) fn spec() -> RankSpec {
    RankSpec {
        rank: 3,
        world_size: 8,
        coordinator: "tcp://127.0.0.1:1".to_owned(),
        packed_model: "unused".into(),
        platform: Platform::Vcuda,
        device: 0,
        engine: EnginePlan {
            kv_buffer_bytes: 0,
            block_size: 4,
            max_requests: None,
            max_tokens: 64,
            max_sequence_length: 64,
            num_threads: Some(1),
            features: EngineFeatures::OFF,
        },
        seed: 1,
        eods: Vec::new(),
        heartbeat_s: 0.05,
        fault: None,
    }
}

fn start(spec: RankSpec, step: Duration) -> Rank {
    let (commands, rank_commands) = mpsc::channel();
    let (rank_sent, sent) = mpsc::channel();
    let link = FakeLink { commands: rank_commands, sent: rank_sent };
    let thread = thread::spawn(move || serve_at(link, &spec, step));
    Rank { commands, sent, thread }
}

/// The reply of a message that brings just one.
pub(super) fn only_final(message: RankMessage) -> FinalReply {
    let RankMessage::Finals(mut replies) = message else {
        panic!("expected a final reply, got {message:?}");
    };
    assert_eq!(replies.len(), 1, "{replies:?}");
    replies.remove(0)
}

/// The loop of a rank at any link.
pub(super) fn serve_at<L: Link>(link: L, spec: &RankSpec, step: Duration) -> Result<(), RankError> {
    let log = RankLog { rank: spec.rank, clock: Clock::start() };
    let backend = Backend {
        model: Box::new(SlowModel(FakeModel::new(cache(&LIMITS)), step)),
        limits: LIMITS,
        device: "fake".to_owned(),
        num_kv_blocks: LIMITS.num_usable_blocks + 1,
    };
    let pulse = Pulse::start(link, heartbeat_interval(spec.heartbeat_s)?, log.clock).unwrap();
    Server::new(spec, backend, pulse, log).serve()
}

impl Rank {
    fn tell(&self, command: RankCommand) {
        self.commands.send(command).unwrap();
    }

    fn signal(&self, signal: ControlSignal) {
        self.tell(RankCommand::Control(signal));
    }

    fn submit(&self, id: u64, prompt: Prompt, sampling: SamplingParams) {
        self.tell(RankCommand::Submit(Submit { id, prompt, sampling, multi_modal: None }));
    }

    /// The next message that is no heartbeat.
    fn next(&self) -> RankMessage {
        loop {
            let message = self.sent.recv_timeout(PATIENCE).expect("the rank is silent");
            if !matches!(message, RankMessage::Heartbeat(_)) {
                return message;
            }
        }
    }

    fn next_final(&self) -> FinalReply {
        only_final(self.next())
    }

    fn stop(self) -> RankRecord {
        self.signal(ControlSignal::Stop);
        let message = self.next();
        let RankMessage::Report(record) = message else { panic!("expected the report, got {message:?}") };
        assert_eq!(self.next(), RankMessage::Disconnect);
        self.thread.join().unwrap().unwrap();
        *record
    }
}

fn greedy(num_tokens: u64) -> SamplingParams {
    SamplingParams { top_k: 1, num_tokens_to_generate: Some(num_tokens), ..SamplingParams::default() }
}

fn ids(tokens: &[u32]) -> Prompt {
    Prompt::Tokens(tokens.to_vec())
}

#[test]
fn streamed_tokens_and_the_final_reply_tell_the_same_story() {
    let rank = start(spec(), Duration::ZERO);
    let streaming = SamplingParams {
        streaming: true,
        streaming_interval: 2,
        return_log_probs: true,
        return_prompt_tokens: true,
        ..greedy(5)
    };
    rank.submit(7, ids(&[1, 2, 3]), streaming);
    let (mut tokens, mut logprobs, mut prompt_logprobs) = (Vec::<u32>::new(), Vec::<f32>::new(), Vec::new());
    for _ in 0..2 {
        let RankMessage::Partials(partials) = rank.next() else { panic!("expected partial replies") };
        assert_eq!((partials.len(), partials[0].request_id, partials[0].new_tokens.len()), (1, 7, 2));
        tokens.extend(&partials[0].new_tokens);
        logprobs.extend(partials[0].new_log_probs.clone().unwrap());
        prompt_logprobs.push(partials[0].prompt_log_probs.clone());
    }
    let reply = rank.next_final();
    assert_eq!(
        (reply.request_id, reply.status, reply.generated_tokens.len()),
        (7, ReplyStatus::Completed, 5)
    );
    assert_eq!(reply.generated_tokens[..4], tokens, "the fifth token comes with the final reply");
    assert_eq!(reply.generated_log_probs.as_ref().unwrap()[..4], logprobs);
    assert_eq!(prompt_logprobs, [reply.prompt_log_probs.clone(), None]);
    assert_eq!(reply.prompt_log_probs.unwrap().len(), 2);
    assert_eq!((reply.prompt_tokens, reply.ttft.is_some()), (Some(vec![1, 2, 3]), true));
    let record = rank.stop();
    assert_eq!((record.rank, record.num_requests_finished, record.num_steps), (3, 1, 5));
    assert_eq!((record.num_prefill_tokens, record.num_decode_tokens), (3, 4));
    assert_eq!((record.step_costs.len(), record.num_kv_blocks, record.device.as_str()), (5, 33, "fake"));
    assert!(record.max_kv_blocks_used == 2 && record.peak_rss_bytes > 0 && record.step_seconds > 0.0);
}

#[test]
fn what_cannot_be_served_is_answered_with_its_reason() {
    let rank = start(spec(), Duration::ZERO);
    let cases = [
        (Prompt::Text("hi".to_owned()), greedy(1), "expected token ids"),
        (ids(&[]), greedy(1), "the prompt is empty"),
        (ids(&[1; 65]), greedy(1), "max_sequence_length = 64"),
        (
            ids(&[1]),
            SamplingParams { top_n_logprobs: 3, ..greedy(1) },
            "top_n_logprobs is 3, expected 0 without",
        ),
        (
            ids(&[1]),
            SamplingParams { stop_words: Some(vec!["the".into()]), ..greedy(1) },
            "stop_words without a coordinator that watches for them is not",
        ),
        (ids(&[1]), SamplingParams { temperature: 0.0, top_k: 0, ..greedy(1) }, "temperature is 0"),
        (
            ids(&[1]),
            SamplingParams { num_tokens_total: Some(0), num_tokens_to_generate: None, ..greedy(1) },
            "-1 tokens",
        ),
    ];
    for (id, (prompt, sampling, expected)) in cases.into_iter().enumerate() {
        rank.submit(id as u64, prompt, sampling);
        let reply = rank.next_final();
        let reason = reply.failure().unwrap();
        assert!(reply.request_id == id as u64 && reason.contains(expected), "{reason}");
    }
    assert_eq!(rank.stop().num_steps, 0);
}

#[test]
fn paused_requests_freeze_abort_answers_and_stop_drops() {
    let rank = start(spec(), Duration::ZERO);
    rank.signal(ControlSignal::Pause);
    rank.submit(0, ids(&[1]), greedy(3));
    rank.submit(1, ids(&[1]), greedy(3));
    rank.tell(RankCommand::Abort { request_id: 0 });
    rank.tell(RankCommand::Abort { request_id: 99 });
    let aborted = rank.next_final();
    assert_eq!(
        (aborted.request_id, aborted.status, aborted.generated_tokens),
        (0, ReplyStatus::Completed, vec![])
    );
    rank.signal(ControlSignal::Suspend);
    rank.signal(ControlSignal::Unpause); // means nothing while suspended
    rank.signal(ControlSignal::Resume);
    rank.signal(ControlSignal::Unpause);
    assert_eq!(rank.next_final().generated_tokens.len(), 3);
    rank.signal(ControlSignal::Pause);
    rank.submit(2, ids(&[1]), greedy(3));
    assert_eq!(rank.stop().num_requests_finished, 1);
}

#[test]
fn any_end_of_a_document_ends_a_request_that_names_no_token() {
    let probe = start(spec(), Duration::ZERO);
    probe.submit(0, ids(&[5]), greedy(6));
    let tokens = probe.next_final().generated_tokens;
    probe.stop();
    let rank = start(RankSpec { eods: vec![tokens[2] + 1, tokens[2]], ..spec() }, Duration::ZERO);
    for (termination_id, expected) in [(None, 3), (Some(-1), 6), (Some(i64::from(tokens[4])), 5)] {
        rank.submit(0, ids(&[5]), SamplingParams { termination_id, ..greedy(6) });
        let reply = rank.next_final();
        assert_eq!(reply.generated_tokens, tokens[..expected]);
        let resolved = reply.sampling.termination_id.unwrap();
        assert_eq!(resolved, termination_id.unwrap_or(i64::from(tokens[2] + 1)), "the main one is named");
    }
    rank.stop();
}

#[test]
fn the_heart_beats_through_long_steps_and_stops_with_a_hang() {
    let fault = Some(Fault::HangAfterSteps(1));
    let rank = start(RankSpec { fault, ..spec() }, Duration::from_millis(600));
    rank.submit(0, ids(&[1]), greedy(9));
    let mut num_beats = 0;
    while let Ok(RankMessage::Heartbeat(stats)) = rank.sent.recv_timeout(PATIENCE / 10) {
        num_beats += u32::from(stats.num_steps == 0);
        if stats.num_steps > 0 {
            break;
        }
    }
    assert!(num_beats >= 3, "a step of 0.6 s with a heartbeat every 0.05 s saw {num_beats}");
    while rank.sent.recv_timeout(Duration::from_millis(500)).is_ok() {}
    assert!(!rank.thread.is_finished(), "hanging is not ending");
}

#[test]
fn an_idle_rank_beats_too() {
    let rank = start(spec(), Duration::ZERO);
    for _ in 0..3 {
        assert!(matches!(rank.sent.recv_timeout(PATIENCE), Ok(RankMessage::Heartbeat(_))));
    }
    rank.stop();
}

#[test]
fn a_rank_that_cannot_start_says_why() {
    let RankSpec { platform, packed_model, engine, .. } = spec();
    let refusal = |platform| Backend::open(platform, &packed_model, &engine, 0).err().unwrap().to_string();
    let error = refusal(&platform);
    assert!(error.contains("platform vcuda: "), "this process is not on the virtual driver: {error}");
    let error = refusal(&Platform::Cpu);
    assert!(error.contains("unused"), "the file that is not there is named: {error}");
    for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = heartbeat_interval(seconds).unwrap_err().to_string();
        assert!(error.contains("expected a number of seconds above 0"), "{error}");
    }
    let error = super::check_coordinator("tcp://127.0.0.1:1").unwrap_err().to_string();
    assert!(error.starts_with("no coordinator at tcp://127.0.0.1:1: "), "{error}");
    let error = super::check_coordinator("ipc://x").unwrap_err().to_string();
    assert!(error.contains("expected tcp://host:port"), "{error}");
}

#[test]
fn suspensions_and_the_epoch_are_acknowledged_and_recorded() {
    let rank = start(spec(), Duration::ZERO);
    use ControlSignal::{Pause, Resume, SetGenerationEpoch, Suspend, Unpause};
    for signal in [SetGenerationEpoch(7), Pause, Suspend, Resume, Unpause] {
        rank.signal(signal);
    }
    rank.submit(0, ids(&[1, 2]), greedy(3));
    assert_eq!(rank.next_final().generated_tokens.len(), 3);
    let is_acknowledged = |message| {
        matches!(
            message,
            RankMessage::Heartbeat(RankStats { num_suspensions: 1, generation_epoch: Some(7), .. })
        )
    };
    while !is_acknowledged(rank.sent.recv_timeout(PATIENCE).expect("a heartbeat")) {}
    let record = rank.stop();
    assert_eq!((record.num_suspensions, record.generation_epoch), (1, Some(7)));
}
