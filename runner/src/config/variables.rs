//! `${NAME}` and `$NAME` in values, replaced from an explicit map: no shell, no surprise from the surroundings.

use std::collections::BTreeMap;
use std::path::Path;

use super::diagnostic::suggestion;

/// The variables a case may name, with what they stand for. The first two always have a value.
pub const VARIABLES: [(&str, &str); 8] = [
    ("DATA_PATH", "folder of data sets; by default the folder of the cases"),
    ("FETCHED_MODELS", "folder of models fetched with `cargo xtask fetch-model`"),
    ("CHECKPOINT_LOAD_PATH", "folder of the original's checkpoints"),
    ("CHECKPOINT_SAVE_PATH", "the original's folder for written checkpoints"),
    ("DATA_CACHE_PATH", "the original's cache of data sets"),
    ("INFERENCE_OUTPUT_PATH", "file for the original's output JSON"),
    ("OUTPUT_PATH", "folder for the original's outputs"),
    ("TENSORBOARD_PATH", "the original's folder for TensorBoard files"),
];

/// Values of the variables that cases may name.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    values: BTreeMap<&'static str, String>,
}

/// Why a value could not be completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubstitutionError {
    /// A variable of [`VARIABLES`] without a value here.
    Unset(&'static str),
    /// Not a variable a case may name, or `${` without its end; the text says which.
    Malformed(String),
}

impl Environment {
    /// `lookup` is asked for each of [`VARIABLES`], typically the process environment.
    pub fn new(cases_root: &Path, cache_dir: &Path, lookup: impl Fn(&str) -> Option<String>) -> Self {
        let default = |name: &str| match name {
            "DATA_PATH" => Some(cases_root.display().to_string()),
            "FETCHED_MODELS" => Some(cache_dir.join("models").display().to_string()),
            _ => None,
        };
        let value = |name| lookup(name).filter(|value| !value.is_empty()).or_else(|| default(name));
        Self { values: VARIABLES.iter().filter_map(|&(name, _)| Some((name, value(name)?))).collect() }
    }

    /// The value of one variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The first of [`VARIABLES`] that `text` names.
    pub fn first_variable(text: &str) -> Option<&'static str> {
        text.split('$')
            .skip(1)
            .find_map(|after| Self::known_at_start(after.strip_prefix('{').unwrap_or(after)))
    }

    /// The one of [`VARIABLES`] that `text` begins with, as a whole word.
    fn known_at_start(text: &str) -> Option<&'static str> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        VARIABLES.iter().map(|(known, _)| *known).find(|known| *known == &text[..end])
    }

    /// Replaces every `${NAME}`, and `$NAME` of a variable that a case may name. Any other `$` stays as it is.
    pub fn substitute(&self, text: &str) -> Result<String, SubstitutionError> {
        let mut done = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            done.push_str(before);
            rest = match (after.strip_prefix('{'), Self::known_at_start(after)) {
                (Some(after), _) => {
                    let (name, tail) = after.split_once('}').ok_or_else(|| {
                        SubstitutionError::Malformed(
                            "`${` without a closing brace: expected ${NAME}".to_owned(),
                        )
                    })?;
                    done.push_str(self.value(name)?);
                    tail
                }
                (None, Some(name)) => {
                    done.push_str(self.value(name)?);
                    &after[name.len()..]
                }
                (None, None) => {
                    done.push('$');
                    after
                }
            };
        }
        done.push_str(rest);
        Ok(done)
    }

    fn value(&self, name: &str) -> Result<&str, SubstitutionError> {
        match VARIABLES.iter().find(|(known, _)| *known == name) {
            Some((known, _)) => self.get(known).ok_or(SubstitutionError::Unset(known)),
            None => {
                let names = VARIABLES.iter().map(|(known, _)| *known);
                let advice = suggestion(name, names.clone())
                    .unwrap_or_else(|| format!("a case may name {}", names.collect::<Vec<_>>().join(", ")));
                Err(SubstitutionError::Malformed(format!("unknown variable ${{{name}}}: {advice}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment::new(Path::new("/cases"), Path::new("/cache"), |name| {
            (name == "OUTPUT_PATH").then(|| "/out".into())
        })
    }

    #[test]
    fn known_variables_are_replaced() {
        let environment = environment();
        assert_eq!(environment.substitute("${DATA_PATH}/a${OUTPUT_PATH}").unwrap(), "/cases/a/out");
        assert_eq!(environment.substitute("${FETCHED_MODELS}/m").unwrap(), "/cache/models/m");
        assert_eq!(environment.substitute("$OUTPUT_PATH/a$OUTPUT_PATHS").unwrap(), "/out/a$OUTPUT_PATHS");
        assert_eq!(environment.substitute("costs $5 or $HOME").unwrap(), "costs $5 or $HOME");
        assert_eq!(Environment::first_variable("$HOME/${OUTPUT_PATH}/x"), Some("OUTPUT_PATH"));
    }

    #[test]
    fn unset_unknown_and_open_ones_are_told_apart() {
        let environment = environment();
        assert_eq!(
            environment.substitute("${CHECKPOINT_LOAD_PATH}/m"),
            Err(SubstitutionError::Unset("CHECKPOINT_LOAD_PATH"))
        );
        for (text, expected) in [
            ("${CHECKPONT_LOAD_PATH}", "did you mean CHECKPOINT_LOAD_PATH?"),
            ("${x", "closing brace"),
            ("${}", "a case may name"),
        ] {
            let Err(SubstitutionError::Malformed(error)) = environment.substitute(text) else {
                panic!("{text}")
            };
            assert!(error.contains(expected), "{error}");
        }
    }
}
