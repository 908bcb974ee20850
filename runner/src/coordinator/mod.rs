//! Between clients and ranks: routes requests, watches ranks, loses nothing.

mod acknowledgements;
mod alternatives;
mod clients;
mod connections;
mod from_clients;
mod from_ranks;
mod handle;
mod held_blocks;
mod lifecycle;
mod prefix_routing;
mod rank_link;
mod ranks;
mod requests;
mod routing;
mod segments;
mod serve;
pub(crate) mod socket;
pub mod state;
mod stats;
mod stop_words;
#[cfg(test)]
mod tests;
pub mod wire;

pub(crate) use alternatives::{alternatives_by_id, read_alternatives};

pub use handle::{CoordinatorError, CoordinatorHandle, CoordinatorOptions, NotReady, spawn, spawn_at};
pub use lifecycle::Lifecycle;
pub use prefix_routing::{Routing, RoutingDecision};
pub use rank_link::{LinkError, RankLink};
pub use socket::SocketError;
pub use state::{Detokenize, Settings, Tokenize};
pub use stats::{CoordinatorStats, Counters, RankLoad};
