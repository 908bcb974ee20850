//! Eight ranks behind coordinator and client, beside eight engines that nobody talks to: the same requests at the same
//! replicas, in turns. What the second needs is what the kernels of eight independent ranks need.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use goldlap::engine::{Backend, Engine, EngineRequest, OutputLength, Sampling, StepSummary};
use goldlap::harness::{Fate, PreparedModel, Roots, Setting, num_cores};
use goldlap::metrics::{Clock, Metrics, RunRecord, median};
use goldlap::plan::{AbsentModel, CasePlan, EnginePlan, Platform, Platforms};
use goldlap_kernels::model::store::Store;
use serde::{Deserialize, Serialize};

use crate::figures::{row, spread};

const CASE: &str = "gpt::gpt_dynamic_inference_tp1_pp1_dp8_583m_throughputtest_zmq";
/// The word by which the parent starts all engines at once, and the one by which an engine says that it could start.
const GO: &str = "go";
const READY: &str = "ready";
const ROUNDS: usize = 3;

/// What one engine is told.
#[derive(Serialize, Deserialize)]
struct Share {
    packed: PathBuf,
    engine: EnginePlan,
    /// Prompt tokens and generated tokens of each request.
    requests: Vec<(usize, usize)>,
}

/// Who asks for this argument is such an engine.
pub(crate) const ALONE: &str = "rank-alone";

pub(crate) fn run() {
    let plan = plan();
    let store = Store::open().expect("a cache folder");
    let model = PreparedModel::prepare(&plan.model, &store, num_cores()).expect("weights");
    let (mut together, mut alone, mut ratios, mut overheads) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let record = run_case();
        let metrics = Metrics::of(&record, None);
        let wall_s = metrics.wall_s.value().expect("answers");
        let alone_s = run_alone(&shares(&plan, model.path(), &record));
        together.push(metrics.num_generated_tokens as f64 / wall_s);
        alone.push(metrics.num_generated_tokens as f64 / alone_s);
        ratios.push(alone_s / wall_s);
        overheads.push(100.0 * metrics.overhead.value().expect("an overhead"));
    }
    row("ranks: tokens/s of eight ranks, 583M", &spread(&mut together, 1));
    row("ranks: tokens/s of eight engines without coordinator and client", &spread(&mut alone, 1));
    row("ranks: ratio of the two", &spread(&mut ratios, 3));
    row("ranks: % of processor time outside the model", &spread(&mut overheads, 2));
    assert!(median(&ratios).is_some_and(f64::is_finite));
}

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn plan() -> CasePlan {
    let setting = Setting {
        roots: Roots::new(workspace(), |_| None),
        platforms: Platforms::Found { gpu: None },
        cache_root: Store::open().expect("a cache folder").root().to_owned(),
        absent: AbsentModel::Skips,
    };
    let listed = setting.list(|name| name == CASE).expect("cases");
    match listed.into_iter().next().map(|case| case.fate) {
        Some(Fate::Run(plan)) => *plan,
        other => panic!("{CASE} does not run here: {other:?}"),
    }
}

/// The case as a user runs it; its record.
fn run_case() -> RunRecord {
    let output = tempfile::tempdir().expect("a folder");
    let run = Command::new(env!("CARGO_BIN_EXE_goldlap"))
        .args(["run", CASE, "--platform", "cpu"])
        .current_dir(workspace())
        .env("GOLDLAP_OUTPUT", output.path())
        .output()
        .expect("the program runs");
    let runs = fs::read_dir(output.path().join("runs")).expect("runs");
    let record = runs.flatten().map(|run| run.path().join("record.json")).find(|path| path.is_file());
    let said = String::from_utf8_lossy(&run.stdout);
    let record = record.unwrap_or_else(|| panic!("no record: {said}"));
    serde_json::from_str(&fs::read_to_string(record).expect("a record")).expect("a record")
}

/// What each rank served.
fn shares(plan: &CasePlan, packed: &Path, record: &RunRecord) -> Vec<Share> {
    let ranks = record.data_parallel;
    let mut engine = plan.engine.clone();
    engine.num_threads.get_or_insert((num_cores() / ranks as usize).max(1));
    let served = |rank: u32| {
        let own = record.requests.iter().filter(move |request| request.rank == Some(rank));
        own.map(|request| (request.num_prompt_tokens, request.num_tokens_to_generate)).collect()
    };
    (0..ranks)
        .map(|rank| Share { packed: packed.to_owned(), engine: engine.clone(), requests: served(rank) })
        .collect()
}

/// Seconds from the word to the end of the last engine.
fn run_alone(shares: &[Share]) -> f64 {
    let mut engines: Vec<(Child, ChildStdin, BufReader<ChildStdout>)> = shares.iter().map(spawn).collect();
    let mut line = String::new();
    for (_, _, from) in &mut engines {
        line.clear();
        from.read_line(&mut line).expect("a word");
        assert_eq!(line.trim(), READY, "an engine did not come up");
    }
    let clock = Clock::start();
    for (_, to, _) in &mut engines {
        writeln!(to, "{GO}").expect("told");
    }
    for (_, _, from) in &mut engines {
        from.read_to_string(&mut line).expect("the end");
    }
    let seconds = clock.now_s();
    engines.into_iter().for_each(|(mut engine, ..)| assert!(engine.wait().expect("ended").success()));
    seconds
}

fn spawn(share: &Share) -> (Child, ChildStdin, BufReader<ChildStdout>) {
    let mut engine = Command::new(std::env::current_exe().expect("this program"))
        .arg(ALONE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("an engine");
    let (mut to, from) = (engine.stdin.take().expect("a pipe"), engine.stdout.take().expect("a pipe"));
    writeln!(to, "{}", serde_json::to_string(share).expect("JSON")).expect("told");
    (engine, to, BufReader::new(from))
}

/// An engine that nobody talks to: warms up, waits for the word, serves its requests, ends.
pub(crate) fn alone() {
    let mut lines = std::io::stdin().lines();
    let mut told = || lines.next().expect("a line").expect("text");
    let share: Share = serde_json::from_str(&told()).expect("a share");
    let Backend { model, limits, .. } =
        Backend::open(&Platform::Cpu, &share.packed, &share.engine, 0).expect("a model");
    let mut engine = Engine::new(model, limits, 1, Clock::start());
    serve(&mut engine, &[(64, 4)]);
    println!("{READY}");
    assert_eq!(told(), GO);
    serve(&mut engine, &share.requests);
}

fn serve(engine: &mut Engine, requests: &[(usize, usize)]) {
    for (id, &(num_prompt_tokens, num_tokens)) in requests.iter().enumerate() {
        let request = EngineRequest {
            id: id as u64,
            prompt: (0..num_prompt_tokens).map(|i| (i * 977 + id * 31) as u32 % 50_000).collect(),
            output_length: OutputLength::Generate(num_tokens as i64),
            sampling: Sampling { return_log_probs: true, ..Sampling::GREEDY },
            ends: Vec::new(),
        };
        engine.submit(request).expect("taken");
    }
    let mut summary = StepSummary::default();
    while engine.has_work() {
        engine.step_into(&mut summary);
        assert!(summary.failed.is_empty(), "{:?}", summary.failed);
    }
}
