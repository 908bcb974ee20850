//! The cases that come with the product.

use std::path::Path;

use goldlap::golden::Golden;
use goldlap::harness::{Fate, Roots, Setting};
use goldlap::plan::{AbsentModel, CasePlan, Platform, Platforms};
use libtest_mimic::Failed;
use serde_json::Value;
use tempfile::TempDir;

use super::Test;

pub(super) const TESTS: &[Test] = &[
    ("every_case_plans_here", every_case_plans_here),
    ("the_twins_differ_in_topology_alone", the_twins_differ_in_topology_alone),
    ("the_twins_have_the_same_golden_values", the_twins_have_the_same_golden_values),
];

/// Cases that differ in topology, the first DP1.
const TWINS: [[&str; 2]; 2] = [
    [
        "gpt::gpt_dynamic_inference_tp1_pp1_dp1_tiny_logitsmatch_zmq",
        "gpt::gpt_dynamic_inference_tp1_pp1_dp8_tiny_logitsmatch_zmq",
    ],
    [
        "gpt::gpt_dynamic_inference_tp1_pp1_dp1_tiny_vcuda_logitsmatch_zmq",
        "gpt::gpt_dynamic_inference_tp1_pp1_dp8_tiny_vcuda_logitsmatch_zmq",
    ],
];
/// Cases on virtual CUDA devices that differ in CUDA graphs, the first with.
const GRAPHS: [&str; 2] = [
    "gpt::gpt_dynamic_inference_tp1_pp1_dp1_tiny_vcuda_logitsmatch_zmq",
    "gpt::gpt_dynamic_inference_tp1_pp1_dp1_tiny_vcuda_eager_zmq",
];

fn setting(cache: &TempDir) -> Setting {
    let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let roots = Roots::new(workspace, |_| None);
    Setting {
        roots,
        platforms: Platforms::Found { gpu: None },
        cache_root: cache.path().to_owned(),
        absent: AbsentModel::Skips,
    }
}

fn every_case_plans_here() -> Result<(), Failed> {
    // No model is fetched into this cache.
    let listed = setting(&TempDir::new()?).list(|_| true)?;
    let mut num_running = 0;
    for case in &listed {
        match &case.fate {
            Fate::Run(plan) => {
                num_running += 1;
                assert!(!plan.metrics.is_empty());
                let expected = if case.name.contains("vcuda") { Platform::Vcuda } else { Platform::Cpu };
                assert_eq!(plan.platform, expected, "{}", case.name);
            }
            Fate::Skip(reason) => {
                assert!(reason.contains("cargo xtask fetch-model"), "{} is ignored: {reason}", case.name);
            }
            Fate::Invalid(why) => return Err(format!("{}: {why}", case.name).into()),
        }
    }
    assert!(num_running >= 6, "only {num_running} cases run without a fetched model");
    Ok(())
}

fn plans(names: [&str; 2]) -> Result<[CasePlan; 2], Failed> {
    let setting = setting(&TempDir::new()?);
    let plan = |name: &str| -> Result<CasePlan, Failed> {
        let listed = setting.list(|listed| listed == name)?;
        match listed.into_iter().next().map(|case| case.fate) {
            Some(Fate::Run(plan)) => Ok(*plan),
            other => Err(format!("{name}: {other:?}").into()),
        }
    };
    Ok([plan(names[0])?, plan(names[1])?])
}

/// The plan without what tells twins apart.
fn rest(plan: &CasePlan, differing: &[&str]) -> Result<Value, Failed> {
    let mut value = serde_json::to_value(plan)?;
    let fields = value.as_object_mut().ok_or("a plan has fields")?;
    for field in ["name", "folder", "golden_folder"].iter().chain(differing) {
        fields.remove(*field).ok_or_else(|| format!("a plan has {field}"))?;
    }
    Ok(value)
}

fn the_twins_differ_in_topology_alone() -> Result<(), Failed> {
    for names in TWINS {
        let [one, eight] = plans(names)?;
        assert_eq!((one.topology.data_parallel, eight.topology.data_parallel), (1, 8));
        assert_eq!(rest(&one, &["topology"])?, rest(&eight, &["topology"])?);
    }
    let [with, without] = plans(GRAPHS)?;
    assert!(with.engine.features.graphs.is_some() && without.engine.features.graphs.is_none());
    // The one without says so under METRICS, too.
    assert_eq!(rest(&with, &["engine", "metrics"])?, rest(&without, &["engine", "metrics"])?);
    Ok(())
}

fn the_twins_have_the_same_golden_values() -> Result<(), Failed> {
    let golden = |plan: &CasePlan| Golden::load(&plan.golden_folder.join(plan.platform.golden_file_name()));
    for names in TWINS.into_iter().chain([GRAPHS]) {
        let [one, other] = plans(names)?;
        let (one, other) = match (golden(&one)?, golden(&other)?) {
            (Some(one), Some(other)) => (one, other),
            // That both are there is the business of the cases themselves, which fail without.
            (None, None) => continue,
            (one, _) => return Err(format!("only {} has a golden", names[usize::from(one.is_none())]).into()),
        };
        assert!(one.requests.len() >= 8, "{} requests prove little", one.requests.len());
        assert_eq!(one.requests, other.requests, "{names:?}");
    }
    Ok(())
}
