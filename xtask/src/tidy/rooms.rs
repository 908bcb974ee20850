//! Rule: which room may name what. The invariants stand at the head of the two `lib.rs` files.

use super::Source;

/// A word that only some places may use.
struct Boundary {
    /// Any of these in a line of code is a use.
    words: &'static [&'static str],
    /// Path prefixes where it applies.
    applies: &'static [&'static str],
    /// Path prefixes where it is allowed.
    allowed: &'static [&'static str],
    /// Why.
    reason: &'static str,
}

const BOUNDARIES: &[Boundary] = &[
    Boundary {
        words: &["zmq::"],
        applies: &["runner/src", "kernels/src"],
        allowed: &["runner/src/coordinator/socket.rs"],
        reason: "only coordinator/socket.rs touches ZMQ",
    },
    Boundary {
        words: &["Instant::now", "SystemTime::now", "UNIX_EPOCH", "clock_gettime"],
        applies: &["runner/src"],
        allowed: &["runner/src/metrics/clock.rs"],
        reason: "only metrics/clock.rs reads the clock",
    },
    Boundary {
        words: &["kill_process", "killpg", "SIGKILL", "Signal::KILL"],
        applies: &["runner/src"],
        allowed: &["runner/src/topology/guard", "runner/src/engine/fault.rs"],
        reason: "only topology/guard kills (and engine/fault.rs, a rank killing itself on purpose)",
    },
    Boundary {
        words: &["std::fs", "std::net", "std::process", "std::thread", "File::", "cudarc::"],
        applies: &["runner/src/plan"],
        allowed: &[],
        reason: "plan does no I/O, starts nothing and opens no device",
    },
    Boundary {
        words: &["std::process", "std::thread", "std::net", "cudarc::"],
        applies: &["runner/src/config"],
        allowed: &[],
        reason: "config starts nothing and opens no device",
    },
    Boundary {
        words: &["cudarc::"],
        applies: &["runner/src", "kernels/src"],
        allowed: &["kernels/src/cuda"],
        reason: "only kernels/src/cuda names the CUDA driver",
    },
    Boundary {
        words: &["launch_kernel", "cuLaunchKernel"],
        applies: &["runner/src", "kernels/src"],
        allowed: &["kernels/src/cuda/driver.rs"],
        reason: "only cuda/driver launches kernels",
    },
    Boundary {
        words: &["println!(", "print!("],
        applies: &["runner/src", "kernels/src"],
        allowed: &["runner/src/main.rs", "runner/src/command", "kernels/src/cpu/limits.rs"],
        reason: "standard output belongs to the test harness; only the CLI prints to it",
    },
];

/// Reports every line outside tests' own files that names what its room may not.
pub(super) fn check(source: &Source, breaches: &mut Vec<String>) {
    let path = source.path.to_string_lossy();
    if path.contains("/tests/") || path.ends_with("tests.rs") {
        return;
    }
    let under = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
    for boundary in BOUNDARIES.iter().filter(|b| under(b.applies) && !under(b.allowed)) {
        for (number, line) in source.text.lines().enumerate() {
            let code = line.trim_start();
            if !code.starts_with("//") && boundary.words.iter().any(|word| names(code, word)) {
                breaches.push(format!("{path}:{}: {}: {}", number + 1, boundary.reason, code));
            }
        }
    }
}

/// Whether `code` uses `word` as a word of its own (`eprintln!(` does not use `println!(`).
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches_of(path: &str, line: &str) -> usize {
        let mut breaches = Vec::new();
        check(&Source { path: path.into(), text: line.into() }, &mut breaches);
        breaches.len()
    }

    #[test]
    fn a_room_that_names_a_foreign_thing_is_reported() {
        assert_eq!(breaches_of("runner/src/engine/rank.rs", "let s = zmq::Context::new();"), 1);
        assert_eq!(breaches_of("runner/src/coordinator/socket.rs", "let s = zmq::Context::new();"), 0);
        assert_eq!(breaches_of("runner/src/plan/model.rs", "use std::fs;"), 1);
        assert_eq!(breaches_of("runner/src/engine/rank.rs", "eprintln!(\"\")"), 0);
        assert_eq!(breaches_of("runner/src/engine/rank.rs", "println!(\"\")"), 1);
        assert_eq!(breaches_of("runner/src/engine/tests/rank.rs", "println!(\"\")"), 0);
    }
}
