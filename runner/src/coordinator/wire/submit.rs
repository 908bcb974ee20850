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
    /// Images and the like; passed through.
    pub multi_modal: Option<Value>,
}

impl Submit {
    /// Reads the id first: a request whose other elements are bad can then be answered.
    pub(super) fn read(message: &mut Message<'_>) -> Result<Submit, BadMessage> {
        let id = message.next()?;
        Submit::read_after_id(id, message).map_err(|error| BadMessage { error, request: Some(id) })
    }

    /// Four elements are the older form without multi-modal data.
    fn read_after_id(id: u64, message: &mut Message<'_>) -> Result<Submit, WireError> {
        message.arity(4..=5, "4 or 5")?;
        Ok(Submit { id, prompt: message.next()?, sampling: message.next()?, multi_modal: message.next()? })
    }

    /// What every release's coordinator takes: 0.19's ends of a fifth element.
    pub(super) fn num_elements(&self) -> usize {
        if self.multi_modal.is_some() { 5 } else { 4 }
    }

    /// In the older form of four elements, or in that of five.
    pub(super) fn encode(&self, num_elements: usize) -> Vec<u8> {
        write(Header::SubmitRequest.number(), num_elements - 1, |to| {
            to.natural(self.id);
            match &self.prompt {
                Prompt::Text(text) => to.text(text),
                Prompt::Tokens(tokens) => to.tokens(tokens),
            }
            self.sampling.write(to);
            if num_elements > 4 {
                to.nullable(self.multi_modal.as_ref(), |to, value| to.value(value));
            }
        })
    }
}
