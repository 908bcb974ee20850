//! Where `goldlap generate` takes its requests from.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use crate::command::CommandError;
use crate::workload::{JsonFault, Tokenizer};

/// Exactly one source.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Prompts {
    /// A prompt as text; may be given several times
    #[arg(long, value_name = "TEXT")]
    prompt: Vec<String>,
    /// A prompt as token ids, comma-separated; may be given several times
    #[arg(long, value_name = "1,2,3")]
    prompt_tokens: Vec<String>,
    /// One JSON object per line: {"prompt": "text"} or {"text": ..} or {"prompt_tokens": [1, 2]}, and optionally "num_tokens_to_generate"
    #[arg(long, value_name = "FILE.jsonl")]
    requests: Option<PathBuf>,
}

/// One request.
pub(super) struct Request {
    /// As it was given, where it was text.
    pub(super) text: Option<String>,
    pub(super) tokens: Vec<u32>,
    pub(super) num_tokens_to_generate: usize,
}

/// A line of a requests file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(alias = "text")]
    prompt: Option<String>,
    prompt_tokens: Option<Vec<u32>>,
    num_tokens_to_generate: Option<usize>,
}

/// All requests, in order; each has at least one token.
pub(super) fn read_requests(
    prompts: &Prompts,
    tokenizer: &Tokenizer,
    num_tokens_to_generate: usize,
) -> Result<Vec<Request>, CommandError> {
    let from_text = |text: &String, place: &str| text_request(text, place, tokenizer, num_tokens_to_generate);
    let mut requests = Vec::new();
    for text in &prompts.prompt {
        requests.push(from_text(text, "--prompt")?);
    }
    for list in &prompts.prompt_tokens {
        requests.push(Request { text: None, tokens: parse_tokens(list)?, num_tokens_to_generate });
    }
    if let Some(path) = &prompts.requests {
        let content =
            fs::read_to_string(path).map_err(|error| CommandError(format!("{}: {error}", path.display())))?;
        for (number, line) in content.lines().enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            requests.push(line_request(line, &place, tokenizer, num_tokens_to_generate)?);
        }
        if requests.is_empty() {
            return Err(CommandError(format!(
                "{}: expected one request per line, got an empty file",
                path.display()
            )));
        }
    }
    Ok(requests)
}

fn text_request(
    text: &str,
    place: &str,
    tokenizer: &Tokenizer,
    num_tokens_to_generate: usize,
) -> Result<Request, CommandError> {
    let tokens = tokenizer.encode(text).map_err(|error| CommandError(format!("{place}: {error}")))?;
    if tokens.is_empty() {
        return Err(CommandError(format!("{place}: the prompt is empty, expected at least one token")));
    }
    Ok(Request { text: Some(text.to_owned()), tokens, num_tokens_to_generate })
}

fn parse_tokens(list: &str) -> Result<Vec<u32>, CommandError> {
    let parse = |id: &str| {
        id.trim().parse::<u32>().map_err(|_| {
            CommandError(format!(
                "--prompt-tokens: expected token ids separated by commas, got {id:?} in {list:?}"
            ))
        })
    };
    list.split(',').map(parse).collect()
}

fn line_request(
    line: &str,
    place: &str,
    tokenizer: &Tokenizer,
    default_length: usize,
) -> Result<Request, CommandError> {
    if line.trim().is_empty() {
        let text = format!(
            "{place}: blank line: expected an object with \"prompt\" or \"prompt_tokens\"; remove the line"
        );
        return Err(CommandError(text));
    }
    let parsed: Line = serde_json::from_str(line).map_err(|error| {
        let JsonFault { message, column, .. } = JsonFault::from(&error);
        CommandError(format!("{place}:{column}: {message}"))
    })?;
    let length = parsed.num_tokens_to_generate.unwrap_or(default_length);
    match (parsed.prompt, parsed.prompt_tokens) {
        (Some(text), None) => text_request(&text, place, tokenizer, length),
        (None, Some(tokens)) if !tokens.is_empty() => {
            Ok(Request { text: None, tokens, num_tokens_to_generate: length })
        }
        (None, Some(_)) => {
            Err(CommandError(format!("{place}: prompt_tokens is empty, expected at least one id")))
        }
        (Some(_), Some(_)) | (None, None) => {
            Err(CommandError(format!("{place}: expected either \"prompt\" or \"prompt_tokens\"")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::TokenizerPlan;

    fn line(text: &str) -> Result<Request, String> {
        let tokenizer = Tokenizer::load(&TokenizerPlan::BuiltIn).unwrap();
        line_request(text, "r.jsonl:3", &tokenizer, 7).map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_is_text_or_tokens_with_its_own_length_or_the_default() {
        let request = line(r#"{"prompt_tokens": [5, 6], "num_tokens_to_generate": 2}"#).unwrap();
        assert_eq!((request.tokens, request.num_tokens_to_generate, request.text), (vec![5, 6], 2, None));
        let request = line(r#"{"text": "Hello"}"#).unwrap();
        assert_eq!((request.num_tokens_to_generate, request.text.as_deref()), (7, Some("Hello")));
    }

    #[test]
    fn a_broken_line_says_where_and_what() {
        for (text, expected) in [
            ("", "r.jsonl:3: blank line"),
            ("{\"prompt\": 1", "r.jsonl:3:12: invalid type: integer `1`"),
            (r#"{"prompt": "a", "prompt_tokens": [1]}"#, "r.jsonl:3: expected either"),
            (r#"{"prompt_tokens": []}"#, "r.jsonl:3: prompt_tokens is empty"),
            (r#"{"prompt": ""}"#, "r.jsonl:3: the prompt is empty"),
            (r#"{"promt": "a"}"#, "r.jsonl:3:8: unknown field `promt`"),
            (r#"{"prompt_tokens": [-1]}"#, "r.jsonl:3:21: invalid value: integer `-1`"),
        ] {
            let error = line(text).err().unwrap();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(parse_tokens("1,x").unwrap_err().to_string().contains("got \"x\""));
        assert_eq!(parse_tokens("1, 2,3").unwrap(), [1, 2, 3]);
    }
}
