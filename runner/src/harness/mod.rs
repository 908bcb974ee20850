//! Plans become trials; [`run_case()`] is the route through all rooms.

mod catalogue;
mod commit;
mod foreign;
mod gpu_names;
mod machine;
mod platform_choice;
mod prepared_model;
mod ranks;
mod roots;
mod run_case;
mod schedule;
mod serve;
mod service;
mod suite;
mod trials;

pub use catalogue::{Fate, ListError, ListedCase, Setting};
pub use machine::{between, machine_limits, num_cores};
pub use platform_choice::{PLATFORM_VARIABLE, PlatformChoice, PlatformError, choose_platform};
pub use prepared_model::{ModelError, PreparedModel};
pub use roots::{CASES_VARIABLE, GOLDENS_VARIABLE, OUTPUT_VARIABLE, Roots};
pub use run_case::{CaseContext, run_case};
pub use schedule::write_schedule;
pub use serve::{ServeError, ServeInputs, Served, serve};
pub use service::{Service, ServiceEnd, ServiceInputs};
pub use suite::{install_interrupts, suite_main};
pub use trials::{CollectedResults, rank_role, run_trials};
