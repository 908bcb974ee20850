//! Arithmetic the host's instructions do not offer: every rounding mode of every format, and the approximations.

pub(super) mod approx;
pub(super) mod exact;
pub(super) mod half;
