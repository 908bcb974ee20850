//! The flags of one case on one platform: platform overrides merged, names looked up, values typed.

use std::collections::HashMap;

use crate::config::flags::{self, FlagSpec, FlagValue, ValueType};
use crate::config::{Entries, Environment, KeyPath, Part, RawCase, Scalar, SubstitutionError};

use super::case_plan::Origin;
use super::resolution::Problem;

/// One flag as given.
#[derive(Debug)]
pub(super) struct Argument<'a> {
    pub(super) flag: &'static FlagSpec,
    pub(super) value: ArgumentValue,
    /// As the file spells it.
    pub(super) spelling: &'a str,
    /// The entry of PLATFORMS that gives it, if one does.
    platform: Option<&'a str>,
}

/// Its value.
#[derive(Debug)]
pub(super) enum ArgumentValue {
    /// Complete and of the flag's type.
    Known(FlagValue),
    /// Empty: the original drops such an entry.
    Dropped,
    /// A path that names a variable without a value here.
    Unset(&'static str),
    /// Wrong, and reported.
    Broken,
    /// Null under PLATFORMS: taken away.
    Removed,
}

type RawArgs = Entries<Option<Scalar>>;

/// Merges, looks up and types all flags, those of other platforms included, whose mistakes would otherwise show
/// on another machine only. Problems are added to `problems`; a flag with a wrong value is marked as broken.
pub(super) fn merge<'a>(
    case: &'a RawCase,
    platform: &str,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Vec<Argument<'a>> {
    let mut read_all = |args: &'a RawArgs, platform: Option<&'a str>| -> Vec<Argument<'a>> {
        let read_one = |(name, value): (&str, &'a Option<Scalar>)| {
            read(name, value.as_ref(), platform, environment, problems)
        };
        args.iter().filter_map(read_one).collect()
    };
    let mut arguments = case.model_args.as_ref().map_or_else(Vec::new, |args| read_all(args, None));
    drop_overruled(&mut arguments);
    for (name, special) in case.platforms.iter().flat_map(|all| all.iter()) {
        let Some(overrides) = &special.model_args else { continue };
        let replacements = read_all(overrides, Some(name));
        if name == platform {
            arguments.retain(|argument| overrides.get(argument.flag.name).is_none());
            arguments.extend(replacements.into_iter().filter(|argument| !argument.is_removal()));
        }
    }
    check_removals(case, problems);
    arguments
}

impl Argument<'_> {
    /// Where the file gives it.
    pub(super) fn path(&self) -> KeyPath {
        path_of(self.flag.name, self.platform)
    }

    /// Who gives it.
    pub(super) fn origin(&self) -> Origin {
        if self.platform.is_some() { Origin::Platform } else { Origin::Case }
    }

    /// The value, if there is one.
    pub(super) fn known(&self) -> Option<&FlagValue> {
        match &self.value {
            ArgumentValue::Known(value) => Some(value),
            ArgumentValue::Dropped
            | ArgumentValue::Unset(_)
            | ArgumentValue::Broken
            | ArgumentValue::Removed => None,
        }
    }

    /// A null under PLATFORMS, which takes the flag away.
    fn is_removal(&self) -> bool {
        matches!(self.value, ArgumentValue::Removed)
    }
}

/// Of a flag given twice, the original's parser takes the last.
fn drop_overruled(arguments: &mut Vec<Argument<'_>>) {
    let last: HashMap<&str, usize> =
        arguments.iter().enumerate().map(|(index, argument)| (argument.flag.name, index)).collect();
    if last.len() < arguments.len() {
        let mut index = 0..;
        arguments.retain(|argument| index.next() == last.get(argument.flag.name).copied());
    }
}

/// A null that removes nothing is a misspelling or a leftover.
fn check_removals(case: &RawCase, problems: &mut Vec<Problem>) {
    for (platform, special) in case.platforms.iter().flat_map(|all| all.iter()) {
        for (name, value) in special.model_args.iter().flat_map(|args| args.iter()) {
            let common = case.model_args.as_ref().is_some_and(|args| args.get(name).is_some());
            if value.is_none() && !common && flags::find(name).is_some() {
                problems.push(Problem {
                    path: path_of(name, Some(platform)),
                    part: Part::Value,
                    message: "null removes a flag, and MODEL_ARGS has no such flag".to_owned(),
                    help: None,
                    only_here: false,
                });
            }
        }
    }
}

fn path_of(flag: &str, platform: Option<&str>) -> KeyPath {
    match platform {
        Some(platform) => KeyPath::new(&["PLATFORMS", platform, "MODEL_ARGS", flag]),
        None => KeyPath::new(&["MODEL_ARGS", flag]),
    }
}

fn read<'a>(
    name: &str,
    value: Option<&'a Scalar>,
    platform: Option<&'a str>,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Option<Argument<'a>> {
    let path = || path_of(name, platform);
    let Some(flag) = flags::find(name) else {
        let (message, help) = ("unknown flag".to_owned(), flags::advice(name));
        problems.push(Problem { path: path(), part: Part::Key, message, help, only_here: false });
        return None;
    };
    let typed = match value {
        Some(value) => type_value(flag, value.as_str(), environment),
        None if platform.is_some() => Ok(ArgumentValue::Removed),
        None => Err((format!("expected {}, got nothing", flag.value), None)),
    };
    let value_read = typed.unwrap_or_else(|(message, help)| {
        problems.push(Problem { path: path(), part: Part::Value, message, help, only_here: false });
        ArgumentValue::Broken
    });
    let spelling = value.map_or("", Scalar::as_str);
    Some(Argument { flag, value: value_read, spelling, platform })
}

/// What is wrong, and advice.
type Complaint = (String, Option<String>);

fn type_value(flag: &FlagSpec, text: &str, environment: &Environment) -> Result<ArgumentValue, Complaint> {
    if flag.value == ValueType::Anything {
        // The flag skips the case, and whoever reads why need not set the variables of its value first.
        let value = flag.value.parse_text(text).map_err(|message| (message, None))?;
        return Ok(value.map_or(ArgumentValue::Dropped, ArgumentValue::Known));
    }
    let text = match environment.substitute(text) {
        Ok(text) => text,
        Err(SubstitutionError::Unset(variable)) if flag.value == ValueType::Path => {
            return Ok(ArgumentValue::Unset(variable));
        }
        Err(SubstitutionError::Unset(variable)) => {
            return Err((format!("the variable {variable} is not set"), None));
        }
        Err(SubstitutionError::Malformed(message)) => return Err((message, None)),
    };
    let value = flag.value.parse_text(&text).map_err(|message| (message, flag.value.advice(&text)))?;
    Ok(value.map_or(ArgumentValue::Dropped, ArgumentValue::Known))
}
