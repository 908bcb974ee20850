//! Byte vectors, round trips and mutations of every message.
