//! How many assertions a case's golden gives rise to, without a run: a golden compared with itself.

use std::path::{Path, PathBuf};

use super::golden_file::Golden;
use super::megatron_check::{Asked, check_as_megatron, read_megatron_json};
use super::metric::{Metric, Scope};

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

    /// Of every golden file in `folder`, ours and the original's, sorted by name, then of every platform
    /// in a performance case's baseline.
    pub fn of_folder(folder: &Path, asked: &Asked) -> std::io::Result<Vec<Self>> {
        let mut files: Vec<PathBuf> = match std::fs::read_dir(folder) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        files.sort();
        let is_golden = |path: &&PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("golden_values_") && name.ends_with(".json")
        };
        let mut found: Vec<Self> = files.iter().filter(is_golden).map(|path| Self::of(path, asked)).collect();
        for platform in Golden::baseline_platforms(folder) {
            let file = format!("baseline_values.json of {platform}");
            found.push(match Golden::from_baseline(folder, &platform) {
                Ok(golden) => Self::counted(&file, &golden.unwrap_or_default(), asked),
                Err(error) => Self::broken(&file, error.what),
            });
        }
        Ok(found)
    }

    fn of(path: &Path, asked: &Asked) -> Self {
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
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

    /// By our own rules: one assertion per token, logprob, text, system metric or batch size.
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

fn count(name: &str, golden: &Golden) -> u64 {
    let Ok(metric) = name.parse::<Metric>() else { return 0 };
    let requests = golden.requests.values();
    let lengths = |list: Option<usize>| list.unwrap_or_default() as u64;
    match metric.row().scope {
        Scope::System => u64::from(golden.system(metric).is_some()),
        Scope::PerBatch => {
            golden.batches.values().filter(|batch| batch.number(metric).is_some()).count() as u64
        }
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
    use crate::golden::test_run::{ALL, names, record};
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
        std::fs::write(at("baseline_values.json"), r#"{"h100": {"batch_1": {"avg_latency_ms": 3.0}}}"#)
            .unwrap();
        let metrics = asked(&["generated_tokens", "logprobs"]);
        let found = GoldenAssertions::of_folder(folder.path(), &metrics).unwrap();
        let totals: Vec<u64> = found.iter().map(GoldenAssertions::total).collect();
        assert_eq!(totals, [5, 0, 0]);
        assert!(found[1].problem.as_ref().unwrap().contains("generated_tokens"), "{found:?}");
        let empty = GoldenAssertions::of_folder(folder.path(), &asked(&[])).unwrap();
        assert!(empty[0].problem.as_ref().unwrap().contains("METRICS is empty"), "{empty:?}");
        let found = GoldenAssertions::of_folder(folder.path(), &asked(&["avg_latency_ms"])).unwrap();
        assert_eq!((found[2].file.as_str(), found[2].total()), ("baseline_values.json of h100", 1));
    }
}
