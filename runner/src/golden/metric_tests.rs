//! The table of metrics: names, rules, and what gates where.

use super::*;

#[test]
fn names_are_unique_and_parse_back() {
    for row in METRICS {
        assert_eq!(row.name.parse::<Metric>(), Ok(row.metric));
        assert_eq!(row.metric.row().name, row.name);
    }
}

#[test]
fn every_latency_statistic_has_a_row() {
    for kind in [Latency::Ttft, Latency::Itl, Latency::Tpot, Latency::E2el] {
        for statistic in [Statistic::Median, Statistic::P90, Statistic::P95, Statistic::P99] {
            assert!(!Metric::Latency(kind, statistic).name().is_empty());
        }
    }
}

#[test]
fn a_typo_gets_a_suggestion_and_nonsense_the_list() {
    let typo = "generated_token".parse::<Metric>().unwrap_err();
    assert!(typo.contains("did you mean \"generated_tokens\"?"), "{typo}");
    let nonsense = "zzz".parse::<Metric>().unwrap_err();
    assert!(nonsense.contains("known metrics: generated_tokens,"), "{nonsense}");
}

#[test]
fn own_cpu_goldens_are_compared_to_the_bit_and_foreign_ones_are_not() {
    let of = |platform, origin| Metric::Logprobs.comparator(&platform, origin, None, None);
    assert_eq!(of(Platform::Cpu, Origin::Own), Comparator::SameBits);
    assert_eq!(of(Platform::Vcuda, Origin::Own), Comparator::SameBits);
    assert_eq!(of(Platform::Gpu("dgx_h100".into()), Origin::Own), Comparator::Within(0.001));
    assert_eq!(of(Platform::Cpu, Origin::Foreign), Comparator::Within(0.001));
    let wide = Metric::Logprobs.comparator(&Platform::Cpu, Origin::Own, None, Some(0.5));
    assert_eq!(wide, Comparator::Within(0.5));
}

#[test]
fn speed_gates_only_where_the_machine_is_known() {
    assert!(Metric::Throughput.gates_on(&Platform::Cpu).unwrap_err().contains("not gated on cpu"));
    assert_eq!(Metric::Throughput.gates_on(&Platform::Gpu("h100x1".into())), Ok(()));
    assert_eq!(Metric::Efficiency.gates_on(&Platform::Cpu), Ok(()));
    assert!(Metric::Efficiency.gates_on(&Platform::Vcuda).is_err());
    assert_eq!(Metric::Logprobs.gates_on(&Platform::Vcuda), Ok(()));
}
