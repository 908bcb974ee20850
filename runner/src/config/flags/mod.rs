//! The one table of command-line flags a case may give under MODEL_ARGS: name, type, default, meaning, and what
//! Goldlap does with it. The planner, `explain` and the JSON Schema all read it.

mod architecture;
mod comparisons;
mod engine;
mod goldlap;
mod loading;
mod numerics;
mod parallel;
mod removed;
mod requests;
mod training;
mod upstream;
mod value;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::diagnostic::suggestion;

pub use upstream::NO_COUNTERPART;
pub use value::{FlagValue, ValueType};

/// One flag.
#[derive(Debug)]
pub struct FlagSpec {
    /// With its dashes: `--top_k`.
    pub name: &'static str,
    /// What its value must be.
    pub value: ValueType,
    /// Value when the flag is absent, as it would be written; `None` = off, or decided by other flags.
    pub default: Option<&'static str>,
    /// What it means, in one line.
    pub meaning: &'static str,
    /// What Goldlap does with it.
    pub support: Support,
}

/// What Goldlap does with a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Decides what the run does.
    Used,
    /// Accepted; changes nothing here, for this reason.
    Irrelevant(&'static str),
    /// Would change results, and this version lacks it: a case that gives it another value than the default is skipped.
    NotYet(&'static str),
    /// Gone from Megatron-LM; accepted for old files, changes nothing, for this reason.
    Removed(&'static str),
}

const SECTIONS: [&[FlagSpec]; 10] = [
    requests::FLAGS,
    comparisons::FLAGS,
    engine::FLAGS,
    architecture::FLAGS,
    loading::FLAGS,
    parallel::FLAGS,
    numerics::FLAGS,
    training::FLAGS,
    removed::FLAGS,
    goldlap::FLAGS,
];

/// Every flag, section by section.
pub fn all() -> impl Iterator<Item = &'static FlagSpec> {
    SECTIONS.into_iter().flatten()
}

/// The flag of that name, be it one of the original's that has no row of its own.
pub fn find(name: &str) -> Option<&'static FlagSpec> {
    static BY_NAME: LazyLock<HashMap<&str, &FlagSpec>> =
        LazyLock::new(|| upstream::flags().iter().chain(all()).map(|flag| (flag.name, flag)).collect());
    BY_NAME.get(name).copied()
}

/// Advice about a name that is not in the table.
pub fn advice(name: &str) -> Option<String> {
    let dashed = format!("--{}", name.trim_start_matches('-'));
    match find(&dashed) {
        Some(flag) => Some(format!("did you mean {}?", flag.name)),
        None => suggestion(&dashed, all().map(|flag| flag.name)),
    }
}

const fn used(
    name: &'static str,
    value: ValueType,
    default: Option<&'static str>,
    meaning: &'static str,
) -> FlagSpec {
    FlagSpec { name, value, default, meaning, support: Support::Used }
}

const fn irrelevant(
    name: &'static str,
    value: ValueType,
    default: Option<&'static str>,
    meaning: &'static str,
    reason: &'static str,
) -> FlagSpec {
    FlagSpec { name, value, default, meaning, support: Support::Irrelevant(reason) }
}

const fn not_yet(
    name: &'static str,
    value: ValueType,
    default: Option<&'static str>,
    meaning: &'static str,
    reason: &'static str,
) -> FlagSpec {
    FlagSpec { name, value, default, meaning, support: Support::NotYet(reason) }
}

const fn removed(
    name: &'static str,
    value: ValueType,
    meaning: &'static str,
    reason: &'static str,
) -> FlagSpec {
    FlagSpec { name, value, default: None, meaning, support: Support::Removed(reason) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_is_complete_and_unique() {
        let mut seen = HashSet::new();
        for flag in all() {
            assert!(seen.insert(flag.name), "{} is twice in the table", flag.name);
            assert!(flag.name.starts_with("--") && !flag.name.contains(char::is_whitespace), "{}", flag.name);
            assert!(!flag.meaning.is_empty() && !flag.meaning.ends_with('.'), "{}", flag.name);
            match flag.support {
                Support::Used => {}
                Support::Irrelevant(reason) | Support::NotYet(reason) | Support::Removed(reason) => {
                    assert!(!reason.is_empty(), "{}", flag.name);
                }
            }
        }
        assert!(seen.len() > 150, "{} flags", seen.len());
    }

    #[test]
    fn every_default_is_a_value_of_its_type() {
        for flag in all() {
            if let Some(default) = flag.default {
                flag.value.parse_text(default).unwrap_or_else(|error| panic!("{}: {error}", flag.name));
            }
            assert!(!(flag.value == ValueType::Switch && flag.default.is_some()), "{}", flag.name);
        }
    }

    #[test]
    fn misspelt_names_get_advice() {
        assert_eq!(advice("--top-k").unwrap(), "did you mean --top_k?");
        assert_eq!(advice("top_k").unwrap(), "did you mean --top_k?");
        assert_eq!(advice("--num-layer").unwrap(), "did you mean --num-layers?");
    }
}
