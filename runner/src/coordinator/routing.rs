//! Which rank gets the next request.

const IDENTITY_PREFIX: &str = "mp-coord-";

/// ZMQ identity of a rank, as the original names it.
pub(super) fn identity_of(rank: u32) -> String {
    format!("{IDENTITY_PREFIX}{rank}")
}
