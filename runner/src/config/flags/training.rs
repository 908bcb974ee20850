//! Flags of training and logging that inference cases carry along.

use super::ValueType::{Integer, Number, Switch, Text, Words};
use super::{FlagSpec, irrelevant};

const TRAINING: &str = "concerns training only";
const LOGGING: &str = "concerns the original's logs; a run's record holds every measurement";
const EVAL: &str = "dropout is off in inference";

pub(super) const FLAGS: &[FlagSpec] = &[
    irrelevant("--micro-batch-size", Integer(1), None, "training batch per rank", TRAINING),
    irrelevant("--global-batch-size", Integer(1), None, "training batch over all ranks", TRAINING),
    irrelevant("--log-interval", Integer(1), Some("100"), "log every n-th iteration", LOGGING),
    irrelevant("--log-memory-to-tensorboard", Switch, None, "log memory", LOGGING),
    irrelevant("--log-num-zeros-in-grad", Switch, None, "log zero gradients", LOGGING),
    irrelevant("--log-validation-ppl-to-tensorboard", Switch, None, "log perplexity", LOGGING),
    irrelevant("--log-timers-to-tensorboard", Switch, None, "log timers", LOGGING),
    irrelevant("--log-params-norm", Switch, None, "log the norm of the weights", LOGGING),
    irrelevant("--log-throughput", Switch, None, "log throughput", LOGGING),
    irrelevant("--log-progress", Switch, None, "log progress", LOGGING),
    irrelevant("--log-world-size-to-tensorboard", Switch, None, "log the number of ranks", LOGGING),
    irrelevant("--timing-log-level", Integer(0), Some("0"), "detail of timers", LOGGING),
    irrelevant("--tensorboard-dir", Text, None, "folder of logs", LOGGING),
    irrelevant("--num-workers", Integer(0), Some("2"), "processes that load data", TRAINING),
    irrelevant("--save-interval", Integer(1), None, "iterations between checkpoints", TRAINING),
    irrelevant("--eval-interval", Integer(1), None, "iterations between evaluations", TRAINING),
    irrelevant("--eval-iters", Integer(0), None, "iterations of an evaluation", TRAINING),
    irrelevant("--train-iters", Integer(0), None, "iterations", TRAINING),
    irrelevant(
        "--exit-duration-in-mins",
        Integer(0),
        None,
        "stop training after this",
        "TIME_LIMIT_S limits a case",
    ),
    irrelevant(
        "--max-tokens-to-oom",
        Integer(1),
        None,
        "limit of the original's old server",
        "belongs to the original's old server",
    ),
    irrelevant("--use-mcore-models", Switch, None, "Megatron Core's models", "ignored by the original too"),
    irrelevant("--attention-dropout", Number, Some("0.1"), "dropout of attention", EVAL),
    irrelevant("--hidden-dropout", Number, Some("0.1"), "dropout of the residual stream", EVAL),
    irrelevant("--moe-aux-loss-coeff", Number, None, "weight of the balancing loss", TRAINING),
    irrelevant("--moe-z-loss-coeff", Number, None, "weight of the router's z-loss", TRAINING),
    irrelevant(
        "--moe-router-load-balancing-type",
        Words,
        Some("aux_loss"),
        "how training balances experts",
        TRAINING,
    ),
    irrelevant(
        "--no-create-attention-mask-in-dataloader",
        Switch,
        None,
        "no mask from the data loader",
        TRAINING,
    ),
    irrelevant("--ckpt-fully-parallel-save", Switch, None, "share out the writing", TRAINING),
    irrelevant("--dist-ckpt-optim-fully-reshardable", Switch, None, "layout of optimiser state", TRAINING),
    irrelevant("--no-gradient-accumulation-fusion", Switch, None, "unfused gradients", TRAINING),
    irrelevant("--use-distributed-optimizer", Switch, None, "share out the optimiser", TRAINING),
    irrelevant("--lr", Number, None, "learning rate", TRAINING),
    irrelevant("--no-save-optim", Switch, None, "no optimiser state in checkpoints", TRAINING),
    irrelevant("--mock-data", Switch, None, "made-up training data", TRAINING),
];
