//! Megatron's prompt file: one JSON object a line, `{"text": ..., "chatgpt_output_token_length": ...}`.

use std::io::{BufRead, Read as _};
use std::path::Path;

use serde::Deserialize;

use super::file::{MAX_KEPT_BYTES, PromptFile, Selection};
use super::{Origin, OutputLength, Prompt, PromptError};
use crate::workload::json_fault::JsonFault;
use crate::workload::json_object::Object;

/// Longest line that is read.
const MAX_LINE_BYTES: usize = 64 << 20;

/// Fields of a line that mean something; others are ignored.
#[derive(Deserialize)]
struct RawLine {
    text: String,
}

/// A line of a file from which output lengths are taken.
#[derive(Deserialize)]
struct RawLineWithLength {
    text: String,
    chatgpt_output_token_length: u64,
}

/// Reads lines until the selection is complete or the file ends. A last line without an end is a line;
/// a blank line is an error, as it is for the original.
pub(super) fn read(
    path: &Path,
    mut reader: impl BufRead,
    selection: Selection,
) -> Result<PromptFile, PromptError> {
    let mut file = PromptFile::default();
    let mut line = Vec::new();
    let mut kept_bytes = 0;
    while !selection.is_complete(file.prompts.len()) {
        line.clear();
        let limit = MAX_LINE_BYTES as u64 + 1;
        let len = reader
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut line)
            .map_err(|source| PromptError::Unreadable { path: path.to_owned(), source })?;
        let number = file.prompts.len() + 1;
        if len == 0 {
            break;
        }
        let too_large = |what, limit| PromptError::TooLarge { path: path.to_owned(), what, limit };
        if len > MAX_LINE_BYTES {
            return Err(too_large(format!("line {number}"), MAX_LINE_BYTES));
        }
        let prompt = parse_line(without_end(&line), number, selection.with_lengths).map_err(|fault| {
            PromptError::Line {
                path: path.to_owned(),
                line: number,
                column: fault.column,
                message: fault.message,
            }
        })?;
        kept_bytes += prompt.text.len();
        if kept_bytes > MAX_KEPT_BYTES {
            return Err(too_large("the text of its prompts".to_owned(), MAX_KEPT_BYTES));
        }
        file.prompts.push(prompt);
    }
    Ok(file)
}

/// The line without its `\n` or `\r\n`, so that columns count its own characters.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn parse_line(line: &[u8], number: usize, with_length: bool) -> Result<Prompt, JsonFault> {
    if line.iter().all(u8::is_ascii_whitespace) {
        let message = "blank line: expected an object with \"text\"; remove the line".to_owned();
        return Err(JsonFault { message, line: number, column: 1 });
    }
    let fault = |error: serde_json::Error| {
        let mut fault = JsonFault::from(&error);
        if error.is_eof() {
            fault.message = format!("the line ends in the middle of its object ({})", fault.message);
        }
        fault
    };
    let origin = Origin::Line(number);
    if !with_length {
        let Object(RawLine { text }) = serde_json::from_slice(line).map_err(fault)?;
        return Ok(Prompt { origin, text, output: OutputLength::Unspecified });
    }
    let Object(RawLineWithLength { text, chatgpt_output_token_length: length }) =
        serde_json::from_slice(line).map_err(fault)?;
    match usize::try_from(length) {
        Ok(length) if length > 0 => Ok(Prompt { origin, text, output: OutputLength::Tokens(length) }),
        _ => {
            let message = format!("chatgpt_output_token_length: expected 1 or more tokens, got {length}");
            Err(JsonFault { message, line: number, column: 1 })
        }
    }
}
