//! What the driver has to say to people: on standard error, and in a file where one is asked for.

use std::io::Write as _;

/// A file to which everything is appended that goes to standard error.
pub const LOG_VARIABLE: &str = "GOLDLAP_VCUDA_LOG";
/// Where set, every call is told with its result.
pub const TRACE_VARIABLE: &str = "GOLDLAP_VCUDA_TRACE";

/// Tells a message, each line of it marked.
pub fn tell(message: &str) {
    let mut text = String::with_capacity(message.len() + 32);
    for (n, line) in message.lines().enumerate() {
        text.push_str(if n == 0 { "goldlap virtual driver: " } else { "  " });
        text.push_str(line);
        text.push('\n');
    }
    // Nobody is left to tell where standard error itself is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
    if let Some(path) = std::env::var_os(LOG_VARIABLE) {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        if let Err(error) = file.and_then(|mut file| file.write_all(text.as_bytes())) {
            let _ = writeln!(std::io::stderr(), "{LOG_VARIABLE}: cannot write {}: {error}", path.display());
        }
    }
}

/// Whether calls are traced.
pub fn is_tracing() -> bool {
    static TRACING: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *TRACING.get_or_init(|| std::env::var_os(TRACE_VARIABLE).is_some_and(|value| value == "1"))
}
