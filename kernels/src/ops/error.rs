//! Why an operator refused its arguments.

/// A precondition that did not hold. Raised before any buffer is touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operator {operator}: {message}")]
pub struct OpError {
    /// Which operator refused.
    pub operator: &'static str,
    /// What was expected and what was there.
    pub message: String,
}

impl OpError {
    /// An error of `operator`.
    pub fn new(operator: &'static str, message: impl Into<String>) -> Self {
        Self { operator, message: message.into() }
    }
}

/// `Ok` iff `holds`; the message is only built when it does not.
pub fn require(operator: &'static str, holds: bool, message: impl FnOnce() -> String) -> Result<(), OpError> {
    if holds { Ok(()) } else { Err(OpError::new(operator, message())) }
}

/// A buffer must hold at least `needed` elements.
pub fn require_len(operator: &'static str, name: &str, len: usize, needed: usize) -> Result<(), OpError> {
    require(operator, len >= needed, || format!("`{name}` needs {needed} elements, has {len}"))
}
