//! The GPT: architecture, weights, KV cache, forward pass.

pub mod config;
pub mod step;
pub mod weights;
