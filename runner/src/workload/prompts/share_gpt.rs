//! ShareGPT's data set: one JSON list of `{"id": ..., "conversations": [{"from": ..., "value": ...}, ...]}`.
//!
//! The list is streamed: one conversation is in memory at a time, beside the prompts that are kept.

use std::fmt;
use std::io::BufRead;
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};

use super::file::{MAX_KEPT_BYTES, PromptFile, Selection};
use super::{Origin, OutputLength, Prompt, PromptError};
use crate::workload::json_fault::JsonFault;
use crate::workload::json_object::Object;

/// One conversation; other fields are ignored.
#[derive(Deserialize)]
struct RawConversation {
    conversations: Vec<Object<RawTurn>>,
}

/// One turn.
#[derive(Deserialize)]
struct RawTurn {
    from: String,
    value: Option<String>,
}

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Human,
    Model,
    /// System prompts, tools and roles nobody knows: passed over.
    Other,
}

impl Speaker {
    /// By the roles found in published ShareGPT files.
    fn of(role: &str) -> Self {
        match role.to_ascii_lowercase().as_str() {
            "human" | "user" => Self::Human,
            "gpt" | "chatgpt" | "assistant" | "model" | "bing" | "bard" => Self::Model,
            _ => Self::Other,
        }
    }
}

/// Why the streaming reader stopped before the list's end.
enum Stop {
    Complete,
    TooLarge,
}

/// What has been read so far; outlives an error in the middle of the list.
struct Reading {
    selection: Selection,
    file: PromptFile,
    conversations: usize,
    kept_bytes: usize,
    stop: Option<Stop>,
}

impl Reading {
    /// Whether a conversation is used does not depend on the selection, so that the same file gives the
    /// same prompts with and without output lengths.
    fn add(&mut self, Object(conversation): Object<RawConversation>) {
        let origin = Origin::Conversation(self.conversations);
        self.conversations += 1;
        let is_from = |turn: &RawTurn, speaker| Speaker::of(&turn.from) == speaker;
        let mut turns = conversation.conversations.into_iter().map(|Object(turn)| turn);
        let skipped = &mut self.file.skipped;
        let Some(human) = turns.find(|turn| is_from(turn, Speaker::Human)) else {
            skipped.no_human_turn += 1;
            return;
        };
        let reply = turns
            .take_while(|turn| !is_from(turn, Speaker::Human))
            .find(|turn| is_from(turn, Speaker::Model));
        let Some(reply) = reply else {
            skipped.no_reply += 1;
            return;
        };
        let (text, reply) = (human.value.unwrap_or_default(), reply.value.unwrap_or_default());
        if text.trim().is_empty() || reply.trim().is_empty() {
            skipped.empty_turn += 1;
            return;
        }
        let with_lengths = self.selection.with_lengths;
        self.kept_bytes += text.len() + if with_lengths { reply.len() } else { 0 };
        let output = if with_lengths { OutputLength::AsLongAs(reply) } else { OutputLength::Unspecified };
        self.file.prompts.push(Prompt { origin, text, output });
    }

    fn check_stop(&mut self) -> bool {
        if self.selection.is_complete(self.file.prompts.len()) {
            self.stop = Some(Stop::Complete);
        } else if self.kept_bytes > MAX_KEPT_BYTES {
            self.stop = Some(Stop::TooLarge);
        }
        self.stop.is_some()
    }
}

impl<'de> DeserializeSeed<'de> for &mut Reading {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Reading {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of conversations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while !self.check_stop() {
            match list.next_element()? {
                Some(conversation) => self.add(conversation),
                None => return Ok(()),
            }
        }
        // Only an error leaves the list before its end; `stop` says that it is none.
        Err(A::Error::custom("stopped"))
    }
}

/// Reads conversations until the selection is complete or the list ends.
pub(super) fn read(
    path: &Path,
    reader: impl BufRead,
    selection: Selection,
) -> Result<PromptFile, PromptError> {
    let mut reading =
        Reading { selection, file: PromptFile::default(), conversations: 0, kept_bytes: 0, stop: None };
    let mut json = serde_json::Deserializer::from_reader(reader);
    let mut track = serde_path_to_error::Track::new();
    let read = reading.deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track));
    match (read, &reading.stop) {
        (_, Some(Stop::Complete)) => return Ok(reading.file),
        (_, Some(Stop::TooLarge)) => {
            let what = "the text of its prompts".to_owned();
            return Err(PromptError::TooLarge { path: path.to_owned(), what, limit: MAX_KEPT_BYTES });
        }
        (Err(error), None) => return Err(fault(path, &reading, &track.path().to_string(), &error)),
        (Ok(()), None) => {}
    }
    json.end().map_err(|error| fault(path, &reading, "", &error))?;
    Ok(reading.file)
}

/// The error of the parser as an error of the file.
fn fault(path: &Path, reading: &Reading, at: &str, error: &serde_json::Error) -> PromptError {
    if let Some(kind) = error.io_error_kind() {
        return PromptError::Unreadable { path: path.to_owned(), source: kind.into() };
    }
    let JsonFault { mut message, line, column } = error.into();
    let (path, index) = (path.to_owned(), reading.conversations);
    if error.is_eof() {
        message = format!("the file is cut off here ({message})");
    }
    match at.strip_prefix(&format!("[{index}]")) {
        Some(at) => {
            let at = at.trim_start_matches('.').to_owned();
            PromptError::Conversation { path, line, column, index, at, message }
        }
        None => PromptError::AfterConversations { path, line, column, conversations: index, message },
    }
}
