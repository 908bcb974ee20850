//! One case from plan to verdict: the route through all rooms.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use goldlap_kernels::model::store::Store as Cache;

use super::commit::commit_of;
use super::foreign::{ForeignInputs, serve_elsewhere};
use super::machine::{between, limits_of, num_cores};
use super::prepared_model::PreparedModel;
use super::schedule::write_schedule;
use super::serve::{ServeInputs, Served, serve};
use crate::client::Progress;
use crate::golden::{Judgement, Metric, Policy, Run, Store, judge};
use crate::metrics::{Clock, Metrics, RequestOutcome, WallTime};
use crate::plan::{CasePlan, KnownFailure, OutputScript};
use crate::report::{
    CaseOutcome, CaseReport, CaseResult, DirectRun, MegatronLayout, RunId, RunProgress, megatron_output,
    run_folder, write_atomically, write_record,
};
use crate::topology::Fault;
use crate::workload::{self, Tokenizer, Workload};

/// What every case of a run shares.
pub struct CaseContext {
    /// Goldens, pending goldens and cases.
    pub goldens: Store,
    /// Records and rank logs go below this folder.
    pub output: PathBuf,
    /// The cache folder.
    pub cache: Cache,
    /// Any Goldlap executable; started again in the role of a rank.
    pub executable: PathBuf,
    /// What a mismatch does.
    pub policy: Policy,
    /// Planned failures of ranks: the project's own tests.
    pub faults: Vec<(u32, Fault)>,
    /// Throughput is measured, so cases never overlap.
    pub turn: Mutex<()>,
    /// A coordinator that somebody else started, instead of our own with our own ranks.
    pub endpoint: Option<String>,
}

/// What all repeats of a case share.
struct Prepared {
    tokenizer: Arc<Tokenizer>,
    workload: Workload,
    /// `None` where somebody else serves.
    model: Option<PreparedModel>,
}

/// A run that took place, and where its record is.
struct Recorded {
    served: Served,
    summary: Metrics,
    path: PathBuf,
}

/// Runs a case as often as it wants and judges it.
pub fn run_case(plan: &CasePlan, context: &CaseContext) -> CaseResult {
    // A panic in an earlier case says nothing about whose turn it is.
    let _turn = context.turn.lock().unwrap_or_else(PoisonError::into_inner);
    let clock = Clock::start();
    let runs = prepare(plan, context).and_then(|prepared| repeat(plan, context, &prepared));
    let mut result = match runs {
        Ok(runs) if plan.metrics.is_empty() => compared_nothing(plan, &runs),
        Ok(runs) => judged(plan, context, &runs),
        Err(why) => CaseResult::failed(&plan.name, format!("the case could not run: {why}")),
    };
    result.duration_s = clock.now_s();
    match &plan.known_failure {
        Some(known) => strictly(result, known),
        None => result,
    }
}

fn prepare(plan: &CasePlan, context: &CaseContext) -> Result<Prepared, String> {
    let tokenizer = Tokenizer::load(&plan.tokenizer).map_err(|error| error.to_string())?;
    let workload = workload::build(&plan.workload, &tokenizer, plan.engine.max_sequence_length)
        .map_err(|error| error.to_string())?;
    let workload = match &plan.performance {
        Some(performance) => workload.in_iterations(performance, plan.topology.data_parallel),
        None => workload,
    };
    let model = match context.endpoint {
        Some(_) => None,
        None => Some(
            PreparedModel::prepare(&plan.model, &context.cache, num_cores())
                .map_err(|error| error.to_string())?,
        ),
    };
    Ok(Prepared { tokenizer: Arc::new(tokenizer), workload, model })
}

fn repeat(plan: &CasePlan, context: &CaseContext, prepared: &Prepared) -> Result<Vec<Recorded>, String> {
    let mut runs = Vec::new();
    for repeat in 0..plan.num_repeats {
        runs.push(run_once(plan, context, prepared, repeat)?);
        write_output(plan, &runs)?;
    }
    Ok(runs)
}

fn run_once(
    plan: &CasePlan,
    context: &CaseContext,
    prepared: &Prepared,
    repeat: u32,
) -> Result<Recorded, String> {
    let id = RunId::new(WallTime::now());
    let folder = run_folder(&context.output, &id);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let progress =
        RunProgress::new(&plan.name, plan.topology.data_parallel, prepared.workload.requests.len());
    let served = serve_once(plan, context, prepared, &folder, repeat, &mut |done| {
        progress.update(&plan.name, done);
    })?;
    drop(progress);
    let summary = Metrics::of(&served.record, None);
    let path =
        write_record(&context.output, &id, &served.record, &summary).map_err(|error| error.to_string())?;
    write_schedule(&plan.routing, plan.topology.data_parallel, &served.decisions)?;
    Ok(Recorded { served, summary, path })
}

fn serve_once(
    plan: &CasePlan,
    context: &CaseContext,
    prepared: &Prepared,
    folder: &Path,
    repeat: u32,
    on_progress: &mut dyn FnMut(&Progress),
) -> Result<Served, String> {
    let (workload, commit) = (&prepared.workload, commit_of(&plan.folder));
    match (&prepared.model, &context.endpoint) {
        (_, Some(endpoint)) => {
            serve_elsewhere(&ForeignInputs { endpoint, plan, workload, repeat, commit }, on_progress)
                .map_err(|error| error.to_string())
        }
        (None, None) => Err("the model was not prepared".to_owned()),
        (Some(model), None) => {
            let inputs = ServeInputs {
                plan,
                model,
                tokenizer: &prepared.tokenizer,
                workload,
                executable: &context.executable,
                folder,
                faults: &context.faults,
                repeat,
                commit,
            };
            serve_measured(&inputs, on_progress)
        }
    }
}

/// A run of our own ranks; where efficiency is asked for, with what the machine could do before and after.
fn serve_measured(
    inputs: &ServeInputs<'_>,
    on_progress: &mut dyn FnMut(&Progress),
) -> Result<Served, String> {
    let plan = inputs.plan;
    let wants_limits = plan.metrics.iter().any(|metric| metric == Metric::Efficiency.name());
    let limits = || wants_limits.then(|| limits_of(inputs)).transpose();
    let before = limits()?;
    let mut served = serve(inputs, on_progress).map_err(|error| error.to_string())?;
    served.record.machine_limits = before.zip(limits()?).map(|(before, after)| between(before, after));
    Ok(served)
}

/// Megatron's output JSON, where the case asks for it: the last run's requests, and the throughput of each run since the file
/// was begun. The original begins a new one with every N_REPEAT.
fn write_output(plan: &CasePlan, runs: &[Recorded]) -> Result<(), String> {
    let (Some(output), Some(last)) = (&plan.output, runs.last()) else { return Ok(()) };
    let begun = (runs.len() - 1) / output.num_repeats.max(1) * output.num_repeats;
    let summaries: Vec<&Metrics> = runs[begun..].iter().map(|run| &run.summary).collect();
    let layout = match output.script {
        OutputScript::Coordinator => MegatronLayout::Coordinator,
        OutputScript::ThroughputOnly => MegatronLayout::ThroughputOnly(&last.summary),
        OutputScript::Direct { throughput } => MegatronLayout::Direct(DirectRun {
            repeats: &summaries,
            ranks: &last.served.record.ranks,
            every_n_results: output.every_n_results,
            throughput,
        }),
    };
    write_atomically(&output.path, megatron_output(&last.served.record.requests, layout).as_bytes())
        .map_err(|error| format!("--output-path {}: {error}", output.path.display()))
}

fn judged(plan: &CasePlan, context: &CaseContext, runs: &[Recorded]) -> CaseResult {
    let compared: Vec<Run<'_>> =
        runs.iter().map(|run| Run { record: &run.served.record, summary: &run.summary }).collect();
    let judgement = judge(plan, &compared, context.policy, &context.goldens);
    let records: Vec<PathBuf> = runs.iter().map(|run| run.path.clone()).collect();
    let log_tails: Vec<_> = runs.iter().flat_map(|run| run.served.log_tails.iter().cloned()).collect();
    let report =
        CaseReport { plan, runs: &compared, judgement: &judgement, records: &records, log_tails: &log_tails };
    let outcome = if judgement.passed() {
        CaseOutcome::Passed
    } else {
        CaseOutcome::Failed { why: report.failure_text() }
    };
    CaseResult {
        name: plan.name.clone(),
        outcome,
        summary: report.summary_line(),
        duration_s: 0.0,
        assertions: judgement.num_assertions(),
        summaries: runs.iter().map(|run| run.summary.clone()).collect(),
        records,
        judgement: Some(judgement),
    }
}

/// A run of random weights whose case compares only what the weights generate: requests must still be served.
fn compared_nothing(plan: &CasePlan, runs: &[Recorded]) -> CaseResult {
    let requests = || runs.iter().flat_map(|run| &run.served.record.requests);
    let faults: Vec<String> = requests()
        .filter(|request| request.outcome != RequestOutcome::Completed)
        .map(|request| format!("request {}: {:?}", request.id, request.outcome))
        .chain(runs.iter().flat_map(|run| run.served.record.rank_faults.iter().cloned()))
        .collect();
    if !faults.is_empty() {
        return CaseResult::failed(&plan.name, faults.join("\n"));
    }
    let reason = format!(
        "served {} requests on random weights and compared nothing: METRICS names only {}",
        requests().count(),
        plan.uncompared.join(", ")
    );
    let records = runs.iter().map(|run| run.path.clone()).collect();
    let summaries = runs.iter().map(|run| run.summary.clone()).collect();
    CaseResult { records, summaries, ..CaseResult::skipped(&plan.name, reason) }
}

/// A known failure must fail, and a run must have shown it: one that passes is no longer known, and one that could not
/// run, or had nothing to be compared with, shows nothing of what is known.
fn strictly(result: CaseResult, known: &KnownFailure) -> CaseResult {
    let KnownFailure { reason, issue } = known.clone();
    let outcome = match result.outcome {
        CaseOutcome::Failed { .. } if result.judgement.as_ref().is_some_and(Judgement::has_verdict) => {
            CaseOutcome::KnownFailure { reason, issue }
        }
        CaseOutcome::Failed { why } => {
            let why = format!(
                "{why}\n{} has a KNOWN_FAILURE ({reason}; {issue}), which only a run that was judged can show",
                result.name
            );
            CaseOutcome::Failed { why }
        }
        CaseOutcome::Skipped { reason } => CaseOutcome::Skipped { reason },
        CaseOutcome::Passed | CaseOutcome::KnownFailure { .. } => {
            let why = format!(
                "{} passed, but its KNOWN_FAILURE says that it fails ({reason}; {issue}): remove KNOWN_FAILURE",
                result.name
            );
            CaseOutcome::Failed { why }
        }
    };
    CaseResult { outcome, ..result }
}
