//! A request as it is submitted, by a client to the coordinator and by the coordinator to a rank.

use rmpv::Value;

use super::error::WireError;
use super::header::Header;
use super::message::{Message, encode};
use super::sampling::SamplingParams;
use super::value::{FromValue, Mismatch, tokens};

/// What to continue.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// Text; the rank tokenises it.
    Text(String),
    /// Token ids.
    Tokens(Vec<u32>),
}

impl FromValue for Prompt {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::String(_) => String::from_value(value).map(Prompt::Text),
            Value::Array(_) => Vec::from_value(value).map(Prompt::Tokens),
            other => Err(Mismatch::new("a string or an array of token ids", &other)),
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
    /// Reads the elements after the id. Four elements are the older form without multi-modal data.
    pub(super) fn read_after_id(id: u64, message: &mut Message) -> Result<Submit, WireError> {
        message.arity(4..=5, "4 or 5")?;
        Ok(Submit { id, prompt: message.next()?, sampling: message.next()?, multi_modal: message.next()? })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let prompt = match &self.prompt {
            Prompt::Text(text) => text.as_str().into(),
            Prompt::Tokens(ids) => tokens(ids),
        };
        let multi_modal = self.multi_modal.clone().unwrap_or(Value::Nil);
        encode(Header::SubmitRequest, [self.id.into(), prompt, self.sampling.to_value(), multi_modal])
    }
}
