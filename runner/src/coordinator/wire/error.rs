//! Why a message could not be read.

use super::header::Header;

/// A message that does not follow the protocol. Says which header, which field, what was expected and what came.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WireError {
    /// Longer than this end accepts.
    #[error("message of {bytes} bytes, at most {limit} are accepted")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Wrong number of ZMQ frames.
    #[error("message of {got} frames after the identity, expected exactly 1")]
    Frames {
        /// Frames that came.
        got: usize,
    },
    /// Not one complete msgpack value, or one that is too deep or too large.
    #[error("not a readable msgpack value: {what} at byte {offset}")]
    Msgpack {
        /// Where in the payload.
        offset: usize,
        /// What is wrong there.
        what: String,
    },
    /// Not an array that starts with a header.
    #[error("expected an array that starts with a header number, got {got}")]
    NotAMessage {
        /// What came instead.
        got: String,
    },
    /// A header number that nobody defined.
    #[error("unknown header {number}")]
    UnknownHeader {
        /// The number.
        number: u64,
    },
    /// A header that this end never receives.
    #[error("{header} ({number}) is not taken by {receiver}", number = header.number())]
    WrongDirection {
        /// The header.
        header: Header,
        /// Who got it.
        receiver: &'static str,
    },
    /// Wrong number of elements.
    #[error("{header}: expected {expected} elements, got {got}")]
    Arity {
        /// The message.
        header: Header,
        /// How many it has, in words.
        expected: &'static str,
        /// How many came, the header included.
        got: usize,
    },
    /// An element, or something inside it, of the wrong type or range.
    #[error("{header}: element {index}{path}: expected {expected}, got {got}")]
    Field {
        /// The message.
        header: Header,
        /// Element of the message, the header being element 0.
        index: usize,
        /// Where inside the element, such as `.temperature` or `[3]`; empty = the element itself.
        path: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        got: String,
    },
}

/// A bad message, and the request it would have started, where that much could be read:
/// its sender can then be answered by request.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{error}")]
pub struct BadMessage {
    /// What is wrong.
    pub error: WireError,
    /// The sender's id of the request that was submitted.
    pub request: Option<u64>,
}

impl From<WireError> for BadMessage {
    fn from(error: WireError) -> Self {
        BadMessage { error, request: None }
    }
}
