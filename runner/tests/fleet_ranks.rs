//! Real rank processes behind a real coordinator, on a tiny model: the same bits as one engine alone, whatever
//! happens to a rank, and no process left.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use goldlap::client::Client;
use goldlap::coordinator::state::Settings;
use goldlap::coordinator::wire::WireLimits;
use goldlap::coordinator::{CoordinatorHandle, CoordinatorOptions, spawn};
use goldlap::engine::{Backend, EngineRequest, OutputLength, Sampling, generate, rank_main};
use goldlap::metrics::{Clock, Incident, RankRecord, RequestOutcome, RequestRecord};
use goldlap::plan::{Arrival, EngineFeatures, EnginePlan, Platform, SamplingPlan, TerminationPlan};
use goldlap::topology::{
    Fault, Fleet, FleetEnd, ROLE_RANK, ROLE_VARIABLE, RankSpec, was_killed_from_outside,
};
use goldlap::workload::TimedRequest;
use goldlap_kernels::cuda::devices;
use goldlap_kernels::model::config::{Activation, GptConfig, Normalization, PositionEmbedding};
use goldlap_kernels::model::packed::pack;
use goldlap_kernels::model::random::RandomWeights;
use libtest_mimic::{Arguments, Failed, Trial};
use tempfile::TempDir;

const SEED: u64 = 11;
const PATIENCE_S: f64 = 60.0;
/// Role of a process that starts a rank and waits to be killed; its argument is the packed model.
const ROLE_PARENT: &str = "test-parent";

fn main() -> ExitCode {
    match std::env::var(ROLE_VARIABLE).as_deref() {
        Ok(ROLE_RANK) => rank_main(),
        Ok(ROLE_PARENT) => parent_main(),
        Ok(_) | Err(_) => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
    }
}

fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<(), Failed>| Trial::test(name, test);
    vec![
        trial("three_ranks_are_one_engine", three_ranks_are_one_engine),
        trial("a_rank_that_dies_loses_nothing", a_rank_that_dies_loses_nothing),
        trial("a_rank_that_hangs_loses_nothing", a_rank_that_hangs_loses_nothing),
        trial("a_rank_does_not_outlive_its_parent", a_rank_does_not_outlive_its_parent),
        trial("a_rank_that_cannot_start_says_why_in_its_log", a_rank_that_cannot_start_says_why_in_its_log),
    ]
}

fn config() -> GptConfig {
    GptConfig {
        num_layers: 2,
        hidden_size: 64,
        num_attention_heads: 4,
        num_query_groups: 2,
        kv_channels: 16,
        ffn_hidden_size: 96,
        vocab_size: 512,
        max_position_embeddings: 512,
        normalization: Normalization::RmsNorm,
        norm_epsilon: 1e-5,
        position_embedding: PositionEmbedding::Rope { base: 10_000.0, percent: 1.0, scaling: None },
        activation: Activation::SwiGlu,
        qkv_bias: false,
        attention_output_bias: false,
        mlp_bias: false,
        qk_norm: false,
        tied_embeddings: true,
    }
}

fn engine_plan() -> EnginePlan {
    EnginePlan {
        kv_buffer_bytes: 4 << 20,
        block_size: 16,
        max_requests: Some(4),
        max_tokens: 256,
        max_sequence_length: 256,
        num_threads: Some(1),
        features: EngineFeatures::OFF,
    }
}

/// A folder with the packed model.
struct Stage {
    folder: TempDir,
    model: PathBuf,
}

impl Stage {
    fn set() -> Result<Self, Failed> {
        let folder = TempDir::new()?;
        let model = folder.path().join("tiny");
        pack(&RandomWeights::new(config(), 3, 0.15)?, &model, 1)?;
        Ok(Self { folder, model })
    }

    fn spec(&self, rank: u32, world_size: u32, coordinator: &str) -> RankSpec {
        RankSpec {
            rank,
            world_size,
            coordinator: coordinator.to_owned(),
            packed_model: self.model.clone(),
            platform: Platform::Cpu,
            device: rank as usize,
            engine: engine_plan(),
            seed: SEED,
            eods: Vec::new(),
            heartbeat_s: 0.1,
            fault: None,
        }
    }
}

fn requests() -> Vec<TimedRequest> {
    let request = |id: u32| TimedRequest {
        arrival_s: 0.0,
        prompt: None,
        prompt_tokens: (0..3 + id * 5 % 40).map(|position| (id * 37 + position * position) % 512).collect(),
        num_tokens_to_generate: 20 + id as usize,
        sampling: SamplingPlan {
            temperature: 0.9,
            top_k: id % 2,
            top_p: 0.0,
            seed: SEED,
            return_log_probs: true,
            skip_prompt_log_probs: false,
            top_n_logprobs: 0,
            stop_words: Vec::new(),
            termination: TerminationPlan::Never,
        },
    };
    (0..18).map(request).collect()
}

/// Tokens, then logprobs of prompt and output as bits.
type Answer = (Vec<u32>, Vec<u32>, Vec<u32>);

fn bits(logprobs: Option<&Vec<f32>>) -> Vec<u32> {
    logprobs.into_iter().flatten().map(|logprob| logprob.to_bits()).collect()
}

/// What one engine in this process says.
fn alone(stage: &Stage) -> Result<Vec<Answer>, Failed> {
    let engine_request = |(id, request): (usize, TimedRequest)| EngineRequest {
        id: id as u64,
        prompt: request.prompt_tokens,
        output_length: OutputLength::Generate(request.num_tokens_to_generate as i64),
        sampling: Sampling {
            temperature: request.sampling.temperature,
            top_k: request.sampling.top_k,
            top_p: request.sampling.top_p,
            return_log_probs: true,
            skip_prompt_log_probs: false,
            top_n_logprobs: 0,
            termination_id: None,
        },
        ends: Vec::new(),
    };
    let backend = Backend::open(&Platform::Cpu, &stage.model, &engine_plan(), 0)?;
    let requests = requests().into_iter().enumerate().map(engine_request).collect();
    let run = generate(backend.model, backend.limits, SEED, Clock::start(), requests, |_| {});
    let answer = |result: Result<goldlap::engine::FinishedRequest, String>| {
        let finished = result?;
        let (prompt, generated) = (finished.prompt_logprobs.as_ref(), finished.generated_logprobs.as_ref());
        Ok((finished.generated_tokens, bits(prompt), bits(generated)))
    };
    run.results.into_iter().map(answer).collect()
}

struct Outcome {
    records: Vec<RequestRecord>,
    ranks: Vec<RankRecord>,
    incidents: Vec<Incident>,
    end: FleetEnd,
    pids: Vec<u32>,
}

fn coordinator(world_size: u32, clock: Clock) -> Result<Arc<CoordinatorHandle>, Failed> {
    let settings = Settings::new(world_size, 2.0, Arc::new(|tokens| format!("{tokens:?}")));
    Ok(Arc::new(spawn(CoordinatorOptions { settings, wire: WireLimits::default(), clock })?))
}

/// Three ranks serve all requests; `fault` is that of rank 1.
fn run_fleet(stage: &Stage, fault: Option<Fault>) -> Result<Outcome, Failed> {
    let clock = Clock::start();
    let coordinator = coordinator(3, clock)?;
    let mut specs: Vec<RankSpec> = (0..3).map(|rank| stage.spec(rank, 3, coordinator.endpoint())).collect();
    specs[1].fault = fault;
    let watched = Arc::clone(&coordinator);
    let on_exit = Arc::new(move |rank, how: String| watched.rank_exited(rank, how));
    let fleet = Fleet::launch(&std::env::current_exe()?, &specs, stage.folder.path(), on_exit)?;
    coordinator.wait_ready(clock.now_s() + PATIENCE_S)?;
    let mut client = Client::connect(coordinator.endpoint(), clock, Duration::from_secs(5))?;
    let records = client.run(&requests(), Arrival::AllAtOnce, clock.now_s() + PATIENCE_S, &mut |_| {});
    client.pause()?;
    client.stop()?;
    fleet.expect_end();
    let ranks = coordinator.wait_reports(clock.now_s() + 10.0).into_values().collect();
    let (pids, incidents) = (fleet.pids(), coordinator.incidents());
    let lost: Vec<u32> = coordinator.lost_ranks().into_keys().collect();
    Ok(Outcome { records, ranks, incidents, end: fleet.end(&lost), pids })
}

fn assert_served(outcome: &Outcome, expected: &[Answer]) {
    for (record, expected) in outcome.records.iter().zip(expected) {
        assert_eq!(record.outcome, RequestOutcome::Completed, "request {}", record.id);
        let (prompt, generated) = (record.prompt_logprobs.as_ref(), record.generated_logprobs.as_ref());
        let answer = (record.generated_tokens.clone(), bits(prompt), bits(generated));
        assert_eq!(&answer, expected, "request {}", record.id);
        let streamed: usize = record.arrivals.iter().map(|arrival| arrival.num_tokens as usize).sum();
        assert_eq!(streamed, record.generated_tokens.len(), "tokens are streamed once");
    }
    assert_eq!(outcome.records.len(), expected.len());
    for pid in &outcome.pids {
        assert!(!is_alive(*pid), "process {pid} is left");
    }
}

fn is_alive(pid: u32) -> bool {
    // A zombie has ended; whoever is its parent by now will reap it.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains("zombie"))
}

fn three_ranks_are_one_engine() -> Result<(), Failed> {
    let stage = Stage::set()?;
    let outcome = run_fleet(&stage, None)?;
    assert_served(&outcome, &alone(&stage)?);
    assert!(outcome.incidents.is_empty(), "{:?}", outcome.incidents);
    assert!(outcome.end.premature.is_empty() && outcome.end.unresponsive.is_empty(), "{:?}", outcome.end);
    let pids: BTreeSet<u32> = outcome.ranks.iter().map(|rank| rank.pid).collect();
    assert_eq!(pids, outcome.pids.iter().copied().collect(), "each rank reports, as a process of its own");
    assert!(outcome.ranks.iter().all(|rank| rank.num_requests_finished > 0), "every rank served requests");
    let num_finished: u64 = outcome.ranks.iter().map(|rank| rank.num_requests_finished).sum();
    assert_eq!(num_finished, requests().len() as u64);
    for rank in &outcome.ranks {
        assert_eq!(rank.step_costs.len() as u64, rank.num_steps);
        assert!(rank.peak_rss_bytes > 1 << 20 && rank.step_seconds > 0.0 && rank.device.starts_with("cpu "));
    }
    Ok(())
}

fn a_rank_that_dies_loses_nothing() -> Result<(), Failed> {
    let stage = Stage::set()?;
    let outcome = run_fleet(&stage, Some(Fault::DieAfterSteps(5)))?;
    assert_served(&outcome, &alone(&stage)?);
    assert!(outcome.records.iter().any(|record| record.num_dispatches == 2), "nothing was dispatched again");
    assert!(
        outcome.incidents.iter().any(|incident| incident.what.contains("rank 1")),
        "{:?}",
        outcome.incidents
    );
    assert_eq!(outcome.ranks.iter().map(|rank| rank.rank).collect::<Vec<_>>(), [0, 2]);
    assert!(matches!(outcome.end.premature[..], [(1, status)] if was_killed_from_outside(status)));
    Ok(())
}

fn a_rank_that_hangs_loses_nothing() -> Result<(), Failed> {
    let stage = Stage::set()?;
    let outcome = run_fleet(&stage, Some(Fault::HangAfterSteps(5)))?;
    assert_served(&outcome, &alone(&stage)?);
    assert!(
        outcome.incidents.iter().any(|incident| incident.what.contains("rank 1")),
        "{:?}",
        outcome.incidents
    );
    assert_eq!(outcome.end.unresponsive, [1]);
    Ok(())
}

/// Starts a rank, tells its pid on standard output, and waits to be killed.
fn parent_main() -> ExitCode {
    let model = std::env::args_os().nth(1).map(PathBuf::from).unwrap_or_default();
    match live_with_a_rank(&model) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn live_with_a_rank(model: &Path) -> Result<(), Failed> {
    let clock = Clock::start();
    let coordinator = coordinator(1, clock)?;
    let logs = TempDir::new_in(model.parent().unwrap_or(Path::new(".")))?;
    let stage = Stage { folder: logs, model: model.to_owned() };
    let spec = stage.spec(0, 1, coordinator.endpoint());
    let fleet = Fleet::launch(&std::env::current_exe()?, &[spec], stage.folder.path(), Arc::new(|_, _| {}))?;
    coordinator.wait_ready(clock.now_s() + PATIENCE_S)?;
    println!("{}", fleet.pids()[0]);
    std::io::stdout().flush()?;
    std::thread::sleep(Duration::from_secs(600));
    Ok(())
}

fn a_rank_does_not_outlive_its_parent() -> Result<(), Failed> {
    let stage = Stage::set()?;
    let mut parent = Command::new(std::env::current_exe()?)
        .arg(&stage.model)
        .env(ROLE_VARIABLE, ROLE_PARENT)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(parent.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
    let pid: u32 = line.trim().parse()?;
    assert!(is_alive(pid), "the rank is registered");
    parent.kill()?;
    parent.wait()?;
    let clock = Clock::start();
    while is_alive(pid) && clock.now_s() < 10.0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!is_alive(pid), "the rank outlived its parent by 10 s");
    Ok(())
}

fn a_rank_that_cannot_start_says_why_in_its_log() -> Result<(), Failed> {
    let stage = Stage::set()?;
    let spec = stage.spec(0, 1, "tcp://127.0.0.1:1");
    let absent = RankSpec { packed_model: "/no/such/model".into(), ..spec.clone() };
    assert_not_ready(&stage, absent, "/no/such/model")?;
    let elsewhere = RankSpec { platform: Platform::Vcuda, device: 3, ..spec.clone() };
    let missing =
        "this rank needs CUDA device 3, one for each replica, and there are 1 (Goldlap Virtual GPU (sm_80))";
    assert_not_ready(&stage, elsewhere, missing)?;
    let unknown = RankSpec { platform: Platform::Gpu("dgx_h100".to_owned()), ..spec };
    // A machine with such devices has its own reasons: this test is about those without.
    if devices().is_err() {
        assert_not_ready(&stage, unknown, "platform dgx_h100: no CUDA driver")?;
    }
    Ok(())
}

/// A fleet of this one rank does not come up, and its log says `why`.
fn assert_not_ready(stage: &Stage, spec: RankSpec, why: &str) -> Result<(), Failed> {
    let clock = Clock::start();
    let coordinator = coordinator(1, clock)?;
    let spec = RankSpec { coordinator: coordinator.endpoint().to_owned(), ..spec };
    let watched = Arc::clone(&coordinator);
    let on_exit = Arc::new(move |rank, how: String| watched.rank_exited(rank, how));
    let fleet = Fleet::launch(&std::env::current_exe()?, &[spec], stage.folder.path(), on_exit)?;
    let error = coordinator.wait_ready(clock.now_s() + PATIENCE_S).err().ok_or("the rank came up")?;
    assert!(error.to_string().starts_with("rank 0 was lost before all ranks were ready"), "{error}");
    let log = fleet.log_tail(0, 10);
    assert!(log.contains(why), "{log}");
    Ok(())
}
