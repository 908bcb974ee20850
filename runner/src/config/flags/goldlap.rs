//! Flags that are Goldlap's own, or that Goldlap uses where Megatron's inference does not.

use super::ValueType::{Integer, Number};
use super::{FlagSpec, used};

pub(super) const FLAGS: &[FlagSpec] = &[
    used(
        "--init-method-std",
        Number,
        Some("0.02"),
        "standard deviation of random weights, where there is no --load",
    ),
    used(
        "--num-tokens-to-generate-max",
        Integer(1),
        None,
        "Goldlap's own: caps the output length of every request",
    ),
    used(
        "--num-tokens-to-prompt-max",
        Integer(1),
        None,
        "Goldlap's own: cuts every prompt to so many tokens",
    ),
    used(
        "--inference-num-threads",
        Integer(1),
        None,
        "Goldlap's own: threads of a replica; default: its share of the cores",
    ),
];
