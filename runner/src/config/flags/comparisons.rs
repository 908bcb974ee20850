//! Flags with which the original's scripts compare two runs of their own, inside one process: what they check is no
//! metric of a golden, so that a case that gives one is not run here.

use super::ValueType::{Integer, Switch, Words};
use super::{FlagSpec, ValueType, not_yet};

const PREFIXES: &str = "the original's comparison of runs with and without prefix caching is not implemented";
const SCHEDULES: &str = "the original's comparison of its two schedules is not implemented";

const fn prefixes(name: &'static str, value: ValueType, meaning: &'static str) -> FlagSpec {
    not_yet(name, value, None, meaning, PREFIXES)
}

const fn schedules(name: &'static str, value: ValueType, meaning: &'static str) -> FlagSpec {
    not_yet(name, value, None, meaning, SCHEDULES)
}

pub(super) const FLAGS: &[FlagSpec] = &[
    prefixes("--prefix-cache-compare", Switch, "run without the cache first, then with it"),
    prefixes("--prefix-cache-compare-allow-no-prefill-skip", Switch, "hits need not save work"),
    prefixes(
        "--prefix-cache-stress-groups",
        Integer(0),
        "groups of equal long prompts in the place of the case's",
    ),
    prefixes("--prefix-cache-stress-copies", Integer(0), "requests of each group"),
    prefixes("--prefix-cache-stress-prompt-tokens", Integer(0), "length of their prompts"),
    prefixes("--prefix-cache-stress-staged", Switch, "the first of a group before the others"),
    prefixes(
        "--prefix-cache-stress-prompt-logprob-bypass",
        Switch,
        "the last of a group wants prompt logprobs",
    ),
    prefixes("--prefix-cache-generation-epoch-per-cycle", Switch, "a new generation epoch before each cycle"),
    prefixes("--prefix-cache-lifecycle-modes", Words, "what becomes of the cache between cycles"),
    schedules(
        "--compare-async-sched-modes",
        Switch,
        "run by the legacy schedule, then by the asynchronous one",
    ),
    schedules("--async-sched-min-steps", Integer(0), "asynchronous steps there must be"),
    schedules("--async-sched-min-compactions", Integer(0), "compactions there must be"),
    schedules("--async-sched-require-prefix-cache-hit", Switch, "a cached prefix must be hit"),
    schedules("--async-sched-require-cuda-graph", Switch, "a graph must be replayed"),
    schedules("--async-sched-require-early-stop", Switch, "a request must end early"),
    schedules("--async-sched-add-bos", Switch, "prompts begin with the first-token mark"),
    schedules("--async-sched-use-total-length", Switch, "lengths count the prompt"),
    schedules("--async-sched-mixed-stop-retention", Switch, "some requests keep their stop word"),
];
