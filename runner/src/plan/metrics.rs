//! Which metrics a case compares, and how far they may stray.

use super::case_plan::Origin;
use super::resolution::Resolution;
use crate::config::{KeyPath, Scalar, suggestion};
use crate::golden::{METRICS, Metric, Needs, Scope};

/// Metrics of the original that this version cannot compare.
const NOT_YET: [(&str, &str); 1] = [("routing_indices", "mixture of experts is not implemented yet")];

impl Resolution<'_> {
    /// METRICS of the case or of its platform.
    pub(super) fn metrics(&mut self) -> Vec<String> {
        let platform = self.inputs.platform.to_string();
        let special =
            self.case.platforms.as_ref().and_then(|all| all.get(&platform)).and_then(|o| o.metrics.as_ref());
        let (path, names, origin) = match special {
            Some(names) => {
                (KeyPath::new(&["PLATFORMS", &platform, "METRICS"]), names.as_slice(), Origin::Platform)
            }
            None => {
                (KeyPath::new(&["METRICS"]), self.case.metrics.as_deref().unwrap_or_default(), Origin::Case)
            }
        };
        if names.is_empty() {
            let help = "name at least one metric, e.g. generated_tokens";
            self.objection(path, "is empty: a case that checks nothing cannot pass", Some(help));
            return Vec::new();
        }
        let mut metrics: Vec<String> = Vec::with_capacity(names.len());
        for (index, Scalar(name)) in names.iter().enumerate() {
            let at = path.child(&index.to_string());
            if metrics.contains(name) {
                self.error_at(at, format!("{name} is named twice"), None);
            } else if self.check_metric(name, at) {
                metrics.push(name.clone());
            }
        }
        self.note("METRICS", metrics.join(", "), origin, "compared with the golden record");
        metrics
    }

    /// Splits metrics into those that this run can compare and those that it cannot: what random weights generate
    /// has nothing to do with the golden of a checkpoint.
    pub(super) fn comparable(&self, metrics: Vec<String>) -> (Vec<String>, Vec<String>) {
        let depends =
            |name: &String| METRICS.iter().any(|row| row.name == name && row.scope == Scope::PerRequest);
        if self.replaced {
            metrics.into_iter().partition(|name| !depends(name))
        } else {
            (metrics, Vec::new())
        }
    }

    /// Whether the metric is one that this case can measure.
    fn check_metric(&mut self, name: &str, at: KeyPath) -> bool {
        if let Some((_, reason)) = NOT_YET.iter().find(|(later, _)| *later == name) {
            self.obstacle(format!("METRICS {name}: {reason}"));
            return false;
        }
        let Some(row) = METRICS.iter().find(|row| row.name == name) else {
            let names = METRICS.iter().map(|row| row.name);
            let help = suggestion(name, names.clone())
                .unwrap_or_else(|| format!("known metrics: {}", names.collect::<Vec<_>>().join(", ")));
            self.error_at(at, format!("unknown metric \"{name}\""), Some(&help));
            return false;
        };
        if row.scope == Scope::PerBatch && self.performance.is_none() {
            let message = format!("{name} is measured in performance cases only (MODEL, BATCH_SIZES)");
            self.error_at(at, message, None);
            return false;
        }
        let (logprobs, all, alternatives) = match row.needs {
            Needs::Nothing | Needs::MachineLimits => (false, false, false),
            Needs::LogProbs => (true, false, false),
            Needs::PromptLogProbs => (true, true, false),
            Needs::TopNLogProbs => (true, false, true),
            Needs::PromptTopNLogProbs => (true, true, true),
        };
        if alternatives && !self.is_given("--top-n-logprobs") {
            self.error_at(at, format!("{name} needs the flag --top-n-logprobs"), None);
            return false;
        }
        if logprobs && !self.is_given("--return-log-probs") {
            self.error_at(at, format!("{name} needs the flag --return-log-probs"), None);
            return false;
        }
        if all && self.is_given("--skip-prompt-log-probs") {
            self.error_at(at, format!("{name} cannot be had with --skip-prompt-log-probs"), None);
            return false;
        }
        true
    }

    /// TOLERANCES of the case, replaced one by one by those of its platform.
    pub(super) fn tolerances(&mut self, metrics: &[String]) -> Vec<(String, f64)> {
        let platform = self.inputs.platform.to_string();
        let case = self.case;
        let special =
            case.platforms.as_ref().and_then(|all| all.get(&platform)).and_then(|o| o.tolerances.as_ref());
        let common = (KeyPath::new(&["TOLERANCES"]), case.tolerances.as_ref(), Origin::Case);
        let special = (KeyPath::new(&["PLATFORMS", &platform, "TOLERANCES"]), special, Origin::Platform);
        let mut tolerances: Vec<(String, f64)> = Vec::new();
        for (path, entries, origin) in [common, special] {
            for (name, value) in entries.into_iter().flat_map(|entries| entries.iter()) {
                let Some(tolerance) = self.tolerance(path.child(name), name, value.as_ref(), metrics, origin)
                else {
                    continue;
                };
                tolerances.retain(|(earlier, _)| earlier != name);
                tolerances.push((name.to_owned(), tolerance));
                self.note(
                    format!("TOLERANCES.{name}"),
                    tolerance.to_string(),
                    origin,
                    "allowed distance from the golden",
                );
            }
        }
        tolerances
    }

    fn tolerance(
        &mut self,
        path: KeyPath,
        name: &str,
        value: Option<&Scalar>,
        metrics: &[String],
        origin: Origin,
    ) -> Option<f64> {
        let Ok(metric) = name.parse::<Metric>() else {
            let help = suggestion(name, METRICS.iter().map(|row| row.name));
            self.error_at(path, "unknown metric", help.as_deref());
            return None;
        };
        if !metric.takes_tolerance() {
            self.error_at(path, "is compared exactly: it has no tolerance", None);
            return None;
        }
        // The case's own tolerances may speak of metrics that this platform's METRICS leave out.
        if origin == Origin::Platform && !metrics.is_empty() && !metrics.iter().any(|metric| metric == name) {
            let help = suggestion(name, metrics.iter().map(String::as_str));
            self.error_at(path, "METRICS does not name this metric", help.as_deref());
            return None;
        }
        let text = value.map_or("", Scalar::as_str);
        match text.parse::<f64>() {
            Ok(tolerance) if tolerance.is_finite() && tolerance >= 0.0 => Some(tolerance),
            _ => {
                self.error_at(path, format!("expected a number of at least 0, got \"{text}\""), None);
                None
            }
        }
    }
}
