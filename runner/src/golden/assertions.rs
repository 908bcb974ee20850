//! How many assertions a case's golden gives rise to, without a run: a golden compared with itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::batches::BASELINE_FILE_NAME;
use super::golden_file::Golden;
use super::megatron_check::{Asked, check_as_megatron, read_megatron_json};
use super::metric::{Metric, Scope};
use crate::config::RawPerformanceCase;
use crate::plan::{Platform, performance_metrics};

/// What one golden file of a case would have compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoldenAssertions {
    /// Name of the file.
    pub file: String,
    /// By metric of METRICS, in its order.
    pub by_metric: Vec<(String, u64)>,
    /// Why nothing, or not all of it, can be compared.
    pub problem: Option<String>,
}

impl GoldenAssertions {
    /// Over all metrics.
    pub fn total(&self) -> u64 {
        self.by_metric.iter().map(|(_, count)| count).sum()
    }

    /// Of every golden file in `folder`, ours and the original's, sorted by name.
    pub fn of_folder(folder: &Path, asked: &Asked) -> std::io::Result<Vec<Self>> {
        Ok(golden_files(folder)?.iter().map(|path| Self::of(path, asked)).collect())
    }

    /// The same of a performance case, whose goldens hold numbers by batch size; then of every platform in the
    /// original's baseline file.
    pub fn of_performance_folder(folder: &Path, case: &RawPerformanceCase) -> std::io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for path in golden_files(folder)? {
            let file = name_of(&path);
            found.push(match Golden::load(&path) {
                Ok(golden) => Self::by_batch(&file, &golden.unwrap_or_default(), case),
                Err(error) => Self::broken(&file, error.what),
            });
        }
        let platforms = Golden::baseline_platforms(folder);
        for platform in &platforms {
            let file = format!("{BASELINE_FILE_NAME} of {platform}");
            found.push(match Golden::from_baseline(folder, platform) {
                Ok(golden) => Self::by_batch(&file, &golden.unwrap_or_default(), case),
                Err(error) => Self::broken(&file, error.what),
            });
        }
        if platforms.is_empty()
            && let Err(error) = Golden::from_baseline(folder, &Platform::Cpu)
        {
            found.push(Self::broken(BASELINE_FILE_NAME, error.what));
        }
        Ok(found)
    }

    /// One assertion per metric and batch size that both the golden has and the case runs; whatever one side lacks fails.
    fn by_batch(file: &str, golden: &Golden, case: &RawPerformanceCase) -> Self {
        let runs: BTreeSet<u64> = case.batch_sizes.iter().flatten().map(|&size| size.into()).collect();
        let mut problems = Vec::new();
        let mut by_metric = Vec::new();
        for name in performance_metrics(case) {
            let Ok(metric @ Metric::Batch(_)) = name.parse::<Metric>() else {
                let count = count(&name, golden);
                if count == 0 {
                    problems.push(format!("{name}: the golden does not have it"));
                }
                by_metric.push((name, count));
                continue;
            };
            let held = golden.batches.iter().filter(|(_, batch)| batch.number(metric).is_some());
            let held: BTreeSet<u64> = held.map(|(size, _)| *size).collect();
            let mut differ = |sizes: Vec<String>, what: &str| {
                if !sizes.is_empty() {
                    problems.push(format!("{name}: {what} batch size {}", sizes.join(", ")));
                }
            };
            differ(runs.difference(&held).map(u64::to_string).collect(), "the golden lacks");
            differ(held.difference(&runs).map(u64::to_string).collect(), "the case does not run");
            by_metric.push((name, runs.intersection(&held).count() as u64));
        }
        if by_metric.is_empty() {
            problems.push("METRICS is empty: nothing is compared".to_owned());
        }
        let problem = (!problems.is_empty()).then(|| problems.join("; "));
        Self { file: file.to_owned(), by_metric, problem }
    }

    fn of(path: &Path, asked: &Asked) -> Self {
        let file = name_of(path);
        match Golden::load(path) {
            Ok(Some(golden)) if golden.provenance.is_some() => return Self::counted(&file, &golden, asked),
            Ok(_) | Err(_) => {}
        }
        let read = std::fs::read_to_string(path).map_err(|error| error.to_string());
        match read.and_then(|text| read_megatron_json(&text)) {
            Err(why) => Self::broken(&file, why),
            Ok(json) => {
                let verdict = check_as_megatron(&json, &json, asked).verdict;
                let by_metric = verdict.metrics.iter().map(|m| (m.metric.clone(), m.assertions)).collect();
                let nothing = verdict.metrics.iter().find(|metric| metric.assertions == 0);
                let nothing = nothing.map(|metric| format!("{}: {}", metric.metric, metric.summary));
                let problem = nothing.or_else(|| verdict.problems.into_iter().next());
                Self { file, by_metric, problem }
            }
        }
    }

    fn broken(file: &str, why: String) -> Self {
        Self { file: file.to_owned(), by_metric: Vec::new(), problem: Some(why) }
    }

    /// By our own rules: one assertion per token, logprob, text or system metric.
    fn counted(file: &str, golden: &Golden, asked: &Asked) -> Self {
        let names = asked.metrics.clone().unwrap_or_default();
        let by_metric: Vec<(String, u64)> =
            names.into_iter().map(|name| (name.clone(), count(&name, golden))).collect();
        let nothing = by_metric.iter().find(|(_, count)| *count == 0);
        let problem = match nothing {
            Some((name, _)) => Some(format!("{name}: the golden does not have it")),
            None if by_metric.is_empty() => Some("METRICS is empty: nothing is compared".to_owned()),
            None => None,
        };
        Self { file: file.to_owned(), by_metric, problem }
    }
}

/// Golden files, ours and the original's, sorted by name; none where there is no such folder.
fn golden_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = match std::fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    files.retain(|path| {
        let name = name_of(path);
        name.starts_with("golden_values_") && name.ends_with(".json")
    });
    files.sort();
    Ok(files)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn count(name: &str, golden: &Golden) -> u64 {
    let Ok(metric) = name.parse::<Metric>() else { return 0 };
    let requests = golden.requests.values();
    let lengths = |list: Option<usize>| list.unwrap_or_default() as u64;
    match metric.row().scope {
        Scope::System => u64::from(golden.system(metric).is_some()),
        // Performance cases alone have them.
        Scope::PerBatch => 0,
        Scope::PerRequest if metric == Metric::GeneratedText => {
            requests.filter(|request| request.generated_text.is_some()).count() as u64
        }
        Scope::PerRequest if metric == Metric::GeneratedTokens => {
            requests.map(|request| lengths(request.generated_tokens.as_ref().map(Vec::len))).sum()
        }
        Scope::PerRequest => {
            requests.map(|request| lengths(request.logprobs_of(metric).map(<[f32]>::len))).sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::test_run::{ALL, names, performance_record, record};
    use crate::metrics::Metrics;
    use crate::plan::Platform;

    fn asked(metrics: &[&str]) -> Asked {
        Asked { metrics: Some(names(metrics)), lightweight: false }
    }

    #[test]
    fn a_golden_of_ours_counts_what_a_run_asserts() {
        let run = record("cpu");
        let summary = Metrics::of(&run, None);
        let runs = [crate::golden::Run { record: &run, summary: &summary }];
        let golden = Golden::from_runs(&Platform::Cpu, &names(&ALL), &runs, "c").unwrap();
        let folder = tempfile::tempdir().unwrap();
        golden.save(&folder.path().join("golden_values_dev_cpu.json")).unwrap();
        let found = GoldenAssertions::of_folder(folder.path(), &asked(&ALL)).unwrap();
        // The same number that a run of this record is told in `report::case_text`.
        assert_eq!((found.len(), found[0].total(), &found[0].problem), (1, 73, &None));
    }

    #[test]
    fn the_originals_goldens_count_by_its_own_rules() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let entry = r#"{"0": {"generated_tokens": [1, 2], "logprobs": [-1.0, -2.0, -3.0]}, "throughput": [1.0, 2.0]}"#;
        std::fs::write(at("golden_values_dev_dgx_h100.json"), entry).unwrap();
        std::fs::write(at("golden_values_lts_dgx_a100.json"), r#"{"throughput": [1.0, 2.0]}"#).unwrap();
        let metrics = asked(&["generated_tokens", "logprobs"]);
        let found = GoldenAssertions::of_folder(folder.path(), &metrics).unwrap();
        let totals: Vec<u64> = found.iter().map(GoldenAssertions::total).collect();
        assert_eq!(totals, [5, 0]);
        assert!(found[1].problem.as_ref().unwrap().contains("generated_tokens"), "{found:?}");
        let empty = GoldenAssertions::of_folder(folder.path(), &asked(&[])).unwrap();
        assert!(empty[0].problem.as_ref().unwrap().contains("METRICS is empty"), "{empty:?}");
    }

    /// What a performance case of these batch sizes and metrics would compare with what is in the folder.
    fn of_performance(folder: &Path, sizes: &[u32], metrics: Option<&[&str]>) -> Vec<GoldenAssertions> {
        let case = RawPerformanceCase {
            batch_sizes: Some(sizes.to_vec()),
            metrics: metrics.map(names),
            ..performance_case()
        };
        GoldenAssertions::of_performance_folder(folder, &case).unwrap()
    }

    fn performance_case() -> RawPerformanceCase {
        let text = "MODEL: m\nTP: 1\nPP: 1\nDP: 1\nNUM_OUTPUT_TOKENS: 4\nBATCH_SIZES: [1]\n".to_owned();
        let file = crate::config::CaseFile::parse(Path::new("x/model_config.yaml"), text).unwrap();
        let crate::config::RawFile::Performance(file) = file.content else { panic!("{file:?}") };
        file.case
    }

    #[test]
    fn a_performance_case_counts_numbers_by_batch_size() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let baseline = r#"{"h100": {
            "batch_1": {"avg_latency_ms": 3.0, "tpot_ms_per_tok": 2.0}, "batch_8": {"avg_latency_ms": 4.0}
        }, "gb200": {}}"#;
        std::fs::write(at("baseline_values.json"), baseline).unwrap();
        // As the original writes no such file for them, it is one that somebody copied from a record of ours.
        std::fs::write(at("golden_values_dev_cpu.json"), r#"{"batch_1": {"tpot_ms_per_tok": 2.0}}"#).unwrap();
        let metrics: &[&str] = &["avg_latency_ms", "tpot_ms_per_tok"];
        let found = of_performance(folder.path(), &[1, 8], Some(metrics));
        let told: Vec<_> = found.iter().map(|f| (f.file.as_str(), f.total(), f.problem.as_deref())).collect();
        assert_eq!(
            told,
            [
                (
                    "golden_values_dev_cpu.json",
                    1,
                    Some(
                        "avg_latency_ms: the golden lacks batch size 1, 8; \
                         tpot_ms_per_tok: the golden lacks batch size 8"
                    )
                ),
                ("baseline_values.json of h100", 3, Some("tpot_ms_per_tok: the golden lacks batch size 8")),
                ("baseline_values.json of gb200", 0, Some("gb200: holds no batch size")),
            ]
        );
        let h100 = |sizes: &[u32], metrics| of_performance(folder.path(), sizes, metrics).remove(1);
        let found = h100(&[1, 8], Some(&["avg_latency_ms"]));
        assert_eq!((found.total(), found.problem), (2, None));
        let found = h100(&[1, 32], Some(&["avg_latency_ms"]));
        let problem = "avg_latency_ms: the golden lacks batch size 32; avg_latency_ms: the case does not run batch size 8";
        assert_eq!((found.total(), found.problem.as_deref()), (1, Some(problem)));
        assert_eq!(h100(&[1], None).total(), 2, "the original's five metrics, of which two are there");
        assert_eq!(
            h100(&[1], Some(&["efficiency"])).problem.unwrap(),
            "efficiency: the golden does not have it"
        );
        assert!(h100(&[1], Some(&[])).problem.unwrap().contains("METRICS is empty"));
        std::fs::write(at("baseline_values.json"), "[").unwrap();
        let broken = of_performance(folder.path(), &[1], None).remove(1);
        assert!(broken.problem.as_ref().unwrap().starts_with("not valid JSON"), "{broken:?}");
    }

    /// The count is that of a run's own comparison.
    #[test]
    fn a_performance_case_counts_what_its_comparison_asserts() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = ["avg_latency_ms", "throughput_tok_per_sec", "decode_tpot_ms"];
        let (run, platform) = (performance_record("cpu"), Platform::Cpu);
        let summary = Metrics::of(&run, None);
        let run = crate::golden::Run { record: &run, summary: &summary };
        let golden = Golden::from_runs(&platform, &names(&metrics), &[run], "c").unwrap();
        golden.save(&folder.path().join("golden_values_dev_cpu.json")).unwrap();
        let rules = crate::golden::Rules {
            platform: &platform,
            metrics: &names(&metrics),
            tolerances: &[],
            performance: None,
            num_runs: 1,
            accept_command: "c",
        };
        let verdict = crate::golden::compare(&rules, run, &golden);
        let sizes: Vec<u32> = golden.batches.keys().map(|&size| size as u32).collect();
        let counted = of_performance(folder.path(), &sizes, Some(&metrics)).remove(0);
        let asserted: Vec<_> = verdict.metrics.iter().map(|m| (m.metric.clone(), m.assertions)).collect();
        assert_eq!((counted.by_metric, counted.problem), (asserted, None));
    }
}
