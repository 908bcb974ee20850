//! Options of the original's argument parser that have no row in the table: a case that gives one is a true case of the
//! original's and no mistake, and cannot run here.

use std::sync::LazyLock;

use super::{FlagSpec, Support, ValueType};

/// Names, sorted by byte, without those of the table: what `add_argument` names in `megatron/training/arguments.py` and the fields of the
/// dataclasses that it makes options of, in the wheels of Megatron Core 0.17.1, 0.18.2 and 0.19.2.
const NAMES: &str = include_str!("upstream.txt");

/// Why a case that gives one is skipped, whichever it is.
pub const NO_COUNTERPART: &str = "an option of Megatron-LM that has no counterpart here";

/// One row for each name. Their types are not known here, so that their values are not looked at.
pub(super) fn flags() -> &'static [FlagSpec] {
    static FLAGS: LazyLock<Vec<FlagSpec>> = LazyLock::new(|| NAMES.lines().map(row).collect());
    &FLAGS
}

fn row(name: &'static str) -> FlagSpec {
    let meaning = "see Megatron-LM's arguments.py";
    FlagSpec {
        name,
        value: ValueType::Anything,
        default: None,
        meaning,
        support: Support::NotYet(NO_COUNTERPART),
    }
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
    fn names_are_sorted_and_found() {
        assert!(flags().is_sorted_by(|a, b| a.name < b.name));
        assert!(flags().iter().all(|flag| find(flag.name).is_some_and(|found| std::ptr::eq(found, flag))));
    }
}
