//! What ranks send to the coordinator.

use std::collections::BTreeSet;

use rmpv::Value;

use super::WireLimits;
use super::error::WireError;
use super::header::Header;
use super::message::{Message, encode, write};
use super::partial::PartialReply;
use super::rank_status::{RankReady, RankStats};
use super::reply::FinalReply;
use super::value::Bytes;
use crate::engine::CacheChanges;
use crate::metrics::RankRecord;

/// A message from a rank.
#[derive(Clone, Debug, PartialEq)]
pub enum RankMessage {
    /// Registers the rank: an empty payload, which is not msgpack at all. No answer.
    Register,
    /// Requests that ended in this step.
    Finals(Vec<FinalReply>),
    /// Tokens of this step.
    Partials(Vec<PartialReply>),
    /// The rank leaves.
    Disconnect,
    /// Ours: warmed up. Sent right after registration.
    Ready(RankReady),
    /// Ours: alive.
    Heartbeat(RankStats),
    /// Ours: names of blocks that its prefix cache holds now, or no more.
    CachedBlocks(CacheChanges),
    /// Ours: the rank's record, once, when it stops.
    Report(Box<RankRecord>),
}

impl RankMessage {
    /// The same as two messages with half of the list each; `None` of one that has no list of two or more.
    pub(in crate::coordinator) fn halves(self) -> Option<[RankMessage; 2]> {
        fn split<T>(mut list: Vec<T>, of: fn(Vec<T>) -> RankMessage) -> Option<[RankMessage; 2]> {
            let second = (list.len() > 1).then(|| list.split_off(list.len() / 2))?;
            Some([of(list), of(second)])
        }
        match self {
            RankMessage::Finals(list) => split(list, RankMessage::Finals),
            RankMessage::Partials(list) => split(list, RankMessage::Partials),
            RankMessage::Register
            | RankMessage::Disconnect
            | RankMessage::Ready(_)
            | RankMessage::Heartbeat(_)
            | RankMessage::CachedBlocks(_)
            | RankMessage::Report(_) => None,
        }
    }

    /// Reads one message.
    pub fn decode(bytes: &[u8], limits: &WireLimits) -> Result<RankMessage, WireError> {
        if bytes.is_empty() {
            return Ok(RankMessage::Register);
        }
        let mut message = Message::parse(bytes, limits)?;
        let header = message.header;
        if header == Header::Disconnect {
            return message.bare().map(|()| RankMessage::Disconnect);
        }
        let one = |message: &Message<'_>| message.arity(2..=2, "2");
        if header == Header::EngineReply {
            one(&message)?;
            Ok(RankMessage::Finals(message.next()?))
        } else if header == Header::EngineReplyPartial {
            one(&message)?;
            Ok(RankMessage::Partials(message.next()?))
        } else if header == Header::RankReady {
            one(&message)?;
            Ok(RankMessage::Ready(message.next()?))
        } else if header == Header::Heartbeat {
            one(&message)?;
            Ok(RankMessage::Heartbeat(message.next()?))
        } else if header == Header::CachedBlocks {
            message.arity(3..=3, "3")?;
            Ok(RankMessage::CachedBlocks(CacheChanges {
                cached: message.next::<Vec<u64>>()?.into_iter().collect(),
                forgotten: message.next::<Vec<u64>>()?.into_iter().collect(),
            }))
        } else if header == Header::RankReport {
            one(&message)?;
            read_report(message.next()?).map(RankMessage::Report)
        } else {
            Err(message.wrong_direction("the coordinator from a rank"))
        }
    }

    /// Bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            RankMessage::Register => Vec::new(),
            RankMessage::Finals(replies) => write(Header::EngineReply.number(), 1, |to| {
                to.list(replies.len());
                replies.iter().for_each(|reply| reply.write(to));
            }),
            RankMessage::Partials(partials) => write(Header::EngineReplyPartial.number(), 1, |to| {
                to.list(partials.len());
                partials.iter().for_each(|partial| partial.write(to));
            }),
            RankMessage::Disconnect => encode(Header::Disconnect, []),
            RankMessage::Ready(ready) => encode(Header::RankReady, [ready.to_value()]),
            RankMessage::Heartbeat(stats) => encode(Header::Heartbeat, [stats.to_value()]),
            RankMessage::CachedBlocks(CacheChanges { cached, forgotten }) => {
                let names =
                    |names: &BTreeSet<u64>| Value::Array(names.iter().map(|&name| name.into()).collect());
                encode(Header::CachedBlocks, [names(cached), names(forgotten)])
            }
            RankMessage::Report(record) => encode(Header::RankReport, [write_report(record)]),
        }
    }
}

// The record travels as one blob in its own serde form: it is long (one entry per step) and changes more often
// than the protocol.
fn write_report(record: &RankRecord) -> Value {
    Value::Binary(rmp_serde::to_vec_named(record).expect("a record has no type that msgpack lacks"))
}

fn read_report(Bytes(blob): Bytes) -> Result<Box<RankRecord>, WireError> {
    rmp_serde::from_slice(&blob).map(Box::new).map_err(|error| WireError::Field {
        header: Header::RankReport,
        index: 1,
        path: String::new(),
        expected: "a serialised rank record",
        got: error.to_string(),
    })
}
