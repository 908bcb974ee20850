//! What will be done: [`CasePlan`], made from what the file said, the platform and the environment.
//! Pure: the only question asked of the world is whether a path exists, through the caller's closure.

mod architecture;
mod arguments;
mod case_plan;
mod conduct;
mod engine;
mod engine_features;
pub mod explain;
mod graphs;
mod inputs;
mod keys;
mod metrics;
mod model;
mod output;
mod performance;
mod platform;
mod resolution;
mod resolve;
mod routing;
mod runs_on;
mod tokenizer;
mod topology;
mod workload;

pub use case_plan::*;
pub use conduct::Conduct;
pub use engine_features::{CacheEviction, EngineFeatures, SuspendedKv};
pub use graphs::{GraphPlan, GraphSizing};
pub use inputs::{AbsentModel, Disposition, PlanInputs};
pub use output::{OutputPlan, OutputScript};
pub use performance::{PerformancePlan, metrics_of_performance_cases, performance_metrics, tolerances};
pub use platform::Platform;
pub use resolve::plan_case;
pub use routing::{RoutingPlan, RoutingPolicy};
pub use runs_on::{Platforms, platforms_of_everybody};

#[cfg(test)]
pub(crate) mod tests;
