//! Flags of parallelism and launch.

use super::ValueType::{Choice, Integer, Switch};
use super::{FlagSpec, irrelevant, not_yet, used};

pub(super) const FLAGS: &[FlagSpec] = &[
    used("--tensor-model-parallel-size", Integer(1), Some("1"), "ranks that share each layer"),
    used("--pipeline-model-parallel-size", Integer(1), Some("1"), "ranks that share the stack of layers"),
    not_yet(
        "--expert-model-parallel-size",
        Integer(1),
        Some("1"),
        "ranks that share the experts",
        "expert parallelism is not implemented yet",
    ),
    irrelevant(
        "--expert-tensor-parallel-size",
        Integer(1),
        None,
        "ranks that share each expert",
        "has an effect with --num-experts only",
    ),
    not_yet(
        "--context-parallel-size",
        Integer(1),
        Some("1"),
        "ranks that share a sequence",
        "context parallelism is not implemented yet",
    ),
    irrelevant(
        "--sequence-parallel",
        Switch,
        None,
        "split norms over tensor-parallel ranks",
        "has an effect with tensor parallelism only",
    ),
    irrelevant(
        "--distributed-backend",
        Choice(&["nccl", "gloo", "nccl2"]),
        Some("nccl"),
        "library for collectives",
        "replicas share no collectives: they meet at the coordinator",
    ),
    irrelevant(
        "--inference-fuse-tp-communication",
        Switch,
        None,
        "fuse collectives into kernels",
        "has an effect with tensor parallelism only",
    ),
];
