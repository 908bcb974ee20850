//! Between clients and ranks: routes requests, watches ranks, loses nothing.

mod rank_link;
mod routing;
pub(crate) mod socket;
pub mod wire;

pub use rank_link::{LinkError, RankLink};
pub use socket::SocketError;
