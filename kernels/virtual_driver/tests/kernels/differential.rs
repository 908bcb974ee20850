//! Random straight-line programs: every executor of this host against the evaluator of [`crate::straight_line`].

use goldlap_virtual_driver::isa::table::TABLE;
use proptest::prelude::*;

use crate::straight_line::check;

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").map_or(200, |n| n.parse().unwrap()), ..ProptestConfig::default() })]
    #[test]
    fn the_machine_agrees_with_an_exact_evaluator(bytes in prop::collection::vec(any::<u8>(), 10..600)) {
        let difference = check(&bytes).err();
        prop_assert!(difference.is_none(), "{}", difference.unwrap_or_default());
    }
}

/// Rows of the table whose instructions the evaluator does not know.
const NOT_DRAWN: &[&str] = &[
    // Approximations: tested against bounds, one by one.
    "rsqrt",
    "sin",
    "cos",
    "lg2",
    "ex2",
    "tanh",
    // Addresses other than local ones, other lanes, jumps: not straight lines of one thread.
    "cvta",
    "isspacep",
    "ldu",
    "atom",
    "red",
    "prefetch",
    "prefetchu",
    "discard",
    "applypriority",
    "createpolicy",
    "cp.async",
    "bra",
    "brx",
    "call",
    "ret",
    "exit",
    "trap",
    "brkpt",
    "nanosleep",
    "pmevent",
    "bar",
    "barrier",
    "mbarrier",
    "membar",
    "fence",
    "griddepcontrol",
    "shfl",
    "vote",
    "match",
    "activemask",
    "redux",
    "elect",
    "ldmatrix",
    "stmatrix",
    "movmatrix",
    "mma",
    "wmma",
];

/// Words and types of drawn rows that no draw uses: approximate forms, and what only names caches, spaces and orders.
const NOT_USED: &[(&str, &[&str])] = &[
    ("div", &["approx", "full"]),
    ("rcp", &["approx"]),
    ("sqrt", &["approx"]),
    ("mov", &["b128", "s16", "u32", "s64", "f16", "bf16", "f16x2", "bf16x2"]),
];

#[test]
fn every_row_of_the_table_is_drawn_with_all_its_words() {
    let mut seen = std::collections::BTreeSet::new();
    for text in crate::straight_line::texts(60_000) {
        let opcode = text.split(' ').next().unwrap_or_default().to_owned();
        seen.extend(
            opcode.split('.').map(|word| format!("{} {word}", opcode.split('.').next().unwrap_or_default())),
        );
    }
    let mut missing = Vec::new();
    for row in TABLE.iter().filter(|row| !NOT_DRAWN.contains(&row.text) && !matches!(row.text, "ld" | "st")) {
        let opcode = row.text.split('.').next().unwrap_or_default();
        let unused = NOT_USED.iter().find(|(text, _)| *text == row.text).map_or(&[][..], |(_, words)| words);
        for word in row.words.iter().chain(row.types).filter(|word| !unused.contains(word)) {
            if !seen.contains(&format!("{opcode} {word}")) {
                missing.push(format!("{}.{word}", row.text));
            }
        }
    }
    assert!(missing.is_empty(), "the evaluator does not draw {missing:?}");
}
