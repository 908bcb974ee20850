//! Random programs: one that orders everything is clean, and what is taken out of it is missed.
//!
//! A program is a row of phases over one buffer in shared memory. In each phase every thread writes its slot or a slot
//! that a permutation gives it; then all meet; then every thread reads the slot of another permutation; then all meet.

use std::fmt::Write;

use goldlap_virtual_driver::machine::TrapKind;
use goldlap_virtual_driver::sanitizer::FindingKind;
use proptest::prelude::*;

use crate::bench::{Bench, Shape};

const THREADS: u32 = 64;

/// One phase: slot written is `(t * (2 a + 1) + b) % 64`, slot read likewise with `c` and `d`.
#[derive(Clone, Copy, Debug)]
struct Phase {
    write: (u32, u32),
    read: (u32, u32),
    /// By `cp.async` from `x` instead of a store.
    copies: bool,
    /// Bytes of a slot: 4, 2 or 1.
    bytes: u32,
}

/// What is done to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    None,
    /// The barrier between write and read of a phase is left out.
    NoBarrierBeforeRead,
    /// The barrier between the read of a phase and the write of the next is left out.
    NoBarrierAfterRead,
    /// Only one warp takes part in a write.
    HalfWrites,
    /// All threads write slot 0.
    OneSlot,
    /// Reads go behind the buffer.
    TooFar,
    /// The wait of a copy is left out.
    NoWait,
}

fn slot(text: &mut String, into: &str, (a, b): (u32, u32), bytes: u32) {
    let _ = writeln!(text, "mad.lo.u32 {into}, %t, {}, {b};\nand.b32 {into}, {into}, 63;", 2 * a + 1);
    let _ = writeln!(text, "mul.lo.u32 {into}, {into}, {bytes};\nadd.u32 {into}, {into}, %s;");
}

fn phase(text: &mut String, phase: Phase, mutation: Mutation) {
    let bytes = if phase.copies { 4 } else { phase.bytes };
    let width = 8 * bytes;
    slot(text, "%w", phase.write, bytes);
    slot(text, "%r", phase.read, bytes);
    match mutation {
        Mutation::OneSlot => text.push_str("mov.u32 %w, %s;\n"),
        Mutation::TooFar => text.push_str("add.u32 %r, %r, 256;\n"),
        Mutation::HalfWrites => text.push_str("setp.ge.u32 %p, %t, 32;\n@%p bra $SKIP;\n"),
        Mutation::None | Mutation::NoBarrierBeforeRead | Mutation::NoBarrierAfterRead | Mutation::NoWait => {}
    }
    if phase.copies {
        text.push_str("cp.async.ca.shared.global [%w], [%x], 4;\ncp.async.commit_group;\n");
        if mutation != Mutation::NoWait {
            text.push_str("cp.async.wait_group 0;\n");
        }
    } else {
        // The value differs between threads in the lowest byte, or a store would change nothing.
        let _ = writeln!(text, "st.shared.b{width} [%w], %v;\nadd.u32 %v, %v, 64;");
    }
    if mutation == Mutation::HalfWrites {
        text.push_str("$SKIP:\n");
    }
    if mutation != Mutation::NoBarrierBeforeRead {
        text.push_str("bar.sync 0;\n");
    }
    let _ = writeln!(text, "ld.shared.u{width} %q, [%r];\nadd.u32 %sum, %sum, %q;");
    if mutation != Mutation::NoBarrierAfterRead {
        text.push_str("bar.sync 0;\n");
    }
}

/// The program, with a mutation of one phase.
fn program(phases: &[Phase], at: usize, mutation: Mutation) -> String {
    let mut text = String::from(
        ".version 7.8\n.target sm_80\n.address_size 64\n\
         .visible .entry random(.param .u64 y, .param .u64 x, .param .u32 n, .param .u64 counter)\n{\n\
         .reg .pred %p;\n.reg .b32 %t, %s, %w, %r, %q, %v, %sum;\n.reg .b64 %x, %y, %o;\n\
         .shared .align 16 .b8 buffer[256];\n\
         mov.u32 %t, %tid.x;\nmov.u32 %s, buffer;\nmov.u32 %sum, 0;\nmov.u32 %v, %t;\n\
         mul.wide.u32 %o, %t, 4;\nld.param.u64 %x, [x];\nadd.u64 %x, %x, %o;\n\
         ld.param.u64 %y, [y];\nadd.u64 %y, %y, %o;\n",
    );
    for (index, &one) in phases.iter().enumerate() {
        phase(&mut text, one, if index == at { mutation } else { Mutation::None });
    }
    text.push_str("cp.async.wait_all;\nst.global.u32 [%y], %sum;\nret;\n}\n");
    text
}

fn phases() -> impl Strategy<Value = Vec<Phase>> {
    let pair = || (0..32_u32, 0..64_u32);
    let one = (pair(), pair(), any::<bool>(), prop::sample::select(vec![1_u32, 2, 4]));
    let one = one.prop_map(|(write, read, copies, bytes)| Phase { write, read, copies, bytes });
    prop::collection::vec(one, 2..6)
}

/// Whether some thread reads what another warp's, or with `same_warp` any other thread, wrote in the phase.
fn crosses(phase: Phase) -> bool {
    let place = |(a, b): (u32, u32), t: u32| (t * (2 * a + 1) + b) & 63;
    (0..THREADS).any(|t| place(phase.write, t) != place(phase.read, t))
}

const SHAPE: Shape = Shape { blocks: 2, threads: THREADS, n: 0, dynamic_shared: 0, cooperative: false };

fn is_found(phases: &[Phase], at: usize, mutation: Mutation) -> Result<(), TestCaseError> {
    let text = program(phases, at, mutation);
    let outcome = Bench::load(&text).run("random", SHAPE);
    let has = |kinds: &[FindingKind]| outcome.findings.iter().any(|finding| kinds.contains(&finding.kind));
    let races = [FindingKind::ReadAfterWrite, FindingKind::WriteAfterRead, FindingKind::WriteAfterWrite];
    let waits = [&races[..], &[FindingKind::MissingWait, FindingKind::Uninitialised]].concat();
    let is_found = match mutation {
        Mutation::None => outcome.findings.is_empty() && outcome.result.is_ok(),
        Mutation::NoBarrierBeforeRead | Mutation::NoBarrierAfterRead => has(&waits),
        Mutation::HalfWrites => has(&[FindingKind::Uninitialised]),
        Mutation::OneSlot => has(&waits),
        Mutation::TooFar => outcome.result.as_ref().is_err_and(|trap| trap.kind == TrapKind::IllegalAddress),
        Mutation::NoWait => has(&[FindingKind::MissingWait]),
    };
    let list: Vec<String> = outcome.findings.iter().map(ToString::to_string).collect();
    prop_assert!(is_found, "{mutation:?} of phase {at}: {:?}\n{}\n{text}", outcome.result, list.join("\n"));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").map_or(64, |n| n.parse().unwrap()), ..ProptestConfig::default() })]

    #[test]
    fn ordered_programs_are_clean_and_mutations_are_found(phases in phases(), at in 0..100_usize) {
        is_found(&phases, 0, Mutation::None)?;
        let at = at % phases.len();
        if crosses(phases[at]) {
            is_found(&phases, at, Mutation::NoBarrierBeforeRead)?;
        }
        if at + 1 < phases.len() {
            // The next write must touch what another thread has read: with two permutations that differ it does.
            let next = Phase { read: phases[at + 1].read, write: phases[at + 1].write, ..phases[at + 1] };
            if crosses(Phase { write: next.write, read: phases[at].read, ..next }) && next.bytes == 4 && phases[at].bytes == 4 {
                is_found(&phases, at, Mutation::NoBarrierAfterRead)?;
            }
        }
        is_found(&phases, at, Mutation::OneSlot)?;
        is_found(&phases, at, Mutation::TooFar)?;
        // The first phase finds nothing that an earlier one has written.
        is_found(&phases, 0, Mutation::HalfWrites)?;
        if phases[at].copies {
            is_found(&phases, at, Mutation::NoWait)?;
        }
    }
}
