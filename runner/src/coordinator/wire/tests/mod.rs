//! Byte vectors, round trips and mutations of every message.

mod arbitrary;
mod layouts;
mod robustness;
