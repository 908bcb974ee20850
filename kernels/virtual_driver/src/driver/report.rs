//! What the driver has to say to people: on standard error, and in a file where one is asked for.

use std::io::Write as _;

/// A file to which everything is appended that goes to standard error.
pub const LOG_VARIABLE: &str = "GOLDLAP_VCUDA_LOG";
/// Where set, every call is told with its result.
pub const TRACE_VARIABLE: &str = "GOLDLAP_VCUDA_TRACE";

/// A folder into which the PTX text of every module is written, so that the lines that reports name can be read.
pub const PTX_VARIABLE: &str = "GOLDLAP_VCUDA_PTX";

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

/// Writes a module's text into the folder that is asked for, as `PROCESS-NUMBER.ptx`.
pub fn keep_ptx(text: &str) {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let Some(folder) = std::env::var_os(PTX_VARIABLE) else { return };
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("{}-{number:04}.ptx", std::process::id());
    let path = std::path::Path::new(&folder).join(&name);
    let unfinished = path.with_extension("unfinished");
    if let Err(error) = std::fs::write(&unfinished, text).and_then(|()| std::fs::rename(&unfinished, &path)) {
        tell(&format!("{PTX_VARIABLE}: cannot write {}: {error}", path.display()));
    }
}
