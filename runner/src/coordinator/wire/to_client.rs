//! What the coordinator sends to clients.

use super::WireLimits;
use super::control::ControlSignal;
use super::error::WireError;
use super::header::Header;
use super::message::{Message, encode, write};
use super::numbering::{Numbering, PAUSE_ACK, STOP_ACK};
use super::partial::PartialReply;
use super::reply::FinalReply;
use super::writer::Writer;

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
    /// Ours, to clients that speak several versions of our additions: the one to speak from now on.
    Agreed {
        /// The highest that both ends speak.
        version: u32,
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
        } else if header == Header::Agreed {
            message.arity(2..=2, "2")?;
            Ok(ClientReply::Agreed { version: message.next()? })
        } else {
            Err(message.wrong_direction("a client"))
        }
    }

    /// Bytes of the message for a client with these header numbers; `None` if it would not understand it.
    pub fn encode_as(&self, numbering: Numbering) -> Option<Vec<u8>> {
        match (self, numbering) {
            (ClientReply::ControlAck { signal: ControlSignal::Pause }, Numbering::V0_16) => {
                Some(write(PAUSE_ACK, 0, |_| ()))
            }
            (ClientReply::ControlAck { signal: ControlSignal::Stop }, Numbering::V0_16) => {
                Some(write(STOP_ACK, 0, |_| ()))
            }
            (ClientReply::ControlAck { .. }, _) => None,
            (_, Numbering::Current) => Some(self.encode()),
            (ClientReply::ConnectAck, _) => {
                numbering.number(Header::ConnectAck).map(|number| write(number, 0, |_| ()))
            }
            (ClientReply::Final { client_id, reply }, _) => {
                let number = numbering.number(Header::EngineReply)?;
                Some(write(number, 2, |to| {
                    to.natural(*client_id);
                    if numbering == Numbering::V0_16 { record(reply, to) } else { reply.write(to) }
                }))
            }
            (ClientReply::Partial { .. } | ClientReply::Refusal { .. } | ClientReply::Agreed { .. }, _) => {
                None
            }
        }
    }

    /// Bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            ClientReply::ConnectAck => encode(Header::ConnectAck, []),
            ClientReply::ControlAck { signal } => encode(signal.header(), []),
            ClientReply::Final { client_id, reply } => write(Header::EngineReply.number(), 2, |to| {
                to.natural(*client_id);
                reply.write(to);
            }),
            ClientReply::Partial { client_id, partial } => {
                write(Header::EngineReplyPartial.number(), 2, |to| {
                    to.natural(*client_id);
                    partial.write(to);
                })
            }
            ClientReply::Refusal { reason } => encode(Header::Refusal, [reason.as_str().into()]),
            ClientReply::Agreed { version } => encode(Header::Agreed, [(*version).into()]),
        }
    }
}

/// 0.16 has a record of requests where later releases have the one request's dictionary.
fn record(reply: &FinalReply, to: &mut Writer<'_>) {
    to.map(2);
    to.key("requests").list(1);
    reply.write_for(Numbering::V0_16, to);
    to.key("latency").nil();
}
