//! Coordinator, client and ranks over real sockets, with ranks that are threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::Client;
use crate::coordinator::state::Settings;
use crate::coordinator::wire::*;
use crate::coordinator::{CoordinatorHandle, CoordinatorOptions, CoordinatorStats, RankLink, spawn};
use crate::metrics::{Clock, RankRecord, RequestOutcome, RequestRecord};
use crate::plan::{Arrival, SamplingPlan, TerminationPlan};
use crate::workload::TimedRequest;

/// How a simulated rank goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    None,
    /// Ends without a word after this many steps, as a killed process does.
    Die(u64),
    /// Stops answering after this many steps, until the test is over.
    Hang(u64),
    /// Sends bytes that are no message after this many steps, then nothing more until the test is over.
    Garbage(u64),
}

/// The token a model would generate after `prompt`, at position `i`.
pub(super) fn token(prompt: &[u32], i: usize) -> u32 {
    prompt.iter().fold(i as u32, |hash, &token| hash.wrapping_mul(31).wrapping_add(token)) % 1000 + 1
}

struct Job {
    id: u64,
    prompt: Vec<u32>,
    sampling: SamplingParams,
    done: Vec<u32>,
}

/// Serves like an engine: one token of every request a step.
struct FakeRank {
    link: RankLink,
    jobs: Vec<Job>,
    record: RankRecord,
    paused: bool,
    over: Arc<AtomicBool>,
}

impl FakeRank {
    fn hang(&self) {
        while !self.over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn serve(mut self, fault: Fault) {
        while !self.over.load(Ordering::Relaxed) {
            let wait =
                if self.jobs.is_empty() || self.paused { Duration::from_millis(10) } else { Duration::ZERO };
            let mut command = self.link.recv_timeout(wait).expect("a command");
            while let Some(next) = command {
                if self.obey(next) {
                    self.link.send_report(self.record).expect("a report");
                    return self.link.disconnect().expect("a farewell");
                }
                command = self.link.try_recv().expect("a command");
            }
            match fault {
                Fault::Die(after) if self.record.num_steps >= after => return,
                Fault::Hang(after) if self.record.num_steps >= after => {
                    return self.hang();
                }
                Fault::Garbage(after) if self.record.num_steps >= after => {
                    self.link.send_raw(vec![0xdd, 0xff, 0xff, 0xff, 0xff]);
                    // Its connection stays: a closed one would be noticed too, perhaps sooner.
                    return self.hang();
                }
                Fault::None | Fault::Die(_) | Fault::Hang(_) | Fault::Garbage(_) => {}
            }
            self.step();
        }
    }

    /// True if the rank is to end.
    fn obey(&mut self, command: RankCommand) -> bool {
        match command {
            RankCommand::Submit(Submit { id, prompt: Prompt::Tokens(prompt), sampling, .. }) => {
                self.jobs.push(Job { id, prompt, sampling, done: Vec::new() });
            }
            RankCommand::Submit(submit) => {
                let reply =
                    FinalReply::failed(submit.id, submit.sampling, ErrorClass::Any, "no tokenizer", 0.0);
                self.link.send_finals(vec![reply]).expect("a refusal");
            }
            RankCommand::Abort { request_id } => self.jobs.retain(|job| job.id != request_id),
            RankCommand::Control(ControlSignal::Stop) => return true,
            RankCommand::Control(signal) => self.control(signal),
            RankCommand::Agreed { .. } | RankCommand::Refusal { .. } => panic!("{command:?}"),
        }
        false
    }

    fn control(&mut self, signal: ControlSignal) {
        self.record.num_suspensions += u64::from(signal == ControlSignal::Suspend);
        self.paused = signal != ControlSignal::Unpause;
    }

    fn step(&mut self) {
        self.link
            .heartbeat(RankStats { num_steps: self.record.num_steps, ..RankStats::default() })
            .expect("sent");
        if self.paused || self.jobs.is_empty() {
            return;
        }
        self.record.num_steps += 1;
        let (mut partials, mut finals) = (Vec::new(), Vec::new());
        for job in &mut self.jobs {
            let new = token(&job.prompt, job.done.len());
            job.done.push(new);
            if job.done.len() as u64 == job.sampling.num_tokens_to_generate.unwrap_or(3) {
                finals.push(FinalReply::completed(job.id, job.sampling.clone(), job.done.clone()));
            } else if job.sampling.streaming {
                partials.push(PartialReply {
                    request_id: job.id,
                    new_tokens: vec![new],
                    ..PartialReply::default()
                });
            }
        }
        self.record.num_requests_finished += finals.len() as u64;
        self.jobs.retain(|job| !finals.iter().any(|reply| reply.request_id == job.id));
        self.link.send_partials(partials).expect("sent");
        self.link.send_finals(finals).expect("sent");
    }
}

/// A fleet of simulated ranks and its coordinator.
pub(super) struct Fleet {
    pub(super) coordinator: CoordinatorHandle,
    pub(super) clock: Clock,
    ranks: Vec<JoinHandle<()>>,
    over: Arc<AtomicBool>,
}

/// No test may take longer.
pub(super) const DEADLINE_S: f64 = 20.0;

impl Fleet {
    /// One rank per fault.
    pub(super) fn start(faults: &[Fault]) -> Fleet {
        let clock = Clock::start();
        let over = Arc::new(AtomicBool::new(false));
        let hangs = faults.iter().any(|fault| matches!(fault, Fault::Hang(_)));
        let settings = Settings {
            // On a busy machine a healthy thread may not run for a second; only where silence is the matter the
            // test cannot wait for longer than that.
            heartbeat_limit_s: if hangs { 2.0 } else { DEADLINE_S },
            max_outstanding_per_rank: 64,
            max_requests: 10_000,
            ..super::settings(faults.len() as u32)
        };
        let options = CoordinatorOptions { settings, wire: WireLimits::default(), clock };
        let coordinator = spawn(options).expect("a coordinator");
        let start = |(rank, &fault): (usize, &Fault)| {
            let endpoint = coordinator.endpoint().to_owned();
            let over = over.clone();
            std::thread::spawn(move || {
                let rank = rank as u32;
                let mut link = RankLink::connect(&endpoint, rank).expect("a link");
                link.register(super::ready()).expect("sent");
                let record = RankRecord { rank, ..RankRecord::default() };
                FakeRank { link, jobs: Vec::new(), record, paused: false, over }.serve(fault);
            })
        };
        let ranks = faults.iter().enumerate().map(start).collect();
        coordinator.wait_ready(DEADLINE_S).expect("all ranks ready");
        Fleet { coordinator, clock, ranks, over }
    }

    pub(super) fn client(&self) -> Client {
        Client::connect(self.coordinator.endpoint(), self.clock, Duration::from_secs(5)).expect("a client")
    }

    /// The coordinator's numbers once `reached` says so, or at the deadline: they are published after each batch
    /// of messages, so that an answer may be here before it is counted.
    pub(super) fn stats_when(&self, reached: impl Fn(&CoordinatorStats) -> bool) -> CoordinatorStats {
        loop {
            let stats = self.coordinator.stats();
            if reached(&stats) || self.clock.now_s() > DEADLINE_S {
                return stats;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Orderly end; the records of the ranks.
    pub(super) fn stop(self, mut client: Client) -> BTreeMap<u32, RankRecord> {
        client.pause().expect("sent");
        client.stop().expect("sent");
        let reports = self.coordinator.wait_reports(DEADLINE_S);
        client.shutdown().expect("sent");
        self.end();
        reports
    }

    pub(super) fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.coordinator.join().expect("a clean end");
        self.ranks.into_iter().for_each(|rank| rank.join().expect("a rank"));
        assert!(self.clock.now_s() < DEADLINE_S, "took {} s", self.clock.now_s());
    }
}

pub(super) fn requests(n: usize, num_tokens_to_generate: usize) -> Vec<TimedRequest> {
    let sampling = SamplingPlan {
        temperature: 1.0,
        top_k: 1,
        top_p: 0.0,
        seed: 0,
        return_log_probs: false,
        skip_prompt_log_probs: false,
        top_n_logprobs: 0,
        stop_words: Vec::new(),
        termination: TerminationPlan::Never,
    };
    let request = |i| TimedRequest {
        arrival_s: 0.0,
        prompt: None,
        prompt_tokens: vec![i as u32, 7],
        num_tokens_to_generate,
        sampling: sampling.clone(),
    };
    (0..n).map(request).collect()
}

/// All answered, truthfully, by a rank that is named; returns how many took more than one dispatch.
pub(super) fn check_all(records: &[RequestRecord], requests: &[TimedRequest]) -> usize {
    assert_eq!(records.len(), requests.len());
    for (record, request) in records.iter().zip(requests) {
        assert_eq!(record.outcome, RequestOutcome::Completed, "request {}", record.id);
        let truth: Vec<u32> =
            (0..request.num_tokens_to_generate).map(|i| token(&request.prompt_tokens, i)).collect();
        assert_eq!(record.generated_tokens, truth);
        let arrived: u32 = record.arrivals.iter().map(|arrival| arrival.num_tokens).sum();
        assert_eq!(arrived as usize, truth.len(), "every token arrived once");
        assert!(record.rank.is_some() && record.num_dispatches >= 1);
        assert!(
            record.sent_s <= record.arrivals[0].at_s && record.arrivals[0].at_s <= record.finished_s.unwrap()
        );
    }
    records.iter().filter(|record| record.num_dispatches > 1).count()
}

#[test]
fn requests_are_streamed_from_all_ranks_and_everybody_ends_in_order() {
    let fleet = Fleet::start(&[Fault::None; 3]);
    let mut client = fleet.client();
    let requests = requests(30, 5);
    let mut last = crate::client::Progress::default();
    let records =
        client.run(&requests, Arrival::AllAtOnce, DEADLINE_S, &mut |progress| last = progress.clone());
    assert_eq!(check_all(&records, &requests), 0);
    assert_eq!((last.num_sent, last.num_finished, last.num_tokens), (30, 30, 150));
    assert_eq!(last.finished_by_rank.values().sum::<u64>(), 30);
    assert_eq!(last.finished_by_rank.len(), 3, "every rank served");
    let per_step = client.run(&requests, Arrival::PerStep { num_requests: 4 }, DEADLINE_S, &mut |_| {});
    assert_eq!(check_all(&per_step, &requests), 0, "a client can run twice");
    assert!(client.incidents().is_empty());
    assert!(fleet.coordinator.incidents().is_empty());
    let reports = fleet.stop(client);
    assert_eq!(reports.values().map(|report| report.num_requests_finished).sum::<u64>(), 60);
    assert_eq!(reports.len(), 3);
}

#[test]
fn requests_are_sent_when_the_timetable_says() {
    let fleet = Fleet::start(&[Fault::None]);
    let mut client = fleet.client();
    let mut requests = requests(4, 2);
    (0..4).for_each(|i| requests[i].arrival_s = i as f64 * 0.1);
    let arrival = Arrival::Poisson { requests_per_second: 10.0, seed: 0 };
    let records = client.run(&requests, arrival, DEADLINE_S, &mut |_| {});
    check_all(&records, &requests);
    for record in &records {
        assert!(record.sent_s >= record.scheduled_s);
    }
    let spread = records[3].scheduled_s - records[0].scheduled_s;
    assert!((spread - 0.3).abs() < 1e-9 && records[3].sent_s - records[0].sent_s > 0.2);
    fleet.stop(client);
}

#[test]
fn two_thousand_requests_over_eight_ranks() {
    let fleet = Fleet::start(&[Fault::None; 8]);
    let mut client = fleet.client();
    let requests = requests(2000, 8);
    let started_s = fleet.clock.now_s();
    let records = client.run(&requests, Arrival::AllAtOnce, DEADLINE_S, &mut |_| {});
    let took_s = fleet.clock.now_s() - started_s;
    assert_eq!(check_all(&records, &requests), 0);
    let stats = fleet.stats_when(|stats| stats.num_unfinished == 0);
    assert_eq!((stats.num_unfinished, stats.num_queued), (0, 0), "nothing is kept of what is answered");
    assert!(took_s < 10.0, "took {took_s} s");
    assert_eq!(fleet.stop(client).len(), 8);
}

#[test]
fn shutdown_is_heard_by_ranks_that_talk_all_the_time() {
    for _ in 0..5 {
        let fleet = Fleet::start(&[Fault::None; 4]);
        fleet.client().shutdown().expect("sent");
        while !fleet.ranks.iter().all(JoinHandle::is_finished) {
            assert!(fleet.clock.now_s() < DEADLINE_S / 4.0, "a rank has not heard STOP");
            std::thread::sleep(Duration::from_millis(5));
        }
        fleet.end();
    }
}
