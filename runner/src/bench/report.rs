//! What passes say together: medians with spread, and shares of what the machine could do. As a table and as JSON.

use std::fmt;

use serde::Serialize;

use super::{Pass, Workload};
use crate::metrics::{MachineLimits, median, roofline_seconds};
use crate::plan::Platform;

/// Median, least and largest of repeated passes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the passes lie below.
    pub median: f64,
    /// The slowest pass.
    pub low: f64,
    /// The fastest pass.
    pub high: f64,
}

/// One line: a phase, its size, its figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// `prefill` or `decode`.
    pub phase: &'static str,
    /// Sequences in a step.
    pub batch: usize,
    /// Prefill: tokens of the prompt. Decode: tokens in each sequence's cache at the start.
    pub context: usize,
    /// Passes measured.
    pub num_passes: usize,
    /// Their figures.
    pub figures: Figures,
}

/// Figures of one phase; all are rates or ratios over the time inside the model's steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Prompt tokens computed, or tokens generated, per second.
    pub tokens_per_second: Spread,
    /// Bytes that the steps had to move at the least (weights once a step, KV cache read and written), per second.
    pub bytes_per_second: f64,
    /// Multiplications and additions per second.
    pub flops_per_second: f64,
    /// `bytes_per_second` over the measured read bandwidth.
    pub share_of_bandwidth: f64,
    /// `flops_per_second` over the measured peak.
    pub share_of_peak: f64,
    /// Least possible time (of each step, the longer of its bytes and its operations) over time taken.
    pub efficiency: f64,
}

/// What the text says of a virtual device.
const VIRTUAL: &str = "\nThe device is virtual: its limits and all rates below are those of an interpreter on this machine's cores.";
/// Everything that was measured. Serialised, it is what `goldlap bench --json` writes: PERFORMANCE.md describes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Version of the format: [`Self::FORMAT`].
    pub format: u32,
    /// Folder or case of the model.
    pub model: String,
    /// Platform. On `vcuda` all rates and limits are those of an interpreter on this machine's cores.
    pub platform: Platform,
    /// What ran the kernels.
    pub device: String,
    /// When, UTC.
    pub at: String,
    /// What the machine sustained around the passes: the cores, or the CUDA device.
    pub machine_limits: MachineLimits,
    /// What was asked for.
    pub workload: Workload,
    /// One row a phase and size.
    pub rows: Vec<Row>,
}

impl Report {
    /// Changes when a field of the JSON changes its meaning or goes; new fields may come any time.
    pub const FORMAT: u32 = 1;
}

impl Spread {
    /// `None` without values.
    pub fn of(values: &[f64]) -> Option<Self> {
        Some(Self {
            median: median(values)?,
            low: values.iter().copied().reduce(f64::min)?,
            high: values.iter().copied().reduce(f64::max)?,
        })
    }
}

impl Row {
    /// `None` without passes.
    pub fn new(
        phase: &'static str,
        batch: usize,
        context: usize,
        passes: &[Pass],
        limits: &MachineLimits,
    ) -> Option<Self> {
        let figures = Figures::of(passes, limits)?;
        Some(Self { phase, batch, context, num_passes: passes.len(), figures })
    }
}

impl Figures {
    /// `None` without passes.
    pub fn of(passes: &[Pass], limits: &MachineLimits) -> Option<Self> {
        let of_each = |value: &dyn Fn(&Pass) -> f64| -> Vec<f64> {
            passes.iter().map(|pass| value(pass) / pass.seconds.max(1e-9)).collect()
        };
        let sum = |pass: &Pass, value: &dyn Fn(u64, u64) -> f64| -> f64 {
            pass.costs.iter().map(|cost| value(cost.weight_bytes + cost.kv_bytes, cost.flops)).sum()
        };
        let bytes_per_second = median(&of_each(&|pass| sum(pass, &|bytes, _| bytes as f64)))?;
        let flops_per_second = median(&of_each(&|pass| sum(pass, &|_, flops| flops as f64)))?;
        let least_time =
            |pass: &Pass| -> f64 { pass.costs.iter().map(|cost| roofline_seconds(cost, limits)).sum() };
        Some(Self {
            tokens_per_second: Spread::of(&of_each(&|pass| pass.tokens as f64))?,
            bytes_per_second,
            flops_per_second,
            share_of_bandwidth: bytes_per_second / limits.read_bytes_per_second,
            share_of_peak: flops_per_second / limits.flops_per_second,
            efficiency: median(&of_each(&least_time))?,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on {} ({}), {}", self.model, self.platform, self.device, self.at)?;
        let MachineLimits { read_bytes_per_second, flops_per_second, num_threads } = self.machine_limits;
        let (who, how, note) = match self.platform {
            Platform::Cpu => ("machine", format!("dot, {num_threads} threads"), ""),
            Platform::Vcuda => ("device", format!("mma, {num_threads} threads"), VIRTUAL),
            Platform::Gpu(_) => ("device", "mma".to_owned(), ""),
        };
        writeln!(
            f,
            "{who}: {:.1} GB/s read, {:.1} GFLOP/s bf16 {how} (measured before and after){note}",
            read_bytes_per_second / 1e9,
            flops_per_second / 1e9
        )?;
        writeln!(
            f,
            "{:<8} {:>5} {:>7} {:>9} {:>19} {:>7} {:>8} {:>6} {:>6} {:>6}",
            "phase",
            "batch",
            "context",
            "tokens/s",
            "(slowest, fastest)",
            "GB/s",
            "GFLOP/s",
            "of BW",
            "of pk",
            "eff."
        )?;
        self.rows.iter().try_for_each(|row| write!(f, "{row}"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { tokens_per_second: Spread { median, low, high }, .. } = self.figures;
        let share = |share: f64| format!("{share:.2}");
        writeln!(
            f,
            "{:<8} {:>5} {:>7} {median:>9.1} {:>19} {:>7.1} {:>8.1} {:>6} {:>6} {:>6}",
            self.phase,
            self.batch,
            self.context,
            format!("({low:.1}, {high:.1})"),
            self.figures.bytes_per_second / 1e9,
            self.figures.flops_per_second / 1e9,
            share(self.figures.share_of_bandwidth),
            share(self.figures.share_of_peak),
            share(self.figures.efficiency)
        )
    }
}

#[cfg(test)]
mod tests {
    use goldlap_kernels::model::step::StepCost;

    use super::*;

    #[test]
    fn figures_are_medians_over_the_time_inside_steps_and_shares_of_the_limits() {
        let cost = StepCost { weight_bytes: 60, kv_bytes: 40, flops: 1000 };
        let pass = |seconds| Pass { seconds, tokens: 8, costs: vec![cost, cost] };
        let limits = MachineLimits { read_bytes_per_second: 400.0, flops_per_second: 8000.0, num_threads: 1 };
        let figures = Figures::of(&[pass(1.0), pass(2.0), pass(4.0)], &limits).unwrap();
        assert_eq!(figures.tokens_per_second, Spread { median: 4.0, low: 2.0, high: 8.0 });
        assert_eq!((figures.bytes_per_second, figures.flops_per_second), (100.0, 1000.0));
        assert_eq!((figures.share_of_bandwidth, figures.share_of_peak), (0.25, 0.125));
        // Each step: max(100 / 400, 1000 / 8000) = 0.25 s, twice, in 2 s.
        assert_eq!(figures.efficiency, 0.25);
        assert_eq!(Figures::of(&[], &limits), None);
    }

    fn report(platform: Platform) -> Report {
        let limits = MachineLimits { read_bytes_per_second: 4e9, flops_per_second: 8e9, num_threads: 2 };
        let cost = StepCost { weight_bytes: 1, kv_bytes: 1, flops: 1 };
        let pass = Pass { seconds: 1.0, tokens: 8, costs: vec![cost] };
        let workload = Workload { prompt: 8, generate: 1, batches: vec![1], context: 8 };
        Report {
            format: Report::FORMAT,
            model: "m".to_owned(),
            platform,
            device: "d".to_owned(),
            at: "now".to_owned(),
            machine_limits: limits,
            workload,
            rows: Row::new("prefill", 1, 8, &[pass], &limits).into_iter().collect(),
        }
    }

    /// Programs read these names: a change is a new `format`.
    #[test]
    fn the_json_has_the_documented_fields() {
        let json = serde_json::to_value(report(Platform::Vcuda)).unwrap();
        let names = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        let top = ["format", "model", "platform", "device", "at", "machine_limits", "workload", "rows"];
        assert_eq!(names(&json), top);
        assert_eq!((&json["format"], &json["platform"]), (&1.into(), &"vcuda".into()));
        let limits = ["read_bytes_per_second", "flops_per_second", "num_threads"];
        assert_eq!(names(&json["machine_limits"]), limits);
        assert_eq!(names(&json["workload"]), ["prompt", "generate", "batches", "context"]);
        let row = &json["rows"][0];
        assert_eq!(names(row), ["phase", "batch", "context", "num_passes", "figures"]);
        let rates = ["tokens_per_second", "bytes_per_second", "flops_per_second"];
        let shares = ["share_of_bandwidth", "share_of_peak", "efficiency"];
        assert_eq!(names(&row["figures"]), [rates, shares].concat());
        assert_eq!(names(&row["figures"]["tokens_per_second"]), ["median", "low", "high"]);
    }

    #[test]
    fn a_virtual_devices_rates_are_called_an_interpreters() {
        assert!(report(Platform::Vcuda).to_string().contains("interpreter"));
        let gpu = report(Platform::Gpu("h100x1".to_owned())).to_string();
        assert!(!gpu.contains("interpreter") && gpu.contains("device: 4.0 GB/s read, 8.0 GFLOP/s bf16 mma"));
        assert!(report(Platform::Cpu).to_string().contains("machine: 4.0 GB/s read"));
    }
}
