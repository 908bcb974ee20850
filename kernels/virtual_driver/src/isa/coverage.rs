//! The coverage page, made from the table.

use std::fmt::Write;

use super::refused::REFUSED;
use super::special::Special;
use super::table::TABLE;

/// A Markdown table of every instruction with its modifiers, types and meaning, the special registers, and what is refused.
pub fn page() -> String {
    let mut page = String::from(
        "# PTX that the virtual device executes\n\n| Instruction | Operands | Modifiers | Types | Meaning |\n|---|---|---|---|---|\n",
    );
    for form in TABLE {
        let words: Vec<String> = form.words.iter().map(|word| format!(".{word}")).collect();
        let types: Vec<String> = form.types.iter().map(|word| format!(".{word}")).collect();
        let meaning = form.doc.replace('|', "\\|");
        let operands = form.operands.replace('|', "\\|");
        let _ = writeln!(
            page,
            "| `{}` | {operands} | {} | {} | {meaning} |",
            form.text,
            words.join(" "),
            types.join(" ")
        );
    }
    let specials: Vec<String> = Special::ALL.iter().map(|special| format!("`{}`", special.text())).collect();
    let _ = writeln!(
        page,
        "\nSpecial registers: {}, `%clock`, `%clock_hi`, `%clock64`, `%globaltimer`.",
        specials.join(", ")
    );
    page += "\n# PTX that is refused\n\nA module that uses one of these does not load; the message gives the reason.\n\n| Instruction | Reason |\n|---|---|\n";
    for (text, reason) in REFUSED {
        let _ = writeln!(page, "| `{text}` | {reason} |");
    }
    page
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_page_is_current() {
        let committed = include_str!("../../COVERAGE.md");
        assert!(committed == super::page(), "run the example `coverage` and commit COVERAGE.md");
    }
}
