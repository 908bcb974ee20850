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
            Submit::read(&mut message).map(RankCommand::Submit)
        } else if header == Header::AbortRequest {
            message.arity(2..=2, "2")?;
            Ok(RankCommand::Abort { request_id: message.next()? })
        } else {
            Err(message.wrong_direction("a rank").into())
        }
    }

    /// Bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            RankCommand::Submit(submit) => submit.encode(5),
            RankCommand::Abort { request_id } => encode(Header::AbortRequest, [(*request_id).into()]),
            RankCommand::Control(signal) => signal.encode(),
        }
    }
}
