//! What clients send to the coordinator.

use super::WireLimits;
use super::control::ControlSignal;
use super::error::{BadMessage, WireError};
use super::header::Header;
use super::message::{Message, encode};
use super::numbering::Numbering;
use super::submit::Submit;
use super::version::Versions;

/// A message from a client.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMessage {
    /// First message of every client.
    Connect,
    /// Ours: sent after CONNECT_ACK by clients that understand our additions.
    Hello {
        /// Of our additions, as the client speaks them.
        versions: Versions,
    },
    /// A request under the client's id.
    Submit(Submit),
    /// Ends a request early.
    Abort {
        /// The client's id of the request.
        client_id: u64,
    },
    /// A request with its KV cache elsewhere; refused by name, the engine has no hand-off.
    SubmitWithKv {
        /// The client's id of the request.
        client_id: u64,
    },
    /// Frees handed-over KV blocks; nothing to free here.
    ReleaseKv,
    /// A signal for all ranks.
    Control(ControlSignal),
    /// The client leaves; what it still waits for is dropped. Ours: the original knows it from ranks only.
    Disconnect,
    /// Ends the coordinator.
    Shutdown,
}

const RECEIVER: &str = "the coordinator from a client";

impl ClientMessage {
    /// Reads one message.
    pub fn decode(bytes: &[u8], limits: &WireLimits) -> Result<ClientMessage, BadMessage> {
        ClientMessage::decode_as(bytes, limits, Numbering::Current)
    }

    /// Reads one message of a client with these header numbers.
    pub fn decode_as(
        bytes: &[u8],
        limits: &WireLimits,
        numbering: Numbering,
    ) -> Result<ClientMessage, BadMessage> {
        let mut message = Message::parse_as(bytes, limits, numbering)?;
        if let Some(signal) = ControlSignal::read(&mut message) {
            return Ok(ClientMessage::Control(signal?));
        }
        if message.header == Header::SubmitRequest {
            return Submit::read(&mut message).map(ClientMessage::Submit);
        }
        Ok(read_plain(message.header, &mut message)?)
    }

    /// Bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            ClientMessage::Connect => encode(Header::Connect, []),
            ClientMessage::Hello { versions } => {
                let oldest = versions.are_several().then_some(versions.oldest);
                encode(Header::Hello, [versions.newest].into_iter().chain(oldest).map(Into::into))
            }
            ClientMessage::Submit(submit) => submit.encode(),
            ClientMessage::Abort { client_id } => encode(Header::AbortRequest, [(*client_id).into()]),
            ClientMessage::SubmitWithKv { client_id } => {
                let nothing = || rmpv::Value::Map(Vec::new());
                let prompt = rmpv::Value::Array(Vec::new());
                let blocks = rmpv::Value::Array(Vec::new());
                let fields = [(*client_id).into(), prompt, nothing(), nothing(), blocks];
                encode(Header::SubmitRequestWithKv, fields)
            }
            ClientMessage::ReleaseKv => encode(Header::ReleaseKv, [0.into()]),
            ClientMessage::Control(signal) => signal.encode(),
            ClientMessage::Disconnect => encode(Header::Disconnect, []),
            ClientMessage::Shutdown => encode(Header::Shutdown, []),
        }
    }
}

fn read_plain(header: Header, message: &mut Message<'_>) -> Result<ClientMessage, WireError> {
    match header {
        Header::Connect => message.bare().map(|()| ClientMessage::Connect),
        Header::Disconnect => message.bare().map(|()| ClientMessage::Disconnect),
        Header::Shutdown => message.bare().map(|()| ClientMessage::Shutdown),
        Header::Hello => {
            message.arity(2..=3, "2 or 3")?;
            let newest = message.next()?;
            let oldest = message.next::<Option<u32>>()?.unwrap_or(newest);
            Ok(ClientMessage::Hello { versions: Versions { newest, oldest } })
        }
        Header::AbortRequest => {
            message.arity(2..=2, "2")?;
            Ok(ClientMessage::Abort { client_id: message.next()? })
        }
        Header::ReleaseKv => {
            message.arity(2..=2, "2")?;
            message.next::<i64>()?;
            Ok(ClientMessage::ReleaseKv)
        }
        Header::SubmitRequestWithKv => {
            message.arity(6..=6, "6")?;
            Ok(ClientMessage::SubmitWithKv { client_id: message.next()? })
        }
        Header::SubmitRequest
        | Header::ConnectAck
        | Header::EngineReply
        | Header::EngineReplyPartial
        | Header::SendKv
        | Header::Pause
        | Header::Unpause
        | Header::Suspend
        | Header::Resume
        | Header::SetGenerationEpoch
        | Header::Stop
        | Header::StartCudaProfiler
        | Header::StopCudaProfiler
        | Header::TpBroadcast
        | Header::KvHandoffComplete
        | Header::RankReady
        | Header::Heartbeat
        | Header::RankReport
        | Header::CachedBlocks
        | Header::Refusal
        | Header::Agreed => Err(message.wrong_direction(RECEIVER)),
    }
}
