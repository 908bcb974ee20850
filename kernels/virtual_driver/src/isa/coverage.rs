//! The coverage page, made from the table.

use std::fmt::Write;

use super::special::Special;
use super::table::TABLE;

/// A Markdown table of every instruction with its modifiers, types and meaning, and the special registers.
pub fn page() -> String {
    let mut page =
        String::from("| Instruction | Operands | Modifiers | Types | Meaning |\n|---|---|---|---|---|\n");
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
    page
}
