//! Plans become trials; `run_case` is the route through all rooms.

mod platform_choice;
mod roots;

pub use platform_choice::{PLATFORM_VARIABLE, PlatformChoice, PlatformError, choose_platform};
pub use roots::Roots;
