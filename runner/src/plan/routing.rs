//! How the coordinator chooses the rank of a request.

use std::path::PathBuf;

use serde::Serialize;

use super::resolution::{PathArgument, Resolution};

/// How the coordinator routes (`--inference-dynamic-batching-prefix-caching-coordinator-policy`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoutingPlan {
    /// What decides.
    pub policy: RoutingPolicy,
    /// Weight of a prefix hit against load, from 0 to 1 (`...-routing-alpha`).
    pub alpha: f64,
    /// Where the decisions are written (`--coordinator-schedule-output-path`).
    pub schedule_path: Option<PathBuf>,
}

/// What decides where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum RoutingPolicy {
    /// The fewest unfinished requests (`load_balanced`).
    LoadBalanced,
    /// Load, and whether the first prompt block is there (`first_prefix_block`).
    FirstPrefixBlock,
    /// Load, and how much of the prompt is there (`longest_prefix`).
    LongestPrefix,
}

impl RoutingPlan {
    /// By load alone, nothing written.
    pub const BY_LOAD: Self = Self { policy: RoutingPolicy::LoadBalanced, alpha: 0.5, schedule_path: None };
}

impl RoutingPolicy {
    /// As Megatron-LM writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LoadBalanced => "load_balanced",
            Self::FirstPrefixBlock => "first_prefix_block",
            Self::LongestPrefix => "longest_prefix",
        }
    }
}

const POLICY: &str = "--inference-dynamic-batching-prefix-caching-coordinator-policy";
const ALPHA: &str = "--inference-dynamic-batching-prefix-caching-routing-alpha";

impl Resolution<'_> {
    pub(super) fn routing(&mut self) -> Option<RoutingPlan> {
        let schedule_path = match self.path("--coordinator-schedule-output-path") {
            PathArgument::Given { path, .. } => Some(path),
            PathArgument::Absent | PathArgument::Unset(_) => None,
        };
        if !self.switch("--inference-dynamic-batching-prefix-caching") {
            for flag in [POLICY, ALPHA] {
                self.ignore(flag, "has an effect with --inference-dynamic-batching-prefix-caching only");
            }
            return Some(RoutingPlan { schedule_path, ..RoutingPlan::BY_LOAD });
        }
        let alpha = self.number_in(ALPHA, |alpha| (0.0..=1.0).contains(&alpha), "between 0 and 1");
        let policy = match self.text(POLICY).as_deref() {
            Some("longest_prefix") => RoutingPolicy::LongestPrefix,
            Some("first_prefix_block") => RoutingPolicy::FirstPrefixBlock,
            Some("round_robin") => {
                self.obstacle(format!(
                    "{POLICY} round_robin: gone from Megatron-LM, where load_balanced replaced it in 0.19"
                ));
                return None;
            }
            Some(_) | None => RoutingPolicy::LoadBalanced,
        };
        Some(RoutingPlan { policy, alpha: alpha?, schedule_path })
    }
}
