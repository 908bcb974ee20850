//! Options of the original's argument parser that have no row in the table: a case that gives one is a true case of the
//! original's and no mistake, and cannot run here, unless the option is of training.

use std::sync::LazyLock;

use super::{FlagSpec, Support, ValueType};

/// Names, sorted by byte, without those of the table: what `add_argument` names in `megatron/training/arguments.py` and the fields of the
/// dataclasses that it makes options of, in the wheels of Megatron Core 0.17.1, 0.18.2 and 0.19.2.
const NAMES: &str = include_str!("upstream.txt");

/// Why a case that gives another is skipped, whichever it is.
pub const NO_COUNTERPART: &str = "an option of Megatron-LM that has no counterpart here";

/// What the names of options begin with that steer optimisers, training data, the writing of checkpoints, logs, and watching
/// over processes: they change nothing here, and cases carry them along.
const OF_TRAINING: [&str; 87] = [
    "--accumulate-allreduce-grads",
    "--adam-",
    "--adlr-autoresume",
    "--app-tag-",
    "--async-save",
    "--async-strategy",
    "--calc-ft-timeouts",
    "--calculate-per-token-loss",
    "--check-for-",
    "--check-weight-hash-",
    "--clip-grad",
    "--cross-entropy-",
    "--data-args-path",
    "--data-cache-path",
    "--data-path",
    "--dataloader-",
    "--ddp-",
    "--decoupled-",
    "--dist-ckpt-workers",
    "--distributed-timeout-",
    "--enable-ft-package",
    "--end-weight-decay",
    "--eod-mask-loss",
    "--eval-",
    "--exit-interval",
    "--exit-signal",
    "--exp-avg-",
    "--finetune",
    "--flight-recorder-",
    "--fp16-lm-cross-entropy",
    "--ft-num-warmup",
    "--grad-reduce-in-bf16",
    "--hysteresis",
    "--initial-loss-scale",
    "--iterations-to-skip",
    "--log-",
    "--logging-level",
    "--loss-scale",
    "--lr-",
    "--main-grads-dtype",
    "--main-params-dtype",
    "--manual-gc",
    "--memory-snapshot-path",
    "--min-loss-scale",
    "--min-lr",
    "--muon-",
    "--no-check-for-nan",
    "--no-ckpt-fully-parallel-save",
    "--no-flight-recorder-",
    "--no-gradient-reduce-div",
    "--no-log-loss-scale",
    "--no-manual-gc-eval",
    "--no-mmap-bin-files",
    "--no-one-logger",
    "--no-save-rng",
    "--non-persistent-",
    "--nvtx-ranges",
    "--one-logger-",
    "--optimizer",
    "--overlap-grad-reduce",
    "--overlap-param-gather",
    "--override-opt",
    "--profile",
    "--pytorch-profiler-",
    "--rampup-batch-size",
    "--record-memory-history",
    "--recompute-",
    "--rerun-mode",
    "--save",
    "--sgd-momentum",
    "--skip-train",
    "--split",
    "--start-weight-decay",
    "--straggler-",
    "--tensorboard-",
    "--timing-log-option",
    "--train-data-path",
    "--train-samples",
    "--train-sync-interval",
    "--use-checkpoint-opt",
    "--use-persistent-ckpt-worker",
    "--use-precision-aware-optimizer",
    "--use-pytorch-profiler",
    "--valid-data-path",
    "--validation-set-names",
    "--wandb-",
    "--weight-decay",
];

const TRAINING: &str = "concerns training, its checkpoints and its logs only";

/// One row for each name. Their types are not known here, so that their values are not looked at.
pub(super) fn flags() -> &'static [FlagSpec] {
    static FLAGS: LazyLock<Vec<FlagSpec>> = LazyLock::new(|| NAMES.lines().map(row).collect());
    &FLAGS
}

fn row(name: &'static str) -> FlagSpec {
    let meaning = "see Megatron-LM's arguments.py";
    let support = if OF_TRAINING.iter().any(|start| name.starts_with(start)) {
        Support::Irrelevant(TRAINING)
    } else {
        Support::NotYet(NO_COUNTERPART)
    };
    FlagSpec { name, value: ValueType::Anything, default: None, meaning, support }
}

#[cfg(test)]
mod tests {
    use super::super::{all, find};
    use super::*;

    #[test]
    fn no_name_is_in_the_table_too() {
        for flag in all() {
            assert!(!flags().iter().any(|upstream| upstream.name == flag.name), "{}", flag.name);
        }
    }

    #[test]
    fn every_beginning_of_a_name_begins_one() {
        for start in OF_TRAINING {
            assert!(NAMES.lines().any(|name| name.starts_with(start)), "{start}");
        }
        let support = |name| find(name).unwrap().support;
        assert_eq!(support("--no-check-for-nan-in-loss-and-grad"), Support::Irrelevant(TRAINING));
        assert_eq!(support("--multi-latent-attention"), Support::NotYet(NO_COUNTERPART));
    }

    #[test]
    fn names_are_sorted_and_found() {
        assert!(flags().is_sorted_by(|a, b| a.name < b.name));
        assert!(flags().iter().all(|flag| find(flag.name).is_some_and(|found| std::ptr::eq(found, flag))));
    }
}
