//! What the coordinator sends to clients.

use rmpv::Value;

use super::WireLimits;
use super::control::ControlSignal;
use super::error::WireError;
use super::header::Header;
use super::message::{Message, encode, encode_number};
use super::numbering::{Numbering, PAUSE_ACK, STOP_ACK};
use super::partial::PartialReply;
use super::reply::FinalReply;

/// A message to a client.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientReply {
    /// Answers CONNECT.
    ConnectAck,
    /// A request ended.
    Final {
        /// The client's id of the request.
        client_id: u64,
        /// How it ended.
        reply: Box<FinalReply>,
    },
    /// New tokens.
    Partial {
        /// The client's id of the request.
        client_id: u64,
        /// The tokens.
        partial: PartialReply,
    },
    /// A signal was passed on to the ranks. Only clients of 0.16 are told, of PAUSE and STOP.
    ControlAck {
        /// Which.
        signal: ControlSignal,
    },
    /// Ours, to clients that said HELLO: a message was refused.
    Refusal {
        /// Why.
        reason: String,
    },
}

impl ClientReply {
    /// Reads one message.
    pub fn decode(bytes: &[u8], limits: &WireLimits) -> Result<ClientReply, WireError> {
        let mut message = Message::parse(bytes, limits)?;
        let header = message.header;
        if header == Header::ConnectAck {
            message.bare()?;
            Ok(ClientReply::ConnectAck)
        } else if header == Header::EngineReply {
            message.arity(3..=3, "3")?;
            Ok(ClientReply::Final { client_id: message.next()?, reply: Box::new(message.next()?) })
        } else if header == Header::EngineReplyPartial {
            message.arity(3..=3, "3")?;
            Ok(ClientReply::Partial { client_id: message.next()?, partial: message.next()? })
        } else if header == Header::Refusal {
            message.arity(2..=2, "2")?;
            Ok(ClientReply::Refusal { reason: message.next()? })
        } else {
            Err(message.wrong_direction("a client"))
        }
    }

    /// Bytes of the message for a client with these header numbers; `None` if it would not understand it.
    pub fn encode_as(&self, numbering: Numbering) -> Option<Vec<u8>> {
        match (self, numbering) {
            (ClientReply::ControlAck { signal: ControlSignal::Pause }, Numbering::V0_16) => {
                Some(encode_number(PAUSE_ACK, []))
            }
            (ClientReply::ControlAck { signal: ControlSignal::Stop }, Numbering::V0_16) => {
                Some(encode_number(STOP_ACK, []))
            }
            (ClientReply::ControlAck { .. }, _) => None,
            (_, Numbering::Current) => Some(self.encode()),
            (ClientReply::ConnectAck, _) => {
                numbering.number(Header::ConnectAck).map(|number| encode_number(number, []))
            }
            (ClientReply::Final { client_id, reply }, _) => {
                let reply = if numbering == Numbering::V0_16 { record(reply) } else { reply.to_value() };
                let number = numbering.number(Header::EngineReply)?;
                Some(encode_number(number, [Value::from(*client_id), reply]))
            }
            (ClientReply::Partial { .. } | ClientReply::Refusal { .. }, _) => None,
        }
    }

    /// Bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            ClientReply::ConnectAck => encode(Header::ConnectAck, []),
            ClientReply::ControlAck { signal } => encode(signal.header(), []),
            ClientReply::Final { client_id, reply } => {
                encode(Header::EngineReply, [Value::from(*client_id), reply.to_value()])
            }
            ClientReply::Partial { client_id, partial } => {
                encode(Header::EngineReplyPartial, [Value::from(*client_id), partial.to_value()])
            }
            ClientReply::Refusal { reason } => encode(Header::Refusal, [reason.as_str().into()]),
        }
    }
}

/// 0.16 has a record of requests where later releases have the one request's dictionary.
fn record(reply: &FinalReply) -> Value {
    let requests = Value::Array(vec![reply.to_value()]);
    Value::Map(vec![("requests".into(), requests), ("latency".into(), Value::Nil)])
}
