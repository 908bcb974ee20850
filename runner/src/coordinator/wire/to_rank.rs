//! What the coordinator sends to ranks.

use super::WireLimits;
use super::control::ControlSignal;
use super::error::BadMessage;
use super::header::Header;
use super::message::{Message, encode};
use super::submit::Submit;

/// A message to a rank.
#[derive(Clone, Debug, PartialEq)]
pub enum RankCommand {
    /// A request under the coordinator's id.
    Submit(Submit),
    /// The request ends at its current length and is answered as completed; an unknown id is ignored.
    Abort {
        /// The coordinator's id of the request.
        request_id: u64,
    },
    /// A signal for all ranks.
    Control(ControlSignal),
    /// Ours, to ranks that speak several versions of our additions: the one to speak from now on.
    Agreed {
        /// The highest that both ends speak.
        version: u32,
    },
    /// Ours, to ranks that said READY: this one is not taken.
    Refusal {
        /// Why.
        reason: String,
    },
}

impl RankCommand {
    /// Reads one message.
    pub fn decode(bytes: &[u8], limits: &WireLimits) -> Result<RankCommand, BadMessage> {
        let mut message = Message::parse(bytes, limits)?;
        if let Some(signal) = ControlSignal::read(&mut message) {
            return Ok(RankCommand::Control(signal?));
        }
        let header = message.header;
        if header == Header::SubmitRequest {
            return Submit::read(&mut message).map(RankCommand::Submit);
        }
        if header == Header::SubmitRequestWithKv {
            // Whoever sent it waits for an answer.
            let error = message.wrong_direction("a rank without KV hand-off");
            return Err(BadMessage { error, request: message.next().ok() });
        }
        let one = |message: &Message<'_>| message.arity(2..=2, "2");
        if header == Header::AbortRequest {
            one(&message)?;
            Ok(RankCommand::Abort { request_id: message.next()? })
        } else if header == Header::Agreed {
            one(&message)?;
            Ok(RankCommand::Agreed { version: message.next()? })
        } else if header == Header::Refusal {
            one(&message)?;
            Ok(RankCommand::Refusal { reason: message.next()? })
        } else {
            Err(message.wrong_direction("a rank").into())
        }
    }

    /// Bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            RankCommand::Submit(submit) => submit.encode(),
            RankCommand::Abort { request_id } => encode(Header::AbortRequest, [(*request_id).into()]),
            RankCommand::Control(signal) => signal.encode(),
            RankCommand::Agreed { version } => encode(Header::Agreed, [(*version).into()]),
            RankCommand::Refusal { reason } => encode(Header::Refusal, [reason.as_str().into()]),
        }
    }
}
