//! What will be done: [`CasePlan`], made from what the file said, the platform and the environment.

mod case_plan;
mod platform;

pub use case_plan::*;
pub use platform::Platform;
