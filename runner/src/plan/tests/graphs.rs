//! Which CUDA graphs a case asks for.

use super::{plan_in, prompted_case, run};
use crate::plan::{GraphPlan, GraphSizing};

fn graphs(platform: &str, flags: &[&str]) -> Option<GraphPlan> {
    run(plan_in("case", &prompted_case(flags, ""), platform, &[])).engine.features.graphs
}

#[test]
fn graphs_are_captured_where_the_original_captures_them() {
    let local = Some(GraphPlan {
        num_sizes: Some(16),
        sizing: GraphSizing::Exponential,
        max_prefills: 16,
        max_mixed_tokens: 512,
    });
    for platform in ["vcuda", "dgx_h100"] {
        assert_eq!(graphs(platform, &["--cuda-graph-impl: local"]), local);
        assert_eq!(graphs(platform, &["--enable-cuda-graph: true"]), local);
        let layer = "--inference-cuda-graph-scope: layer";
        assert_eq!(graphs(platform, &["--cuda-graph-impl: transformer_engine", layer]), local);
        for off in [
            &[][..],
            &["--cuda-graph-impl: none"],
            &["--cuda-graph-impl: full_iteration"],
            &["--cuda-graph-impl: local", "--inference-cuda-graph-scope: none"],
            &["--cuda-graph-impl: local", "--inference-dynamic-batching-num-cuda-graphs: 0"],
        ] {
            assert_eq!(graphs(platform, off), None, "{off:?}");
        }
    }
}

#[test]
fn settings_of_graphs_are_read() {
    let plan = graphs(
        "vcuda",
        &[
            "--cuda-graph-impl: local",
            "--inference-dynamic-batching-num-cuda-graphs: -1",
            "--inference-dynamic-batching-cuda-graph-sizing-distribution: linear",
            "--inference-dynamic-batching-cuda-graph-mixed-prefill-count: 3",
            "--inference-cuda-graph-max-tokens: 100",
        ],
    );
    let expected =
        GraphPlan { num_sizes: None, sizing: GraphSizing::Linear, max_prefills: 3, max_mixed_tokens: 100 };
    assert_eq!(plan, Some(expected));
    for decode_only in
        ["--decode-only-cuda-graphs: true", "--inference-dynamic-batching-cuda-graph-mixed-prefill-count: -1"]
    {
        let plan = graphs("vcuda", &["--cuda-graph-impl: local", decode_only]).unwrap();
        assert_eq!(plan.max_prefills, 0, "{decode_only}");
    }
}

#[test]
fn on_cpu_the_flags_change_nothing_and_say_so() {
    let flags = ["--cuda-graph-impl: local", "--decode-only-cuda-graphs: true"];
    let plan = run(plan_in("case", &prompted_case(&flags, ""), "cpu", &[]));
    let bare = run(plan_in("case", &prompted_case(&[], ""), "cpu", &[]));
    assert_eq!(serde_json::to_value(&plan.engine).unwrap(), serde_json::to_value(&bare.engine).unwrap());
    for flag in ["--cuda-graph-impl", "--decode-only-cuda-graphs"] {
        let ignored = plan.ignored_flags.iter().find(|ignored| ignored.flag == flag).unwrap();
        assert!(ignored.reason.contains("CUDA graphs, which cpu does not have"), "{}", ignored.reason);
    }
    let plan = run(plan_in("case", &prompted_case(&flags[1..], ""), "vcuda", &[]));
    let ignored = plan.ignored_flags.iter().find(|ignored| ignored.flag == "--decode-only-cuda-graphs");
    assert_eq!(ignored.unwrap().reason, "has an effect with --cuda-graph-impl local only");
}
