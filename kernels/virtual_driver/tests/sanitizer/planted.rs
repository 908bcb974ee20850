//! Every planted bug (tests/cu/planted) and its twin. Lines are those marked in the sources by HERE and OTHER.

use goldlap_virtual_driver::machine::TrapKind;
use goldlap_virtual_driver::sanitizer::{FindingKind, Party};

use crate::bench::{Bench, Shape};

macro_rules! source {
    ($name:literal) => {
        (
            concat!("kernels/virtual_driver/tests/cu/planted/", $name, ".cu"),
            include_str!(concat!("../cu/planted/", $name, ".cu")),
            include_str!(concat!("../ptx/planted/", $name, ".ptx")),
        )
    };
}

type Source = (&'static str, &'static str, &'static str);

const RACES: Source = source!("races");
const COPIES: Source = source!("copies");
const MEMORY: Source = source!("memory");
const SYNCHRONISATION: Source = source!("synchronisation");

/// What a bug must be reported as.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Found(FindingKind),
    Trapped(TrapKind),
}

use Expected::{Found, Trapped};
use FindingKind::{
    AbandonedCopy, DivergentBarrier, MissingWait, ReadAfterWrite, Uninitialised, WriteAfterRead,
    WriteAfterWrite, WrongMask,
};

/// Kernel without `_bug` or `_fixed`, what is expected, blocks, threads, n, bytes of dynamic shared memory.
type Row = (&'static str, Expected, u32, u32, u32, u32);

const RACE_ROWS: &[Row] = &[
    ("neighbour", Found(ReadAfterWrite), 1, 64, 5, 0),
    ("overwrite", Found(WriteAfterRead), 1, 64, 5, 0),
    ("same_slot", Found(WriteAfterWrite), 1, 64, 1, 0),
    ("warp_exchange", Found(ReadAfterWrite), 1, 32, 7, 0),
    ("half_warp_exchange", Found(ReadAfterWrite), 1, 32, 3, 0),
    ("shuffle_is_no_barrier", Found(ReadAfterWrite), 1, 32, 1, 0),
    ("few_at_the_barrier", Found(ReadAfterWrite), 1, 96, 64, 0),
    ("arrive_is_no_wait", Found(WriteAfterRead), 1, 64, 1, 0),
    ("atomic_and_plain", Found(ReadAfterWrite), 1, 64, 1, 0),
    ("bytes", Found(ReadAfterWrite), 1, 64, 16, 0),
    ("halo", Found(ReadAfterWrite), 4, 64, 64, 0),
    ("result", Found(WriteAfterWrite), 4, 32, 3, 0),
    ("histogram", Found(WriteAfterWrite), 4, 32, 0, 0),
    ("scratch", Found(ReadAfterWrite), 1, 64, 3, 0),
    ("last_block", Found(ReadAfterWrite), 4, 64, 64, 0),
    ("last_block_narrow_fence", Found(ReadAfterWrite), 4, 64, 64, 0),
    ("lock", Found(ReadAfterWrite), 4, 32, 5, 0),
];

const COPY_ROWS: &[Row] = &[
    ("no_wait", Found(MissingWait), 1, 32, 0, 0),
    ("wait_too_little", Found(MissingWait), 1, 32, 0, 0),
    ("wait_without_barrier", Found(ReadAfterWrite), 1, 32, 1, 0),
    ("barrier_before_wait", Found(ReadAfterWrite), 1, 32, 1, 0),
    ("refill_too_early", Found(WriteAfterRead), 1, 64, 1, 0),
    ("left_behind", Found(AbandonedCopy), 1, 32, 0, 0),
    ("unwritten_source", Found(Uninitialised), 1, 32, 0, 0),
];

const MEMORY_ROWS: &[Row] = &[
    ("unwritten_input", Found(Uninitialised), 1, 64, 0, 0),
    ("unwritten_tail", Found(Uninitialised), 1, 64, 60, 0),
    ("unwritten_local", Found(Uninitialised), 1, 32, 4, 0),
    ("unwritten_frame", Found(Uninitialised), 1, 32, 1, 0),
    ("unwritten_counter", Found(Uninitialised), 1, 32, 0, 0),
    ("past_the_end", Trapped(TrapKind::IllegalAddress), 1, 64, 0, 0),
    ("before_the_start", Trapped(TrapKind::IllegalAddress), 1, 32, 0, 0),
    ("misaligned", Trapped(TrapKind::Misaligned), 1, 32, 0, 0),
    ("shared_too_small", Trapped(TrapKind::IllegalAddress), 1, 32, 1, 128),
    ("local_too_small", Trapped(TrapKind::IllegalAddress), 1, 32, 1, 0),
];

const SYNCHRONISATION_ROWS: &[Row] = &[
    ("two_barriers", Found(DivergentBarrier), 1, 32, 0, 0),
    ("unnamed_lanes", Found(WrongMask), 1, 32, 1, 0),
    ("masks_disagree", Found(WrongMask), 1, 32, 1, 0),
    ("ended_lanes", Found(WrongMask), 1, 32, 8, 0),
    ("nobody_comes", Trapped(TrapKind::Deadlock), 1, 64, 0, 0),
    ("different_barriers", Trapped(TrapKind::Deadlock), 1, 64, 0, 0),
    ("vote_without_all", Trapped(TrapKind::Deadlock), 1, 32, 0, 0),
];

fn shape(&(_, _, blocks, threads, n, dynamic_shared): &Row) -> Shape {
    Shape { blocks, threads, n, dynamic_shared, cooperative: false }
}

/// The lines of a kernel that bear a mark.
fn marked(source: &str, kernel: &str, mark: &str) -> Vec<u32> {
    let lines = source.lines().enumerate().skip_while(|(_, line)| !line.contains(&format!("({kernel})")));
    let mut body = Vec::new();
    for (index, line) in lines {
        body.push((index as u32 + 1, line));
        if line.starts_with('}') {
            break;
        }
    }
    let bears = |line: &str| line.split_once("// ").is_some_and(|(_, comment)| comment.contains(mark));
    body.into_iter().filter(|(_, line)| bears(line)).map(|(number, _)| number).collect()
}

fn line_of(party: &Party, file: &str) -> u32 {
    let (name, line) = party.source.as_ref().expect("a source line");
    assert_eq!(name, file);
    assert!(party.ptx_line > 0 && !party.instruction.is_empty());
    *line
}

fn check_bug(bench: &Bench, (file, source, _): Source, row: &Row) {
    let kernel = format!("{}_bug", row.0);
    let here = if row.0 == "unwritten_frame" {
        source
            .lines()
            .position(|line| line.ends_with("// CALLED"))
            .map(|index| vec![index as u32 + 1])
            .unwrap()
    } else {
        marked(source, &kernel, "HERE")
    };
    let outcome = bench.run(&kernel, shape(row));
    match row.1 {
        Found(kind) => {
            outcome.result.unwrap_or_else(|trap| panic!("{kernel}: {trap}"));
            let list: Vec<String> = outcome.findings.iter().map(ToString::to_string).collect();
            let list = list.join("\n");
            let others = marked(source, &kernel, "OTHER");
            let is_it = |finding: &&goldlap_virtual_driver::sanitizer::Finding| {
                finding.kind == kind && here.contains(&line_of(&finding.at, file))
            };
            let found = outcome.findings.iter().filter(is_it);
            let found: Vec<_> = found
                .filter(|finding| match &finding.other {
                    Some((_, other)) => others.contains(&line_of(other, file)),
                    None => others.is_empty(),
                })
                .collect();
            assert!(!found.is_empty(), "{kernel}: no {kind:?} at {here:?} with {others:?} in\n{list}");
            assert!(found.iter().all(|finding| finding.kernel == kernel));
            // The two are different threads, or the same one that forgot its own wait.
            let is_own = matches!(kind, MissingWait | AbandonedCopy);
            for finding in found {
                let other = finding.other.as_ref().map(|(_, other)| (other.block, other.thread));
                assert!(is_own || other != Some((finding.at.block, finding.at.thread)), "{finding}");
            }
        }
        Trapped(kind) => {
            let trap = outcome.result.expect_err(&kernel);
            assert_eq!(trap.kind, kind, "{kernel}: {trap}");
            let (name, line) = trap.source.clone().expect("a source line");
            assert_eq!(name, file);
            assert!(here.contains(&line), "{kernel}: {here:?} in {trap}");
        }
    }
}

fn check_twin(bench: &Bench, row: &Row) {
    let kernel = format!("{}_fixed", row.0);
    let outcome = bench.run(&kernel, shape(row));
    outcome.result.unwrap_or_else(|trap| panic!("{kernel}: {trap}"));
    let list: Vec<String> = outcome.findings.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{kernel}:\n{}", list.join("\n"));
}

/// Every row is tried, so that one run tells all that is wrong.
fn check(source: Source, rows: &[Row]) {
    let bench = Bench::load(source.2);
    let mut wrong = Vec::new();
    for row in rows {
        for check in [&|| check_bug(&bench, source, row), &|| check_twin(&bench, row)] as [&dyn Fn(); 2] {
            if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)) {
                wrong.push(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| row.0.to_owned()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn races_are_found() {
    check(RACES, RACE_ROWS);
}

#[test]
fn copies_without_their_waits_are_found() {
    check(COPIES, COPY_ROWS);
}

#[test]
fn wrong_addresses_and_unwritten_memory_are_found() {
    check(MEMORY, MEMORY_ROWS);
}

#[test]
fn wrong_barriers_and_masks_are_found() {
    check(SYNCHRONISATION, SYNCHRONISATION_ROWS);
}

#[test]
fn every_planted_kernel_is_tried() {
    let all = [
        (RACES, RACE_ROWS),
        (COPIES, COPY_ROWS),
        (MEMORY, MEMORY_ROWS),
        (SYNCHRONISATION, SYNCHRONISATION_ROWS),
    ];
    for ((_, source, _), rows) in all {
        let planted = source.lines().filter_map(|line| line.strip_prefix("KERNEL(")?.strip_suffix("_bug)"));
        let tried: Vec<&str> = rows.iter().map(|row| row.0).collect();
        assert_eq!(planted.collect::<Vec<_>>(), tried);
    }
    assert!(all.iter().map(|(_, rows)| rows.len()).sum::<usize>() >= 25);
}

#[test]
fn findings_do_not_hang_on_host_threads() {
    let mut bench = Bench::load(RACES.2);
    for row in RACE_ROWS.iter().filter(|row| row.2 > 1) {
        let kernel = format!("{}_bug", row.0);
        let mut seen = Vec::new();
        for threads in [1, 2, 7] {
            bench.options.threads = threads;
            seen.push(bench.run(&kernel, Shape { blocks: 8, ..shape(row) }).findings);
        }
        assert!(!seen[0].is_empty() && seen[0] == seen[1] && seen[1] == seen[2], "{kernel}");
    }
}
