//! Rule: functions stay short enough to be read in one go.

use std::path::Path;

use super::Source;

/// Reports every function longer than `limit` lines, except those of `exceptions` (file, name, reason). Works on rustfmt's layout: a function ends at the
/// first line that closes with its own indentation.
pub(super) fn check(
    source: &Source,
    limit: usize,
    exceptions: &[(&str, &str, &str)],
    breaches: &mut Vec<String>,
) {
    let lines: Vec<&str> = source.text.lines().collect();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", " ".repeat(indent));
        let length = lines[start..].iter().position(|line| *line == closing).map_or(1, |end| end + 1);
        let is_excepted =
            exceptions.iter().any(|(path, function, _)| source.path == Path::new(path) && name == *function);
        if length > limit && !is_excepted {
            breaches.push(format!(
                "{}:{}: fn {name} has {length} lines, at most {limit}",
                source.path.display(),
                start + 1
            ));
        }
    }
}

/// The name of the function that `line` begins, unless it is a one-liner or a bodiless declaration.
fn function_name(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let qualifiers = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "unsafe ", "extern \"C\" "];
    let mut rest = code;
    while let Some(next) = qualifiers.iter().find_map(|qualifier| rest.strip_prefix(qualifier)) {
        rest = next;
    }
    let name = rest.strip_prefix("fn ")?;
    let one_line = code.ends_with(';') || code.ends_with('}');
    (!one_line).then(|| name.split(['(', '<']).next().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_function_is_reported_by_name_and_line() {
        let body = "    work();\n".repeat(61);
        let source = Source {
            path: "a.rs".into(),
            text: format!("//! a\n\npub fn long() {{\n{body}}}\n\nfn short() {{\n}}\n"),
        };
        let mut breaches = Vec::new();
        check(&source, 60, &[("a.rs", "other", "a reason")], &mut breaches);
        assert_eq!(breaches, ["a.rs:3: fn long has 63 lines, at most 60"]);
        breaches.clear();
        check(&source, 60, &[("a.rs", "long", "a reason")], &mut breaches);
        assert!(breaches.is_empty());
    }
}
