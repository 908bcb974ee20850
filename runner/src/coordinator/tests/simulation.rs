//! The state machine against ranks and clients that do anything at any time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::coordinator::Routing;
use crate::engine::CacheChanges;
use crate::engine::block_hash::block_hashes;
use crate::plan::RoutingPolicy;

const RANKS: u32 = 3;
const CLIENTS: u32 = 2;

/// One thing that happens. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Submit {
        client: u32,
    },
    Abort {
        client: u32,
        nth: usize,
    },
    /// A rank produces up to `n` tokens of one of its requests, and answers it if that was all.
    Work {
        rank: u32,
        nth: usize,
        n: usize,
    },
    /// A rank sends its last message again.
    Repeat {
        rank: u32,
    },
    /// A rank that was lost goes on as if nothing had been.
    Ghost {
        nth: usize,
    },
    Exit {
        rank: u32,
    },
    Restart {
        rank: u32,
    },
    Wait {
        seconds: f64,
    },
    Heartbeat {
        rank: u32,
    },
    /// A rank says that it has the blocks of one prompt, and of another one no more.
    Cached {
        rank: u32,
        learned: u64,
        forgotten: u64,
    },
    Garbage {
        rank: u32,
    },
    Leave {
        client: u32,
    },
    Pause,
    Unpause,
}

fn step() -> impl Strategy<Value = Step> {
    let (rank, client) = (0..RANKS, 0..CLIENTS);
    prop_oneof![
        6 => client.clone().prop_map(|client| Step::Submit { client }),
        1 => (client.clone(), 0..20_usize).prop_map(|(client, nth)| Step::Abort { client, nth }),
        12 => (rank.clone(), 0..8_usize, 1..4_usize).prop_map(|(rank, nth, n)| Step::Work { rank, nth, n }),
        1 => rank.clone().prop_map(|rank| Step::Repeat { rank }),
        2 => (0..20_usize).prop_map(|nth| Step::Ghost { nth }),
        1 => rank.clone().prop_map(|rank| Step::Exit { rank }),
        1 => rank.clone().prop_map(|rank| Step::Restart { rank }),
        1 => (0.0..3.0).prop_map(|seconds| Step::Wait { seconds }),
        4 => rank.clone().prop_map(|rank| Step::Heartbeat { rank }),
        4 => (rank.clone(), 0..20_u64, 0..20_u64)
            .prop_map(|(rank, learned, forgotten)| Step::Cached { rank, learned, forgotten }),
        1 => rank.prop_map(|rank| Step::Garbage { rank }),
        1 => client.prop_map(|client| Step::Leave { client }),
        1 => Just(Step::Pause),
        1 => Just(Step::Unpause),
    ]
}

/// A request's prompt; many have the same start.
fn prompt(client_id: u64) -> Vec<u32> {
    let id = client_id as u32;
    vec![id % 3, id % 5, id % 2]
}

/// All tokens of a request: a function of its prompt alone, as the numerics promise.
fn truth(prompt: &Prompt) -> Vec<u32> {
    let Prompt::Tokens(prompt) = prompt else { panic!("only token prompts here") };
    (0..2 + prompt[1]).map(|i| prompt[0] * 100 + prompt[1] * 10 + i).collect()
}

/// A request at a simulated rank.
#[derive(Clone)]
struct Job {
    id: u64,
    all: Vec<u32>,
    done: usize,
}

/// A submitted request as its client sees it.
struct Asked {
    all: Vec<u32>,
    streamed: Vec<u32>,
    finals: usize,
}

#[derive(Default)]
struct World {
    jobs: BTreeMap<u32, Vec<Job>>,
    ghosts: Vec<(u32, Job)>,
    last: BTreeMap<u32, RankMessage>,
    /// By client and client id.
    asked: BTreeMap<(String, u64), Asked>,
    aborted: BTreeSet<(String, u64)>,
    gone: BTreeSet<String>,
    next_client_id: u64,
}

impl World {
    fn absorb(&mut self, commands: Vec<Command>) {
        for (rank, command) in to_ranks(&commands) {
            let jobs = self.jobs.entry(rank).or_default();
            match command {
                RankCommand::Submit(submit) => {
                    jobs.push(Job { id: submit.id, all: truth(&submit.prompt), done: 0 });
                }
                RankCommand::Abort { request_id } => {
                    jobs.iter_mut()
                        .filter(|job| job.id == request_id)
                        .for_each(|job| job.all.truncate(job.done));
                }
                RankCommand::Control(_) | RankCommand::Agreed { .. } | RankCommand::Refusal { .. } => {}
            }
        }
        for (client, reply) in replies(&commands) {
            match reply {
                ClientReply::Partial { client_id, partial } => {
                    let Asked { all, streamed, finals } =
                        self.asked.get_mut(&(client, client_id)).expect("asked");
                    assert_eq!(*finals, 0, "nothing is streamed after the final answer");
                    streamed.extend(partial.new_tokens);
                    assert!(all.starts_with(streamed), "{streamed:?} is not the start of {all:?}");
                }
                ClientReply::Final { client_id, reply } => self.on_final((client, client_id), &reply),
                ClientReply::ConnectAck
                | ClientReply::ControlAck { .. }
                | ClientReply::Agreed { .. }
                | ClientReply::Refusal { .. } => {}
            }
        }
        for command in commands {
            if let Command::RankLost { rank, .. } = command {
                let lost = self.jobs.remove(&rank).unwrap_or_default();
                self.ghosts.extend(lost.into_iter().map(|job| (rank, job)));
            }
        }
    }

    fn on_final(&mut self, key: (String, u64), reply: &FinalReply) {
        let Asked { all, streamed, finals } = self.asked.get_mut(&key).expect("asked");
        *finals += 1;
        assert_eq!(*finals, 1, "one final answer");
        if reply.failure().is_some() {
            return;
        }
        if self.aborted.contains(&key) {
            assert!(all.starts_with(&reply.generated_tokens));
        } else {
            assert_eq!(&reply.generated_tokens, all);
            assert!(all.starts_with(streamed));
        }
    }

    /// What a rank sends after `n` more tokens of a job.
    fn work(&mut self, rank: u32, nth: usize, n: usize) -> Option<RankMessage> {
        let jobs = self.jobs.get_mut(&rank).filter(|jobs| !jobs.is_empty())?;
        let nth = nth % jobs.len();
        let job = &mut jobs[nth];
        let to = (job.done + n).min(job.all.len());
        let new = &job.all[job.done..to];
        let message = if to == job.all.len() { done(job.id, &job.all) } else { tokens(job.id, new) };
        job.done = to;
        if to == job.all.len() {
            jobs.remove(nth);
        }
        self.last.insert(rank, message.clone());
        Some(message)
    }
}

struct Simulation {
    driver: Driver,
    world: World,
}

impl Simulation {
    fn start(policy: RoutingPolicy) -> Simulation {
        let routing = Routing { policy, alpha: 0.7, block_size: 1, is_noted: true };
        let settings = Settings { routing, ..settings(RANKS) };
        let mut simulation = Simulation { driver: Driver::new(settings), world: World::default() };
        for rank in 0..RANKS {
            simulation.restart(rank);
        }
        for client in 0..CLIENTS {
            simulation.client(client, ClientMessage::Connect);
        }
        simulation
    }

    fn client(&mut self, client: u32, message: ClientMessage) {
        let commands = self.driver.client(&format!("client {client}"), message);
        self.world.absorb(commands);
    }

    fn rank(&mut self, rank: u32, message: RankMessage) {
        let commands = self.driver.rank(rank, message);
        self.world.absorb(commands);
    }

    fn handle(&mut self, event: Event) {
        let commands = self.driver.handle(event);
        self.world.absorb(commands);
    }

    fn restart(&mut self, rank: u32) {
        if !self.driver.state.stats().ranks.contains_key(&rank) {
            // A new process: nothing of the old one comes any more.
            self.world.ghosts.retain(|(ghost, _)| *ghost != rank);
            self.world.last.remove(&rank);
            self.rank(rank, RankMessage::Register);
            self.rank(rank, RankMessage::Ready(ready()));
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Submit { client } => self.submit(client),
            Step::Abort { client, nth } => {
                let name = format!("client {client}");
                let own: Vec<u64> =
                    self.world.asked.keys().filter(|(c, _)| *c == name).map(|(_, id)| *id).collect();
                let Some(&client_id) = own.get(nth % own.len().max(1)) else { return };
                self.world.aborted.insert((name, client_id));
                self.client(client, ClientMessage::Abort { client_id });
            }
            Step::Work { rank, nth, n } => {
                let message = self.world.work(rank, nth, n);
                message.into_iter().for_each(|message| self.rank(rank, message));
            }
            Step::Repeat { rank } => {
                // Only answers: a repeated partial reply on an ordered connection is a contradiction.
                let last = self.world.last.get(&rank).cloned();
                last.filter(|m| matches!(m, RankMessage::Finals(_)))
                    .into_iter()
                    .for_each(|m| self.rank(rank, m));
            }
            Step::Ghost { nth } => {
                let len = self.world.ghosts.len().max(1);
                let Some((rank, job)) = self.world.ghosts.get(nth % len).cloned() else { return };
                self.rank(rank, tokens(job.id, &job.all[job.done..]));
                self.rank(rank, done(job.id, &job.all));
            }
            Step::Exit { rank } => self.handle(Event::RankExited { rank, why: "killed".into() }),
            Step::Restart { rank } => self.restart(rank),
            Step::Wait { seconds } => {
                self.driver.now_s += seconds;
                self.handle(Event::Tick);
            }
            Step::Heartbeat { rank } => self.rank(rank, RankMessage::Heartbeat(RankStats::default())),
            Step::Cached { rank, learned, forgotten } => {
                let names = |id| block_hashes(&prompt(id), 1).into_iter().collect();
                let changes = CacheChanges { cached: names(learned), forgotten: names(forgotten) };
                self.rank(rank, RankMessage::CachedBlocks(changes));
            }
            Step::Garbage { rank } => {
                let error = WireError::Frames { got: 3 }.into();
                self.handle(Event::Malformed { identity: format!("mp-coord-{rank}").into(), error });
            }
            Step::Leave { client } => {
                self.client(client, ClientMessage::Disconnect);
                self.world.gone.insert(format!("client {client}"));
            }
            Step::Pause => self.client(0, ClientMessage::Control(ControlSignal::Pause)),
            Step::Unpause => self.client(0, ClientMessage::Control(ControlSignal::Unpause)),
        }
    }

    fn submit(&mut self, client: u32) {
        let name = format!("client {client}");
        if self.world.gone.contains(&name) {
            return;
        }
        let client_id = self.world.next_client_id;
        self.world.next_client_id += 1;
        let ClientMessage::Submit(mut request) = submit(client_id) else { unreachable!("a submission") };
        request.prompt = Prompt::Tokens(prompt(client_id));
        self.world.asked.insert(
            (name, client_id),
            Asked { all: truth(&request.prompt), streamed: Vec::new(), finals: 0 },
        );
        self.client(client, ClientMessage::Submit(request));
    }

    /// Lets the ranks finish; if none is left, starts one.
    fn drain(&mut self) {
        for _ in 0..10_000 {
            if self.driver.state.stats().num_unfinished == 0 {
                return;
            }
            (0..RANKS).for_each(|rank| self.restart(rank));
            (0..RANKS).for_each(|rank| self.step(Step::Work { rank, nth: 0, n: 9 }));
        }
        panic!("requests are left that nobody works on");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn every_request_gets_one_answer_and_a_true_stream(
        policy in prop::sample::select(vec![
            RoutingPolicy::LoadBalanced, RoutingPolicy::FirstPrefixBlock, RoutingPolicy::LongestPrefix,
        ]),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut simulation = Simulation::start(policy);
        for step in steps {
            simulation.step(step);
        }
        simulation.drain();
        for ((client, client_id), Asked { finals, .. }) in &simulation.world.asked {
            let expected = if simulation.world.gone.contains(client) { 0..=1 } else { 1..=1 };
            prop_assert!(expected.contains(finals), "{client} got {finals} answers for {client_id}");
        }
    }
}
