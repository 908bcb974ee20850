//! A request as it is submitted, by a client to the coordinator and by the coordinator to a rank.

use rmpv::Value;

use super::error::{BadMessage, WireError};
use super::header::Header;
use super::message::{Message, write};
use super::reader::Reader;
use super::sampling::SamplingParams;
use super::value::{FromValue, Mismatch};

/// What to continue.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// Text; the rank tokenises it.
    Text(String),
    /// Token ids.
    Tokens(Vec<u32>),
}

impl FromValue for Prompt {
    fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch> {
        if from.is_at_text() {
            String::read(from).map(Prompt::Text)
        } else if from.is_at_list() {
            Vec::read(from).map(Prompt::Tokens)
        } else {
            Err(Mismatch::new("a string or an array of token ids", *from))
        }
    }
}

/// A request. `id` is the client's id on the way to the coordinator, the coordinator's id on the way to a rank.
#[derive(Clone, Debug, PartialEq)]
pub struct Submit {
    /// See above.
    pub id: u64,
    /// What to continue.
    pub prompt: Prompt,
    /// How.
    pub sampling: SamplingParams,
    /// Images and the like, or nil; passed through. `None`: the message has no element for it, as up to 0.19, whose
    /// engine and coordinator end of a fifth.
    pub multi_modal: Option<Value>,
}

impl Submit {
    /// Reads the id first: a request whose other elements are bad can then be answered.
    pub(super) fn read(message: &mut Message<'_>) -> Result<Submit, BadMessage> {
        let id = message.next()?;
        Submit::read_after_id(id, message).map_err(|error| BadMessage { error, request: Some(id) })
    }

    fn read_after_id(id: u64, message: &mut Message<'_>) -> Result<Submit, WireError> {
        message.arity(4..=5, "4 or 5")?;
        let (prompt, sampling) = (message.next()?, message.next()?);
        let multi_modal = if message.len() > 4 { Some(message.next()?) } else { None };
        Ok(Submit { id, prompt, sampling, multi_modal })
    }

    /// In the form of five elements, whose sender and receiver know what came after 0.19: ABORT_REQUEST and
    /// ENGINE_REPLY_PARTIAL.
    pub fn is_later_form(&self) -> bool {
        self.multi_modal.is_some()
    }

    /// Puts it into the form of five elements.
    pub fn make_later_form(&mut self) {
        self.multi_modal.get_or_insert(Value::Nil);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        write(Header::SubmitRequest.number(), 3 + usize::from(self.is_later_form()), |to| {
            to.natural(self.id);
            match &self.prompt {
                Prompt::Text(text) => to.text(text),
                Prompt::Tokens(tokens) => to.tokens(tokens),
            }
            self.sampling.write(to);
            if let Some(multi_modal) = &self.multi_modal {
                to.value(multi_modal);
            }
        })
    }
}
