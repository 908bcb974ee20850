//! Messages between clients, coordinator and ranks: msgpack arrays with Megatron's headers and layouts.
//!
//! Reading is total: whatever the bytes, the result is a message or a [`WireError`] that names the place.
//! Peers of other makes are met where the original meets them (a request of four elements, any subset of
//! sampling keys, replies with more keys); our own additions have headers from 100 up and go to nobody
//! who did not announce himself as ours.

mod control;
mod error;
mod from_client;
mod from_rank;
mod header;
mod message;
mod numbering;
mod partial;
mod rank_status;
mod reader;
mod reply;
mod sampling;
mod scan;
mod submit;
#[cfg(test)]
mod tests;
mod to_client;
mod to_rank;
mod value;
mod version;
mod writer;

pub use control::ControlSignal;
pub use error::{BadMessage, WireError};
pub use from_client::ClientMessage;
pub use from_rank::RankMessage;
pub use header::Header;
pub use numbering::Numbering;
pub use partial::PartialReply;
pub use rank_status::{RankReady, RankStats};
pub use reply::{Effort, ErrorClass, FinalReply, ReplyStatus, ServedBy};
pub use sampling::SamplingParams;
pub use submit::{Prompt, Submit};
pub use to_client::ClientReply;
pub use to_rank::RankCommand;
pub use version::{PROTOCOL_VERSION, Versions};

/// Bounds on what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireLimits {
    /// Bytes of a message.
    pub max_message_bytes: usize,
    /// Values in a message; one takes some 40 bytes of memory while it is read.
    pub max_values: u64,
    /// Arrays and maps inside each other.
    pub max_depth: usize,
}

impl Default for WireLimits {
    fn default() -> Self {
        WireLimits { max_message_bytes: 64 << 20, max_values: 8 << 20, max_depth: 32 }
    }
}
