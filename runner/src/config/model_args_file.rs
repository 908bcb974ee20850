//! `MODEL.args` of a performance case: the model's command-line arguments, one or more to a line, `#` before comments.

use std::path::{Path, PathBuf};

use super::entries::Entries;
use super::scalar::Scalar;

/// Folders above a case in which its `MODEL.args` is looked for, the case's own among them. Upstream the file lies in
/// `server/model_args` beside `test_cases`, three folders up.
const MOST_FOLDERS: usize = 5;
/// Where in each of them.
const PLACES: [&str; 3] = ["", "model_args", "server/model_args"];

/// The arguments of a model.
#[derive(Clone, Debug, Default)]
pub struct ModelArgs {
    /// The file.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
    /// Flag -> value, as MODEL_ARGS of a functional case has them.
    pub entries: Entries<Option<Scalar>>,
}

impl ModelArgs {
    /// Looks for `model`.args around the case's file and reads it.
    pub fn find(case_file: &Path, model: &str) -> Result<Self, String> {
        let is_name = !model.is_empty() && !model.starts_with('.') && !model.contains(['/', '\\']);
        if !is_name {
            return Err(format!("expected the name of a model, as in MODEL.args, got {model:?}"));
        }
        let name = format!("{model}.args");
        let case_file = std::path::absolute(case_file).map_err(|error| error.to_string())?;
        let folders = case_file.ancestors().skip(1).take(MOST_FOLDERS);
        let candidates = folders.flat_map(|folder| PLACES.map(|place| folder.join(place).join(&name)));
        let Some(path) = candidates.into_iter().find(|path| path.is_file()) else {
            let places = "it is looked for in the case's folder and the four above it, and in model_args and \
                          server/model_args of each";
            return Err(format!("{name} is not there: {places}"));
        };
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let entries = parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path, text, entries })
    }
}

/// A word that begins with `--` is a flag, the words up to the next one are its value.
fn parse(text: &str) -> Result<Entries<Option<Scalar>>, String> {
    let mut flags: Vec<(String, Vec<&str>)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
        for word in words {
            if flags.iter().any(|(flag, _)| flag == word) {
                return Err(format!("line {number}: {word} is given twice: keep one of the two"));
            }
            match (word.strip_prefix("--"), flags.last_mut()) {
                (Some(_), _) => flags.push((word.to_owned(), Vec::new())),
                (None, Some((_, values))) => values.push(word),
                (None, None) => return Err(format!("line {number}: expected a flag, got {word:?}")),
            }
        }
    }
    let value = |words: Vec<&str>| match words.as_slice() {
        [] => "true".to_owned(),
        [one] => (*one).to_owned(),
        many => format!("[{}]", many.join(" ")),
    };
    Ok(Entries(flags.into_iter().map(|(flag, words)| (flag, Some(Scalar(value(words))))).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_flags_and_values() {
        let text = "# a model\n--bf16\n--num-layers 2 --load ${CHECKPOINT_LOAD_PATH}/m # here\n--prompts a b\n\n--seed\n -1\n";
        let entries = parse(text).unwrap();
        let read: Vec<_> =
            entries.iter().map(|(flag, value)| (flag, value.as_ref().unwrap().as_str())).collect();
        assert_eq!(
            read,
            [
                ("--bf16", "true"),
                ("--num-layers", "2"),
                ("--load", "${CHECKPOINT_LOAD_PATH}/m"),
                ("--prompts", "[a b]"),
                ("--seed", "-1")
            ]
        );
        assert_eq!(parse("2").unwrap_err(), "line 1: expected a flag, got \"2\"");
        assert_eq!(parse("--a\n--a 1").unwrap_err(), "line 2: --a is given twice: keep one of the two");
    }

    #[test]
    fn the_file_is_found_where_upstream_has_it() {
        let root = tempfile::tempdir().unwrap();
        let case = root.path().join("test_cases/gpt/x/model_config.yaml");
        let args = root.path().join("server/model_args/m.args");
        for file in [&case, &args] {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        }
        assert!(ModelArgs::find(&case, "m").unwrap_err().starts_with("m.args is not there: "));
        std::fs::write(&args, "--bf16").unwrap();
        assert_eq!(ModelArgs::find(&case, "m").unwrap().entries.iter().count(), 1);
        for name in ["", "../m", ".m"] {
            assert!(
                ModelArgs::find(&case, name).unwrap_err().contains("expected the name of a model"),
                "{name}"
            );
        }
    }
}
