//! Red when it must be: a real run, judged against its own golden after every kind of change to that.

use std::fs;
use std::path::{Path, PathBuf};

use goldlap::golden::{Golden, GoldenId, GoldenRequest, Judgement, Metric, Policy, Run, SystemValue, judge};
use goldlap::metrics::{Metrics, RunRecord};
use goldlap::plan::{CasePlan, Platform};
use goldlap::report::CaseReport;
use libtest_mimic::Failed;

use super::Test;
use super::case_text::{CaseText, NUM_REQUESTS};
use super::scene::{CASE, Scene, assert_says, failure, name_of, records};

pub(super) const TESTS: &[Test] = &[("red_when_it_must_be", red_when_it_must_be)];

const METRICS: [&str; 5] = ["generated_tokens", "generated_text", "logprobs", "throughput", "efficiency"];
/// A platform on which absolute speed gates, and logprobs have a tolerance.
const GPU: &str = "h100x1";

/// A change to a golden, and what the failure then says.
struct Row {
    name: &'static str,
    platform: &'static str,
    change: fn(&mut Golden),
    says: &'static [&'static str],
}

const fn row(
    name: &'static str,
    platform: &'static str,
    change: fn(&mut Golden),
    says: &'static [&'static str],
) -> Row {
    Row { name, platform, change, says }
}

const ROWS: &[Row] = &[
    row(
        "one token changed",
        "cpu",
        |golden| tokens(golden, 2)[5] += 1,
        &[
            "FAIL generated_tokens: 1 of 144 comparisons differ, in 1 of 12 requests (rule: exactly equal)",
            "first: request 2, position 5: golden ",
            "token ids of request 2:",
            "  ok   logprobs: ",
        ],
    ),
    row(
        "a token too few",
        "cpu",
        |golden| tokens(golden, 4).truncate(11),
        &["FAIL generated_tokens: 1 of ", "request 4, position 11: golden 11 tokens, now 12 tokens"],
    ),
    row(
        "a logprob moved by 0.002",
        "cpu",
        |golden| logprobs(golden, 9)[3] += 0.002,
        &[
            "FAIL logprobs: 1 of ",
            "(rule: equal to the last bit)",
            "request 9, position 3: ",
            "(difference 0.00200",
        ],
    ),
    row(
        "a logprob moved by 0.002 where there is a tolerance",
        GPU,
        |golden| logprobs(golden, 9)[3] -= 0.002,
        &["FAIL logprobs: 1 of ", "(rule: within 0.001)", "request 9, position 3: ", "(difference 0.00200"],
    ),
    row(
        "a text changed",
        "cpu",
        |golden| request(golden, 0).generated_text = Some("Nobody won.".to_owned()),
        &["FAIL generated_text: 1 of 12 ", "golden \"Nobody won.\", now "],
    ),
    row(
        "a request missing from the golden",
        "cpu",
        |golden| drop(golden.requests.remove(&7)),
        &["problem: 1 request(s) of the run are not in the golden: 7"],
    ),
    row(
        "a request too many in the golden",
        "cpu",
        |golden| drop(golden.requests.insert(99, GoldenRequest::default())),
        &["problem: 1 request(s) of the golden are missing from the run: 99"],
    ),
    row(
        "a metric that the golden's entry lacks",
        "cpu",
        |golden| request(golden, 5).logprobs = None,
        &["FAIL logprobs: 1 of ", "request 5: golden (the golden's entry lacks it), now (not compared)"],
    ),
    row("efficiency doubled", "cpu", |golden| scale(golden, Metric::Efficiency, 2.0), EFFICIENCY_LOST),
    row("efficiency halved", "cpu", |golden| scale(golden, Metric::Efficiency, 0.5), EFFICIENCY_WON),
    row(
        "throughput doubled",
        GPU,
        |golden| scale(golden, Metric::Throughput, 2.0),
        &["FAIL throughput: ", "(-50.0 %)"],
    ),
    row(
        "throughput halved",
        GPU,
        |golden| scale(golden, Metric::Throughput, 0.5),
        &["FAIL throughput: ", "(+100.0 %)"],
    ),
    row(
        "a metric that the golden does not have",
        "cpu",
        |golden| golden.system.retain(|(key, _)| key != "efficiency"),
        &[
            "FAIL efficiency: METRICS names it, but the golden does not have it; the golden has generated_tokens, ",
        ],
    ),
];

const EFFICIENCY_LOST: &[&str] = &["FAIL efficiency: golden ", "(-50.0 %)", "(allowed: "];
const EFFICIENCY_WON: &[&str] = &["FAIL efficiency: golden ", "(+100.0 %)", "(allowed: "];

fn request(golden: &mut Golden, id: u64) -> &mut GoldenRequest {
    golden.requests.get_mut(&id).expect("the request is in the golden")
}

fn tokens(golden: &mut Golden, id: u64) -> &mut Vec<u32> {
    request(golden, id).generated_tokens.as_mut().expect("the golden has tokens")
}

fn logprobs(golden: &mut Golden, id: u64) -> &mut Vec<f32> {
    request(golden, id).logprobs.as_mut().expect("the golden has logprobs")
}

fn scale(golden: &mut Golden, metric: Metric, factor: f64) {
    let value = golden.system.iter_mut().find(|(key, _)| key == metric.name()).map(|(_, value)| value);
    match value.expect("the golden has the metric") {
        SystemValue::Number(number) => *number *= factor,
        SystemValue::List(list) => list.iter_mut().for_each(|number| *number *= factor),
    }
}

/// A real run and its golden.
struct Recorded {
    scene: Scene,
    record: RunRecord,
    plan: Box<CasePlan>,
    golden: Golden,
}

impl Recorded {
    fn new() -> Result<Self, Failed> {
        let scene = Scene::with_case(CASE, &CaseText::tiny().metrics(&METRICS))?;
        let result = scene.run(CASE, &[])?;
        failure(&result);
        scene.accept(CASE)?;
        let record = records(&result)?.pop().ok_or("no record was written")?;
        let (plan, golden) = (scene.plan(CASE)?, scene.golden(CASE)?);
        Ok(Self { scene, record, plan, golden })
    }

    fn plan_on(&self, platform: &str) -> Result<CasePlan, Failed> {
        Ok(CasePlan { platform: platform.parse()?, ..(*self.plan).clone() })
    }

    /// The golden as that platform would have recorded it.
    fn golden_on(&self, platform: &str) -> Golden {
        let mut golden = self.golden.clone();
        golden.provenance.as_mut().expect("our own golden").platform = platform.to_owned();
        golden
    }

    fn path_on(&self, platform: &Platform) -> PathBuf {
        let id = GoldenId { case: name_of(CASE), platform: platform.clone() };
        id.below(&self.scene.setting().roots.goldens)
    }

    /// Judges the run again; gives the failure's text beside the judgement.
    fn judge(&self, plan: &CasePlan) -> (Judgement, String) {
        let summary = Metrics::of(&self.record, None);
        let runs = [Run { record: &self.record, summary: &summary }];
        let judgement = judge(plan, &runs, Policy::Verify, &self.scene.setting().roots.golden_store());
        let report = CaseReport { plan, runs: &runs, judgement: &judgement, records: &[], log_tails: &[] };
        let text = report.failure_text();
        (judgement, text)
    }

    fn assert_red(&self, name: &str, plan: &CasePlan, says: &[&str]) {
        let (judgement, text) = self.judge(plan);
        assert!(!judgement.passed(), "{name}: the case passed");
        for part in says {
            assert!(text.contains(part), "{name}: expected {part:?} in:\n{text}");
        }
    }
}

fn red_when_it_must_be() -> Result<(), Failed> {
    let recorded = Recorded::new()?;
    for platform in ["cpu", GPU] {
        let plan = recorded.plan_on(platform)?;
        recorded.golden_on(platform).save(&recorded.path_on(&plan.platform))?;
        let (judgement, text) = recorded.judge(&plan);
        assert!(judgement.passed(), "the unchanged golden is red on {platform}: {text}");
        assert!(judgement.num_assertions() > (NUM_REQUESTS * 25) as u64, "{judgement:?}");
    }
    for row in ROWS {
        let plan = recorded.plan_on(row.platform)?;
        let path = recorded.path_on(&plan.platform);
        let mut golden = recorded.golden_on(row.platform);
        golden.save(&path)?;
        let before = fs::read_to_string(&path)?;
        (row.change)(&mut golden);
        golden.save(&path)?;
        recorded.assert_red(row.name, &plan, row.says);
        edit_by_hand(&path, &before)?;
        recorded.assert_red(row.name, &plan, &[row.says, &[EDITED]].concat());
    }
    strangers(&recorded)?;
    nan(&recorded)?;
    metrics(&recorded)?;
    broken_files(&recorded)
}

const EDITED: &str =
    "problem: the golden was edited by hand: provenance.content_hash does not match its content";

/// Gives a changed golden the content hash of the unchanged one, as an editor of text would leave it.
fn edit_by_hand(path: &Path, before: &str) -> Result<(), Failed> {
    let hash = |text: &str| -> Result<String, Failed> {
        let provenance = Golden::from_bytes(text.as_bytes())?.provenance.ok_or("our own golden")?;
        Ok(provenance.content_hash)
    };
    let after = fs::read_to_string(path)?;
    let (old, new) = (hash(before)?, hash(&after)?);
    assert_ne!(old, new);
    fs::write(path, after.replace(&new, &old))?;
    Ok(())
}

/// A golden whose values are right, and which somebody else recorded, or nobody.
fn strangers(recorded: &Recorded) -> Result<(), Failed> {
    let plan = recorded.plan_on("cpu")?;
    let path = recorded.path_on(&plan.platform);
    recorded.golden_on(GPU).save(&path)?;
    let says = "problem: the golden was recorded on platform h100x1, and this run is on cpu";
    recorded.assert_red("a golden of another platform", &plan, &[says]);
    Golden { provenance: None, ..recorded.golden_on("cpu") }.save(&path)?;
    recorded.assert_red("a golden of nobody", &plan, &["problem: the golden has no provenance"]);
    Ok(())
}

/// No API writes what is not finite; a file that has it anyway equals nothing.
fn nan(recorded: &Recorded) -> Result<(), Failed> {
    let plan = recorded.plan_on("cpu")?;
    let path = recorded.path_on(&plan.platform);
    let mut golden = recorded.golden_on("cpu");
    golden.save(&path)?;
    let before = fs::read_to_string(&path)?;
    logprobs(&mut golden, 1)[0] = f32::NAN;
    let refused = golden.save(&path).err().ok_or("NaN was written")?.to_string();
    assert_says(&refused, &["1.logprobs[0] is not a finite number; a golden with it could never pass"]);
    assert_eq!(fs::read_to_string(&path)?, before, "a refused golden changes nothing");
    fs::write(&path, golden.to_json().pretty())?;
    let says: &[&str] = &["FAIL logprobs: 1 of ", "request 1, position 0: golden NaN, now -"];
    recorded.assert_red("NaN", &plan, says);
    edit_by_hand(&path, &before)?;
    recorded.assert_red("NaN by hand", &plan, &[says, &[EDITED]].concat());
    let mut golden = recorded.golden_on(GPU);
    scale(&mut golden, Metric::Throughput, f64::INFINITY);
    assert!(golden.save(&path).is_err(), "an infinite throughput was written");
    Ok(())
}

/// METRICS that compare nothing.
fn metrics(recorded: &Recorded) -> Result<(), Failed> {
    recorded.golden_on("cpu").save(&recorded.path_on(&Platform::Cpu))?;
    let with = |metrics: &[&str]| -> Result<CasePlan, Failed> {
        let metrics = metrics.iter().map(|name| (*name).to_owned()).collect();
        Ok(CasePlan { metrics, ..recorded.plan_on("cpu")? })
    };
    let empty =
        ["problem: METRICS is empty: the case compares nothing with its golden", "  0 assertions evaluated"];
    recorded.assert_red("METRICS empty", &with(&[])?, &empty);
    let nothing = [
        "FAIL prompt_logprobs: METRICS names it, but the golden does not have it",
        "  0 assertions evaluated",
    ];
    recorded.assert_red("METRICS naming nothing", &with(&["prompt_logprobs"])?, &nothing);
    recorded.assert_red(
        "METRICS naming one of two",
        &with(&["generated_tokens", "prompt_logprobs"])?,
        &nothing[..1],
    );
    recorded.assert_red("METRICS misspelt", &with(&["logprob"])?, &["did you mean \"logprobs\"?"]);
    Ok(())
}

/// A golden that is there and cannot be read is not as good as none, and neither is an empty one.
fn broken_files(recorded: &Recorded) -> Result<(), Failed> {
    let plan = recorded.plan_on("cpu")?;
    let path = recorded.path_on(&plan.platform);
    recorded.golden_on("cpu").save(&path)?;
    let whole = fs::read_to_string(&path)?;
    let half = &whole[..whole.len() / 2];
    for (text, says) in
        [("", "not valid JSON"), ("{}", "holds no request and no system metric"), (half, "not valid JSON")]
    {
        fs::write(&path, text)?;
        recorded.assert_red("a broken file", &plan, &[says]);
    }
    fs::remove_file(&path)?;
    recorded.assert_red("no file", &plan, &["problem: there is no golden yet: ", "  0 assertions evaluated"]);
    Ok(())
}
