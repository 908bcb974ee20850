//! What a report says.

use goldlap_virtual_driver::machine::TrapKind;

use crate::bench::{Bench, Shape};

const RACES: &str = include_str!("../ptx/planted/races.ptx");
const MEMORY: &str = include_str!("../ptx/planted/memory.ptx");

fn shape(blocks: u32, threads: u32, n: u32) -> Shape {
    Shape { blocks, threads, n, dynamic_shared: 0, cooperative: false }
}

#[test]
fn a_race_names_both_parties() {
    let outcome = Bench::load(RACES).run("warp_exchange_bug", shape(1, 32, 7));
    let [finding] = &outcome.findings[..] else { panic!("{:?}", outcome.findings) };
    assert_eq!(finding.count, 32);
    let text = finding.to_string();
    for part in [
        "race (read after write) in kernel warp_exchange_bug: shared load of 4 bytes",
        "byte 28 of shared `",
        "races.cu:",
        "ld.shared.f32",
        "st.shared.f32",
        "in block (0, 0, 0), thread (0, 0, 0)",
        "and the write by",
        "in block (0, 0, 0), thread (7, 0, 0)",
        "32 times alike",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

#[test]
fn an_address_is_told_with_its_allocation() {
    let bench = Bench::load(MEMORY);
    let outcome = bench.run("unwritten_input_bug", shape(1, 64, 0));
    let text = outcome.findings[0].to_string();
    let part = format!("address 0x{:x}, byte 4000 of the 4096 at 0x{:x}", bench.x + 4000, bench.x);
    assert!(text.contains(&part), "no `{part}` in\n{text}");
    assert!(text.contains("thread (40, 0, 0)"), "{text}");
}

#[test]
fn memory_that_was_freed_is_known_as_such() {
    let bench = Bench::load(MEMORY);
    bench.run("past_the_end_fixed", shape(1, 64, 0)).result.unwrap();
    let trap = {
        bench.free_x();
        bench.run_as_it_is("past_the_end_fixed", shape(1, 64, 0)).result.unwrap_err()
    };
    assert_eq!(trap.kind, TrapKind::IllegalAddress);
    let part = format!("use after free: byte 0 of the 4096 that were at 0x{:x}", bench.x);
    assert!(trap.what.contains(&part), "no `{part}` in {trap}");
}
