//! The rank's end of the connection, used by the engine process.

use std::time::Duration;

use super::routing::identity_of;
use super::socket::{Dealer, SocketError};
use super::wire::{
    BadMessage, FinalReply, PartialReply, RankCommand, RankMessage, RankReady, RankStats, WireLimits,
};
use crate::engine::CacheChanges;
use crate::metrics::RankRecord;

/// Connection of one rank to the coordinator. Used by one thread; messages arrive in the order they were sent.
///
/// Dropping it (or [`RankLink::disconnect`]) gives the last messages up to two seconds to get out.
pub struct RankLink {
    dealer: Dealer,
    limits: WireLimits,
}

/// What can go wrong on the link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The coordinator sent what is not a command; the link still works.
    #[error("unreadable command from the coordinator: {0}")]
    Wire(#[from] BadMessage),
    /// The coordinator does not take this rank.
    #[error("the coordinator refused this rank: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// One reply alone is larger than any message may be.
    #[error("a reply of {bytes} bytes does not fit into a message, at most {limit} do")]
    TooLarge {
        /// Its length on the wire.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

/// How long the last messages may take to get out.
const LINGER: Duration = Duration::from_secs(2);

impl RankLink {
    /// Connects to `tcp://127.0.0.1:<port>` under the identity `mp-coord-<rank>`.
    pub fn connect(endpoint: &str, rank: u32) -> Result<RankLink, LinkError> {
        let dealer = Dealer::connect(endpoint, Some(&identity_of(rank)), LINGER)?;
        Ok(RankLink { dealer, limits: WireLimits::default() })
    }

    /// Registers the rank and says that it takes requests; call it once, warmed up. From then on the coordinator
    /// expects to hear from this rank (anything, or [`RankLink::heartbeat`]) within its heartbeat limit.
    pub fn register(&mut self, ready: RankReady) -> Result<(), LinkError> {
        self.send(&RankMessage::Register)?;
        self.send(&RankMessage::Ready(ready))
    }

    /// Registers the rank as the original's engines do, and says no more: this coordinator may not be ours.
    pub fn register_plainly(&mut self) -> Result<(), LinkError> {
        self.send(&RankMessage::Register)
    }

    /// Takes a command that has come already.
    pub fn try_recv(&mut self) -> Result<Option<RankCommand>, LinkError> {
        self.recv_timeout(Duration::ZERO)
    }

    /// Takes the next command, waiting for at most `timeout`; `None` if none came.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<RankCommand>, LinkError> {
        let payload = self.dealer.receive(timeout)?;
        Ok(payload.map(|payload| RankCommand::decode(&payload, &self.limits)).transpose()?)
    }

    /// Streams the tokens of one step. Nothing is sent for an empty list.
    pub fn send_partials(&mut self, partials: Vec<PartialReply>) -> Result<(), LinkError> {
        if partials.is_empty() { Ok(()) } else { self.send_split(RankMessage::Partials(partials)) }
    }

    /// Answers the requests that ended in one step. Nothing is sent for an empty list.
    pub fn send_finals(&mut self, replies: Vec<FinalReply>) -> Result<(), LinkError> {
        if replies.is_empty() { Ok(()) } else { self.send_split(RankMessage::Finals(replies)) }
    }

    /// Says that the rank is alive.
    pub fn heartbeat(&mut self, stats: RankStats) -> Result<(), LinkError> {
        self.send(&RankMessage::Heartbeat(stats))
    }

    /// Says which blocks can be shared at this rank now, and which no more.
    pub fn send_cache_changes(&mut self, changes: CacheChanges) -> Result<(), LinkError> {
        self.send(&RankMessage::CachedBlocks(changes))
    }

    /// Hands over the rank's record, once, after STOP.
    pub fn send_report(&mut self, record: RankRecord) -> Result<(), LinkError> {
        self.send(&RankMessage::Report(Box::new(record)))
    }

    /// Leaves.
    pub fn disconnect(self) -> Result<(), LinkError> {
        self.send(&RankMessage::Disconnect)
    }

    /// Sends bytes as they are, well-formed or not.
    #[cfg(test)]
    pub(super) fn send_raw(&self, payload: Vec<u8>) {
        self.dealer.send(payload).expect("sent");
    }

    fn send(&self, message: &RankMessage) -> Result<(), LinkError> {
        self.check_size(message.encode())
    }

    fn check_size(&self, payload: Vec<u8>) -> Result<(), LinkError> {
        let (bytes, limit) = (payload.len(), self.limits.max_message_bytes);
        if bytes > limit {
            Err(LinkError::TooLarge { bytes, limit })
        } else {
            Ok(self.dealer.send(payload)?)
        }
    }

    /// Sends a list as one message, or as several where one would come near the limits of the receiver.
    fn send_split(&self, list: RankMessage) -> Result<(), LinkError> {
        // A value takes a byte at least, so that an eighth of the byte limit is within the limit of values too.
        let comfortable = self.limits.max_message_bytes / 8;
        let payload = list.encode();
        if payload.len() <= comfortable {
            return self.check_size(payload);
        }
        match list.halves() {
            None => self.check_size(payload),
            Some(halves) => halves.into_iter().try_for_each(|half| self.send_split(half)),
        }
    }
}
