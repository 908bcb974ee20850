//! Pass 4: virtual registers to slots, by linear scan over live intervals.
//!
//! A lane that waits in another branch does not mind that its slot is reused: writes touch only the lanes that run, and
//! each lane by itself follows one path, for which the intervals hold. Short register files matter: a warp's registers
//! should stay in the first-level cache.

use super::program::Constant;
use super::select::Selection;
use crate::isa::{Op, R, Touch, Width};

/// Live positions of a virtual register: first and last instruction.
#[derive(Clone, Copy)]
struct Interval {
    start: u32,
    end: u32,
}

/// A straight piece of code and what follows it.
struct Piece {
    start: usize,
    end: usize,
    next: Vec<usize>,
}

/// Whether the next instruction need not follow.
fn ends_piece(op: &Op) -> bool {
    matches!(op, Op::Branch { .. } | Op::BranchIndexed { .. } | Op::Return | Op::Exit)
}

/// Where an operation may go on besides the next instruction, and whether it may go on there.
fn successors(op: &Op, always: bool) -> (Vec<usize>, bool) {
    let targets = op.targets().iter().map(|&target| target as usize).collect();
    (targets, !(ends_piece(op) && always))
}

/// Cuts the code (targets resolved, relative to its start) at jumps and targets.
fn pieces(selection: &Selection) -> Vec<Piece> {
    let code = &selection.code;
    let mut cuts = vec![false; code.len() + 1];
    cuts[0] = true;
    for (at, inst) in code.iter().enumerate() {
        if ends_piece(&inst.op) {
            cuts[at + 1] = true;
            for target in successors(&inst.op, true).0 {
                cuts[target] = true;
            }
        }
    }
    let starts: Vec<usize> = (0..code.len()).filter(|&at| cuts[at]).collect();
    let index_of = |at: usize| starts.binary_search(&at).ok();
    let mut pieces = Vec::new();
    for (index, &start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(code.len());
        let last = &code[end - 1];
        let (targets, falls) = successors(&last.op, last.guard == crate::isa::Cond::TRUE);
        let mut next: Vec<usize> = targets.into_iter().filter_map(index_of).collect();
        if falls {
            next.extend(index_of(end));
        }
        pieces.push(Piece { start, end, next });
    }
    pieces
}

struct Sets {
    words: usize,
    bits: Vec<u64>,
}

impl Sets {
    fn new(count: usize, registers: usize) -> Self {
        let words = registers.div_ceil(64);
        Self { words, bits: vec![0; words * count] }
    }

    fn row(&self, index: usize) -> &[u64] {
        &self.bits[index * self.words..(index + 1) * self.words]
    }

    fn row_mut(&mut self, index: usize) -> &mut [u64] {
        &mut self.bits[index * self.words..(index + 1) * self.words]
    }
}

fn set(row: &mut [u64], r: R) {
    row[r.0 as usize / 64] |= 1 << (r.0 % 64);
}

fn clear(row: &mut [u64], r: R) {
    row[r.0 as usize / 64] &= !(1 << (r.0 % 64));
}

/// Registers read in a piece before they are written, and registers surely written in it.
fn local_sets(selection: &mut Selection, pieces: &[Piece]) -> (Sets, Sets) {
    let registers = selection.widths.len();
    let (mut reads, mut kills) = (Sets::new(pieces.len(), registers), Sets::new(pieces.len(), registers));
    for (index, piece) in pieces.iter().enumerate() {
        for inst in selection.code[piece.start..piece.end].iter_mut().rev() {
            let always = inst.guard == crate::isa::Cond::TRUE;
            if always {
                inst.op.visit(&mut |touch| {
                    if let Touch::Def(r) = touch {
                        clear(reads.row_mut(index), *r);
                        set(kills.row_mut(index), *r);
                    }
                });
            }
            inst.op.visit(&mut |touch| {
                if let Touch::Use(r) = touch {
                    set(reads.row_mut(index), *r);
                }
            });
        }
    }
    (reads, kills)
}

/// Registers live at the start and at the end of each piece, by iteration to a fixed point.
fn liveness(selection: &mut Selection, pieces: &[Piece]) -> (Sets, Sets) {
    let (mut live_in, kills) = local_sets(selection, pieces);
    let mut live_out = Sets::new(pieces.len(), selection.widths.len());
    let mut changed = true;
    while changed {
        changed = false;
        for index in (0..pieces.len()).rev() {
            for word in 0..live_out.words {
                let out = pieces[index].next.iter().fold(0, |bits, &next| bits | live_in.row(next)[word]);
                live_out.row_mut(index)[word] = out;
                let entering = live_in.row(index)[word] | (out & !kills.row(index)[word]);
                if entering != live_in.row(index)[word] {
                    live_in.row_mut(index)[word] = entering;
                    changed = true;
                }
            }
        }
    }
    (live_in, live_out)
}

fn intervals(selection: &mut Selection) -> Vec<Option<Interval>> {
    let pieces = pieces(selection);
    let (live_in, live_out) = liveness(selection, &pieces);
    let mut intervals: Vec<Option<Interval>> = vec![None; selection.widths.len()];
    let mut cover = |r: usize, at: u32| {
        let interval = intervals[r].get_or_insert(Interval { start: at, end: at });
        interval.start = interval.start.min(at);
        interval.end = interval.end.max(at);
    };
    for (index, piece) in pieces.iter().enumerate() {
        for (row, at) in [(live_in.row(index), piece.start), (live_out.row(index), piece.end - 1)] {
            for (word, &bits) in row.iter().enumerate() {
                let mut bits = bits;
                while bits != 0 {
                    cover(word * 64 + bits.trailing_zeros() as usize, at as u32);
                    bits &= bits - 1;
                }
            }
        }
        for (at, inst) in selection.code.iter_mut().enumerate().take(piece.end).skip(piece.start) {
            inst.op.visit(&mut |touch| {
                if let Touch::Def(r) | Touch::Use(r) = touch {
                    cover(r.0 as usize, at as u32);
                }
            });
        }
    }
    intervals
}

/// Free slots by width, and the end of the file so far.
#[derive(Default)]
struct Slots {
    free: [Vec<u32>; 3],
    end: u32,
}

fn class(width: Width) -> usize {
    match width {
        Width::W32 => 0,
        Width::W64 => 1,
        Width::W128 => 2,
    }
}

impl Slots {
    fn take(&mut self, width: Width) -> u32 {
        if let Some(slot) = self.free[class(width)].pop() {
            return slot;
        }
        let slot = self.end;
        self.end += width.slots();
        slot
    }

    fn give(&mut self, width: Width, slot: u32) {
        self.free[class(width)].push(slot);
    }
}

/// Rewrites all registers to slots; returns how many slots there are. Constants keep theirs throughout.
pub(super) fn run(selection: &mut Selection) -> u32 {
    let intervals = intervals(selection);
    let mut slots = Slots::default();
    let mut slot_of: Vec<u32> = vec![u32::MAX; selection.widths.len()];
    for (r, constant) in &selection.constants {
        debug_assert!(
            !matches!(constant, Constant::Bits128(_)) || selection.widths[r.0 as usize] == Width::W128
        );
        slot_of[r.0 as usize] = slots.take(selection.widths[r.0 as usize]);
    }
    let mut order: Vec<(u32, u32, usize)> = intervals
        .iter()
        .enumerate()
        .filter_map(|(r, interval)| interval.map(|i| (i.start, i.end, r)))
        .filter(|&(_, _, r)| slot_of[r] == u32::MAX)
        .collect();
    order.sort_unstable();
    let mut active: Vec<(u32, usize)> = Vec::new();
    for (start, end, r) in order {
        active.retain(|&(other_end, other)| {
            let stays = other_end >= start;
            if !stays {
                slots.give(selection.widths[other], slot_of[other]);
            }
            stays
        });
        slot_of[r] = slots.take(selection.widths[r]);
        active.push((end, r));
    }
    for inst in &mut selection.code {
        inst.op.visit(&mut |touch| {
            if let Touch::Def(r) | Touch::Use(r) = touch {
                r.0 = slot_of[r.0 as usize];
            }
        });
    }
    for (r, _) in &mut selection.constants {
        r.0 = slot_of[r.0 as usize];
    }
    slots.end
}
