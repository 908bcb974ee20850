//! The flags of one case on one platform: platform overrides merged, names looked up, values typed.

use crate::config::flags::{self, FlagSpec, FlagValue, ValueType};
use crate::config::{Entries, Environment, KeyPath, Part, RawCase, Scalar, SubstitutionError};

use super::case_plan::Origin;
use super::resolution::Problem;

/// One flag as given.
#[derive(Debug)]
pub(super) struct Argument {
    pub(super) flag: &'static FlagSpec,
    pub(super) value: ArgumentValue,
    /// As the file spells it.
    pub(super) spelling: String,
    pub(super) path: KeyPath,
    pub(super) origin: Origin,
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
}

type RawArgs = Entries<Option<Scalar>>;

/// Merges, looks up and types all flags. Problems are added to `problems`; a flag with a problem is left out.
pub(super) fn merge(
    case: &RawCase,
    platform: &str,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Vec<Argument> {
    let none = RawArgs::default();
    let common = case.model_args.as_ref().unwrap_or(&none);
    let overrides =
        case.platforms.as_ref().and_then(|all| all.get(platform)).and_then(|o| o.model_args.as_ref());
    let overrides = overrides.unwrap_or(&none);
    let common_path = KeyPath::new(&["MODEL_ARGS"]);
    let override_path = KeyPath::new(&["PLATFORMS", platform, "MODEL_ARGS"]);

    let mut arguments = Vec::with_capacity(common.0.len() + overrides.0.len());
    for (name, value) in common.iter() {
        let argument =
            read(name, value.as_ref(), common_path.child(name), Origin::Case, environment, problems);
        if overrides.get(name).is_none() {
            arguments.extend(argument);
        }
    }
    for (name, value) in overrides.iter() {
        let path = override_path.child(name);
        match value {
            None if common.get(name).is_some() => {}
            None => problems.push(Problem {
                path,
                part: Part::Value,
                message: "null removes a flag, and MODEL_ARGS has no such flag".to_owned(),
                help: None,
            }),
            Some(_) => {
                arguments.extend(read(name, value.as_ref(), path, Origin::Platform, environment, problems))
            }
        }
    }
    arguments
}

fn read(
    name: &str,
    value: Option<&Scalar>,
    path: KeyPath,
    origin: Origin,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Option<Argument> {
    let Some(flag) = flags::find(name) else {
        problems.push(Problem {
            path,
            part: Part::Key,
            message: "unknown flag".to_owned(),
            help: flags::advice(name),
        });
        return None;
    };
    let Some(value) = value else {
        let message = format!("expected {}, got nothing", flag.value);
        problems.push(Problem { path, part: Part::Value, message, help: flag.value.advice("") });
        return None;
    };
    match type_value(flag, value.as_str(), environment) {
        Ok(typed) => Some(Argument { flag, value: typed, spelling: value.0.clone(), path, origin }),
        Err(message) => {
            problems.push(Problem {
                path,
                part: Part::Value,
                message,
                help: flag.value.advice(value.as_str()),
            });
            None
        }
    }
}

fn type_value(flag: &FlagSpec, text: &str, environment: &Environment) -> Result<ArgumentValue, String> {
    let text = match environment.substitute(text) {
        Ok(text) => text,
        Err(SubstitutionError::Unset(variable)) if flag.value == ValueType::Path => {
            return Ok(ArgumentValue::Unset(variable));
        }
        Err(SubstitutionError::Unset(variable)) => return Err(format!("the variable {variable} is not set")),
        Err(SubstitutionError::Malformed(message)) => return Err(message),
    };
    let value = flag.value.parse_text(&text)?;
    Ok(value.map_or(ArgumentValue::Dropped, ArgumentValue::Known))
}
