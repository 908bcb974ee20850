//! The GPT: architecture, weights, KV cache, forward pass.

pub mod config;
mod cost;
mod forward;
pub mod gpt;
mod hex;
pub mod hugging_face;
pub mod packed;
pub mod philox;
pub mod random;
pub mod safetensors;
pub mod step;
pub mod store;
pub mod weights;
mod workspace;
