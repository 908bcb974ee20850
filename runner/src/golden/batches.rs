//! The baseline of a performance case: numbers by batch size, in our goldens under `batch_N`, in the original's
//! `baseline_values.json` one level deeper, by platform.

use std::collections::BTreeMap;
use std::path::Path;

use super::compare::Run;
use super::golden_file::{Golden, GoldenError};
use super::json::Json;
use super::metric::{METRICS, Metric, MetricRow, Scope};
use super::number::{as_f64, measured_to_json, rounded};
use crate::metrics::{BatchMetric, BatchSummary, median};
use crate::plan::Platform;

/// The original's file beside its case.
pub(super) const BASELINE_FILE_NAME: &str = "baseline_values.json";
/// Before the batch size in a key.
const PREFIX: &str = "batch_";

/// One batch size's entry: metrics, and what nothing is compared with (`dataset`, `num_iters`), in the file's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GoldenBatch(pub Vec<(String, Json)>);

impl GoldenBatch {
    /// A metric's value.
    pub fn number(&self, metric: Metric) -> Option<f64> {
        self.0.iter().find(|(key, _)| key == metric.name()).and_then(|(_, value)| as_f64(value))
    }

    /// As JSON.
    pub(super) fn to_json(&self) -> Json {
        Json::Object(self.0.clone())
    }

    /// Of repeats of one run, medians. An error names the first number that was not measured.
    pub(super) fn all(runs: &[Run<'_>]) -> Result<Vec<(u64, Self)>, String> {
        let Some((first, _)) = runs.split_first() else { return Ok(Vec::new()) };
        let of = |batch: &BatchSummary| -> Result<(u64, Self), String> {
            let size = batch.batch_size;
            let same = |run: &Run<'_>| run.summary.batches.iter().find(|b| b.batch_size == size).cloned();
            let batches: Vec<BatchSummary> = runs.iter().filter_map(same).collect();
            let number = |value: usize| Json::from(value as u64);
            let mut fields = vec![
                ("batch_size".to_owned(), number(size)),
                ("num_input_tokens_avg".to_owned(), Json::float(batch.num_input_tokens_avg)),
                ("num_output_tokens".to_owned(), Json::float(batch.num_output_tokens)),
                ("num_iters".to_owned(), number(batch.num_iters)),
            ];
            for (row, metric) in rows() {
                let value = |b: &BatchSummary| {
                    let value = b.get(metric);
                    value.value().ok_or_else(|| format!("batch size {size}, {}: {value}", row.name))
                };
                let sample: Vec<f64> = batches.iter().map(value).collect::<Result<_, _>>()?;
                if let Some(middle) = median(&sample) {
                    fields.push((row.name.to_owned(), measured_to_json(rounded(middle))));
                }
            }
            Ok((size as u64, Self(fields)))
        };
        first.summary.batches.iter().map(of).collect()
    }
}

/// The metrics of batches.
fn rows() -> impl Iterator<Item = (&'static MetricRow, BatchMetric)> {
    METRICS
        .iter()
        .filter_map(|row| if let Metric::Batch(metric) = row.metric { Some((row, metric)) } else { None })
}

/// The size in a key such as `batch_8`.
pub(super) fn batch_size(key: &str) -> Option<u64> {
    let digits = key.strip_prefix(PREFIX)?;
    digits.parse::<u64>().ok().filter(|size| size.to_string() == digits)
}

/// The key of a batch size.
pub(super) fn batch_key(size: u64) -> String {
    format!("{PREFIX}{size}")
}

/// Reads the entry of one batch size.
pub(super) fn batch(key: &str, value: &Json) -> Result<GoldenBatch, String> {
    let Json::Object(fields) = value else {
        return Err(format!("{key}: expected an object, got {}", value.kind()));
    };
    for (field, value) in fields {
        let is_metric = METRICS.iter().any(|row| row.scope == Scope::PerBatch && row.name == field);
        if is_metric && as_f64(value).is_none() {
            return Err(format!("{key}.{field}: expected a number, got {}", value.kind()));
        }
    }
    Ok(GoldenBatch(fields.clone()))
}

/// Reads all batch sizes of one platform's entry; `place` is where it stands.
pub(super) fn batches(place: &str, entry: &Json) -> Result<BTreeMap<u64, GoldenBatch>, String> {
    let Json::Object(members) = entry else {
        return Err(format!("{place}: expected an object of batch sizes, got {}", entry.kind()));
    };
    let read = |(name, value): &(String, Json)| {
        let size = batch_size(name)
            .ok_or_else(|| format!("{place}.{name}: expected a batch size such as batch_8"))?;
        Ok((size, batch(&format!("{place}.{name}"), value)?))
    };
    members.iter().map(read).collect()
}

impl Golden {
    /// The platform's entry of the original's baseline file in `folder`; `None` where there is no such file.
    pub fn from_baseline(folder: &Path, platform: &Platform) -> Result<Option<Self>, GoldenError> {
        let path = folder.join(BASELINE_FILE_NAME);
        match std::fs::read(&path) {
            Ok(bytes) => Self::from_baseline_bytes(&bytes, platform).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("cannot be read: {error}")),
        }
        .map_err(|what| GoldenError { path, what })
    }

    /// Platforms of the original's baseline file in `folder`; none where there is no such file or it cannot be read.
    pub(super) fn baseline_platforms(folder: &Path) -> Vec<Platform> {
        let text = std::fs::read_to_string(folder.join(BASELINE_FILE_NAME)).unwrap_or_default();
        match Json::parse(&text) {
            Ok(Json::Object(platforms)) => platforms.iter().filter_map(|(key, _)| key.parse().ok()).collect(),
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    fn from_baseline_bytes(bytes: &[u8], platform: &Platform) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())?;
        let json = Json::parse(text).map_err(|error| format!("not valid JSON: {error}"))?;
        let Json::Object(platforms) = &json else {
            return Err(format!("expected an object of platforms, got {}", json.kind()));
        };
        let name = platform.to_string();
        // The original says h100 where its functional tests say dgx_h100.
        let of = |key: &str| key == name || name.split('_').any(|part| part == key);
        let Some((key, entry)) = platforms.iter().find(|(key, _)| of(key)) else {
            let known: Vec<&str> = platforms.iter().map(|(key, _)| key.as_str()).collect();
            return Err(format!("has no baseline of platform {name}; it has {}", known.join(", ")));
        };
        let golden = Self { batches: batches(key, entry)?, ..Self::default() };
        if golden.batches.is_empty() { Err(format!("{key}: holds no batch size")) } else { Ok(golden) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEIRS: &str = r#"{"h100": {"batch_8": {"batch_size": 8, "dataset": "synthetic",
        "throughput_tok_per_sec": 344.0, "tpot_ms_per_tok": 23.25}}, "gb200": {}}"#;

    fn read(text: &str, platform: &str) -> Result<Golden, String> {
        Golden::from_baseline_bytes(text.as_bytes(), &platform.parse().unwrap())
    }

    #[test]
    fn the_originals_baseline_is_read_by_platform() {
        for platform in ["h100", "dgx_h100"] {
            let golden = read(THEIRS, platform).unwrap();
            let throughput = golden.batches[&8].number(Metric::Batch(BatchMetric::Throughput));
            assert_eq!((throughput, golden.provenance), (Some(344.0), None), "{platform}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_baseline_is_said() {
        for (text, platform, expected) in [
            (THEIRS, "dgx_a100", "has no baseline of platform dgx_a100; it has h100, gb200"),
            (THEIRS, "gb200", "gb200: holds no batch size"),
            ("[]", "h100", "expected an object of platforms, got a list"),
            (r#"{"h100": {"batch_08": {}}}"#, "h100", "h100.batch_08: expected a batch size such as batch_8"),
            (
                r#"{"h100": {"batch_8": {"avg_latency_ms": "x"}}}"#,
                "h100",
                "h100.batch_8.avg_latency_ms: expected a number, got a string",
            ),
        ] {
            assert_eq!(read(text, platform).unwrap_err(), expected);
        }
    }
}
