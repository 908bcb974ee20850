//! Processes: one per data-parallel replica, each the same executable in another role.

mod fleet;
mod guard;
mod interrupt;
mod memory;
mod probe;
mod rank_environment;
mod rank_log;
mod rank_spec;

pub use fleet::{Fleet, FleetEnd, LaunchError, OnExit, ROLE_RANK, ROLE_VARIABLE};
pub use guard::{ProcessGuard, describe_exit, was_killed_from_outside};
pub use interrupt::install as install_interrupt_handler;
pub use memory::proportional_bytes;
pub use probe::{ROLE_LIMITS, probe};
pub use rank_environment::virtual_devices;
pub use rank_spec::{Fault, RankSpec};
