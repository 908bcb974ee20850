//! Goldlap: a folder in, a verdict out.

pub mod client;
pub mod command;
pub mod config;
pub mod coordinator;
pub mod engine;
pub mod golden;
pub mod harness;
pub mod metrics;
pub mod plan;
pub mod report;
pub mod topology;
pub mod workload;
