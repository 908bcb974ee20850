//! Which metrics a case compares, and how far they may stray.

use crate::config::{KeyPath, Scalar, suggestion};

use super::case_plan::Origin;
use super::resolution::Resolution;

/// A metric that METRICS may name.
#[derive(Clone, Copy, Debug)]
pub struct MetricSpec {
    /// Key in the golden file.
    pub name: &'static str,
    /// What is compared.
    pub meaning: &'static str,
    /// Why this version cannot compare it, if it cannot.
    pub not_yet: Option<&'static str>,
}

const fn metric(name: &'static str, meaning: &'static str) -> MetricSpec {
    MetricSpec { name, meaning, not_yet: None }
}

/// Every metric that METRICS may name.
pub const METRICS: &[MetricSpec] = &[
    metric("generated_tokens", "ids of each request's output, exactly"),
    metric("generated_text", "text of each request's output"),
    metric("logprobs", "logprobs of each request's prompt and output"),
    metric("throughput", "tokens per second of each request; the median is compared"),
    metric("efficiency", "share of the machine's possible speed that was reached"),
    metric("output_throughput", "output tokens per second, all requests together"),
    metric("goodput", "requests per second that met all objectives"),
    metric("mem-max-allocated-bytes", "peak memory"),
    MetricSpec {
        name: "routing_indices",
        meaning: "experts that the router chose",
        not_yet: Some("mixture of experts is not implemented yet"),
    },
    MetricSpec {
        name: "lifetime_prefill_token_count",
        meaning: "prompt tokens computed over an engine's life",
        not_yet: Some("the original's own comparison of it fails on every value"),
    },
];

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
            self.error_at(path, "is empty: a case that checks nothing cannot pass", Some(help));
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

    fn check_metric(&mut self, name: &str, at: KeyPath) -> bool {
        match METRICS.iter().find(|metric| metric.name == name) {
            Some(MetricSpec { not_yet: None, .. }) => true,
            Some(MetricSpec { not_yet: Some(reason), .. }) => {
                self.obstacle(format!("METRICS {name}: {reason}"));
                false
            }
            None => {
                let names = METRICS.iter().map(|metric| metric.name);
                let help = suggestion(name, names.clone())
                    .unwrap_or_else(|| format!("known metrics: {}", names.collect::<Vec<_>>().join(", ")));
                self.error_at(at, format!("unknown metric \"{name}\""), Some(&help));
                false
            }
        }
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
                    &format!("TOLERANCES.{name}"),
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
        // A platform with METRICS of its own need not compare what the case's own tolerances speak of.
        if origin == Origin::Platform && !metrics.iter().any(|metric| metric == name) && !metrics.is_empty() {
            let help = suggestion(name, metrics.iter().map(String::as_str));
            self.error_at(path, "METRICS does not name this metric", help.as_deref());
            return None;
        }
        if !METRICS.iter().any(|metric| metric.name == name) {
            let help = suggestion(name, METRICS.iter().map(|metric| metric.name));
            self.error_at(path, "unknown metric", help.as_deref());
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
