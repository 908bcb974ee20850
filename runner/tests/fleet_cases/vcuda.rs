//! Cases on virtual CUDA devices.

use goldlap::harness::{Fate, PLATFORM_VARIABLE, Setting, run_case};
use goldlap::metrics::{RequestRecord, RunRecord};
use goldlap::plan::{Platform, Platforms};
use libtest_mimic::Failed;

use super::Test;
use super::case_text::{CaseText, NUM_REQUESTS};
use super::scene::{CASE, Scene, assert_says, name_of, records};

pub(super) const TESTS: &[Test] = &[
    ("tokens_are_those_of_cpu_and_graphs_change_nothing", tokens_are_those_of_cpu_and_graphs_change_nothing),
    ("a_device_without_room_says_what_it_lacks", a_device_without_room_says_what_it_lacks),
];

/// Logprobs of one token on two backends: the conformance suite holds whole models to it.
const LOGPROB_DISTANCE: f32 = 0.02;
/// Two tokens that lie further apart than both can move cannot change places.
const LOW_MARGIN: f32 = 2.0 * LOGPROB_DISTANCE;

fn case() -> CaseText {
    CaseText::tiny().flag("--top-n-logprobs", 2)
}

/// One run on a platform; nothing is compared, for there is no golden.
fn run_on(platform: Platform, case: &CaseText) -> Result<RunRecord, Failed> {
    let scene = Scene::with_case(CASE, case)?;
    let setting = Setting { platforms: Platforms::Asked(platform), ..scene.setting() };
    let listed = setting.list(|name| name == name_of(CASE))?;
    let Some(Fate::Run(plan)) = listed.into_iter().next().map(|case| case.fate) else {
        return Err("the case is not to run".into());
    };
    let result = run_case(&plan, &scene.context()?);
    records(&result)?.pop().ok_or_else(|| format!("no record: {:?}", result.outcome).into())
}

fn tokens_are_those_of_cpu_and_graphs_change_nothing() -> Result<(), Failed> {
    let cpu = run_on(Platform::Cpu, &case())?;
    let eager = run_on(Platform::Vcuda, &case())?;
    let captured =
        run_on(Platform::Vcuda, &case().flag("--cuda-graph-impl", "local").metrics(&["efficiency"]))?;
    let (mut num_compared, mut num_equal) = (0, 0);
    for (native, eager) in cpu.requests.iter().zip(&eager.requests) {
        let equal = equal_up_to_a_low_margin(native, eager);
        num_equal += equal;
        num_compared += native.generated_tokens.len();
    }
    assert_eq!(cpu.requests.len(), NUM_REQUESTS);
    assert!(num_equal * 2 > num_compared, "{num_equal} of {num_compared} tokens lie before a low margin");
    for (eager, captured) in eager.requests.iter().zip(&captured.requests) {
        assert_eq!(bits(eager), bits(captured), "request {}", eager.id);
    }
    for (eager, captured) in eager.ranks.iter().zip(&captured.ranks) {
        assert_eq!(eager.graphs, None);
        let graphs = captured.graphs.as_ref().ok_or("a rank with graphs counts them")?;
        // A prompt for whose tokens alternatives are wanted may take several passes of the model in one step.
        assert!(graphs.eager_steps + graphs.num_replays() >= captured.num_steps, "{graphs:?}");
        assert!(graphs.num_replays() * 2 > captured.num_steps, "{graphs:?}");
        assert_eq!(graphs.allocations_in_replays, 0, "{graphs:?}");
    }
    let limits = captured.machine_limits.ok_or("the device's limits were measured")?;
    assert!(limits.read_bytes_per_second > 1e6 && limits.flops_per_second > 1e6, "{limits:?}");
    Ok(())
}

/// Tokens that are the same; a difference is only allowed where the two likeliest tokens are about as likely.
fn equal_up_to_a_low_margin(native: &RequestRecord, other: &RequestRecord) -> usize {
    let id = native.id;
    let likeliest = native.generated_top_n_logprobs.as_ref().expect("asked for");
    let logprobs = |request: &RequestRecord| request.generated_logprobs.clone().expect("asked for");
    let logprobs = logprobs(native).into_iter().zip(logprobs(other));
    let tokens = native.generated_tokens.iter().zip(&other.generated_tokens).zip(likeliest).zip(logprobs);
    for (position, (((token, others), likeliest), (expected, got))) in tokens.enumerate() {
        if token != others {
            let margin = likeliest[0].1 - likeliest[1].1;
            assert!(
                margin < LOW_MARGIN,
                "request {id}, token {position}: the next one is {margin} less likely"
            );
            return position;
        }
        assert!(
            (expected - got).abs() < LOGPROB_DISTANCE,
            "request {id}, token {position}: {got} for {expected}"
        );
    }
    native.generated_tokens.len()
}

fn bits(request: &RequestRecord) -> (Vec<u32>, Vec<u32>) {
    let logprobs = [&request.prompt_logprobs, &request.generated_logprobs].into_iter().flatten().flatten();
    (request.generated_tokens.clone(), logprobs.map(|logprob| logprob.to_bits()).collect())
}

fn a_device_without_room_says_what_it_lacks() -> Result<(), Failed> {
    let scene = Scene::with_case(CASE, &case())?;
    let mut suite = scene.suite(&[CASE])?;
    let output = suite.env(PLATFORM_VARIABLE, "vcuda").env("GOLDLAP_VIRTUAL_MEMORY", "20000000").output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(101), "{said}");
    let expected = [
        "the case could not run: rank ",
        "CUDA device 0 (Goldlap Virtual GPU (sm_80)) is out of memory: of 0.02 GiB",
        "lower --inference-dynamic-batching-buffer-size-gb to less than 0.01",
    ];
    assert_says(&said, &expected);
    Ok(())
}
