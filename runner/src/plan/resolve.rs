//! From a case file to what becomes of it.

use std::path::PathBuf;

use super::case_plan::CasePlan;
use super::inputs::{Disposition, PlanInputs};
use super::performance::plan_performance;
use super::resolution::{Rejection, Resolution};
use crate::config::{RawCase, RawFile};

const FRONTEND: &str = "MODEL frontend: a test of Megatron-LM's own HTTP frontend, without a model";

/// Decides what becomes of a case. Mistakes come before obstacles: a wrong file is never a mere skip. Only what the original
/// accepts (a flag given twice, no METRICS) is no mistake in a case that this version lacks the features for.
pub fn plan_case(inputs: &PlanInputs<'_>) -> Disposition {
    let case = match &inputs.case.content {
        RawFile::Functional(case) => case,
        RawFile::Performance(file) => return plan_performance(inputs, file),
        RawFile::Training(mode) => return skip(inputs, other_mode(mode.as_deref())),
        RawFile::Frontend => return skip(inputs, FRONTEND.to_owned()),
    };
    match case.mode.as_ref().map(|mode| mode.as_str()) {
        None if case.model_args.is_some() => skip(inputs, other_mode(None)),
        mode @ Some("pretraining" | "rl") => skip(inputs, other_mode(mode)),
        None | Some(_) => disposition(Resolution::new(inputs, case), case),
    }
}

/// What becomes of a case whose flags are being resolved.
pub(super) fn disposition(mut resolution: Resolution<'_>, case: &RawCase) -> Disposition {
    let plan = resolve(&mut resolution, case);
    match (resolution.verdict(), plan) {
        (Ok(()), Some(plan)) => Disposition::Run(Box::new(plan)),
        (Err(Rejection::Invalid(error)), _) => Disposition::Invalid(error),
        (Err(Rejection::Skip(reason)), _) => skip(resolution.inputs, reason),
        (Ok(()), None) => unreachable!("a plan is only missing after a problem or an obstacle"),
    }
}

pub(super) fn skip(inputs: &PlanInputs<'_>, reason: String) -> Disposition {
    Disposition::Skip { name: inputs.name.to_owned(), reason }
}

fn other_mode(mode: Option<&str>) -> String {
    match mode {
        Some(mode) => format!("MODE {mode}: only inference is run by this version"),
        None => {
            "MODE is absent, which means pretraining: only MODE: inference is run by this version".to_owned()
        }
    }
}

/// Resolves everything before giving up on anything, so that all mistakes are seen at once.
fn resolve(resolution: &mut Resolution<'_>, case: &RawCase) -> Option<CasePlan> {
    resolution.check_keys(case);
    case.model_args.as_ref()?;
    let topology = resolution.topology();
    let tokenizer = resolution.tokenizer();
    let model = resolution.model(tokenizer.as_ref());
    let engine = resolution.engine(model.as_ref());
    let workload = resolution.workload();
    if let (Some(engine), Some(workload)) = (&engine, &workload) {
        resolution.check_logprobs_mode(engine, workload);
    }
    let routing = resolution.routing();
    let metrics = resolution.metrics();
    let tolerances = resolution.tolerances(&metrics);
    let (metrics, uncompared) = resolution.comparable(metrics);
    let time_limit = resolution.time_limit();
    let repeats = resolution.num_repeats();
    let output = resolution.output(repeats.map_or(1, |(_, in_one_output)| in_one_output));
    let inputs = resolution.inputs;
    Some(CasePlan {
        name: inputs.name.to_owned(),
        folder: inputs.folder.to_owned(),
        golden_folder: inputs.golden_root.join(inputs.name.split("::").collect::<PathBuf>()),
        platform: inputs.platform.clone(),
        model: model?,
        tokenizer: tokenizer?,
        topology: topology?,
        engine: engine?,
        workload: workload?,
        performance: resolution.performance.take(),
        metrics,
        uncompared,
        tolerances,
        time_limit: time_limit?,
        num_repeats: repeats?.0,
        known_failure: resolution.known_failure(),
        opt_in: resolution.opt_in(),
        output,
        routing: routing?,
        ignored_flags: std::mem::take(&mut resolution.ignored),
        settings: std::mem::take(&mut resolution.settings),
    })
}
