//! Blocks over host threads.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::block::{Block, Progress};
use super::context::Context;
use super::observer::Observer;
use super::trap::Trap;

/// Below so many threads in all, starting host threads costs more than it gains.
const WORTH_SPREADING: u64 = 2048;

/// What the blocks of a launch left behind.
#[derive(Default)]
struct Ends {
    /// Printed bytes by block.
    printed: Vec<(u64, Vec<u8>)>,
    /// The trap of the lowest block.
    trap: Option<(u64, Box<Trap>)>,
}

impl Ends {
    fn add_trap(&mut self, index: u64, trap: Box<Trap>) {
        if self.trap.as_ref().is_none_or(|(first, _)| index < *first) {
            self.trap = Some((index, trap));
        }
    }
}

fn position(context: &Context<'_>, index: u64) -> [u32; 3] {
    let [x, y, _] = context.spec.grid.map(u64::from);
    [(index % x) as u32, (index / x % y) as u32, (index / x / y) as u32]
}

/// Runs all blocks and reports what they printed, in block order.
pub(super) fn run<O: Observer>(context: &Context<'_>, observer: &O) -> Result<(), Box<Trap>>
where
    O::Block: Send,
{
    let blocks: u64 = context.spec.grid.iter().map(|&extent| u64::from(extent)).product();
    let ends = Mutex::new(Ends::default());
    let is_ordered = context
        .program
        .reachable(context.kernel)
        .iter()
        .any(|&f| context.program.functions[f as usize].is_order_dependent);
    if context.spec.cooperative {
        run_together(context, observer, blocks, &ends);
    } else {
        let small = blocks * u64::from(context.threads) < WORTH_SPREADING;
        let threads = if is_ordered || small || observer.is_sequential() {
            1
        } else {
            context.options.threads.clamp(1, blocks as usize)
        };
        let next = AtomicU64::new(0);
        if threads == 1 {
            work(context, observer, blocks, &next, &ends);
        } else {
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(|| work(context, observer, blocks, &next, &ends));
                }
                work(context, observer, blocks, &next, &ends);
            });
        }
    }
    finish(context, ends.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn finish(context: &Context<'_>, mut ends: Ends) -> Result<(), Box<Trap>> {
    ends.printed.sort_by_key(|(index, _)| *index);
    for (_, bytes) in &ends.printed {
        match context.options.print {
            Some(print) => print(bytes),
            // A closed standard output must not fail the launch.
            None => drop(std::io::stdout().lock().write_all(bytes)),
        }
    }
    match ends.trap {
        Some((_, trap)) => Err(trap),
        None => Ok(()),
    }
}

/// Takes blocks in index order until there are none, or one trapped.
fn work<O: Observer>(context: &Context<'_>, observer: &O, blocks: u64, next: &AtomicU64, ends: &Mutex<Ends>) {
    let mut block = Block::<O::Block>::new(context);
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= blocks {
            return;
        }
        let result =
            block.start(context, observer, position(context, index)).and_then(|()| block.run_to_end(context));
        conclude(observer, &mut block, index, result, ends);
        if lock(ends).trap.is_some() {
            next.store(blocks, Ordering::Relaxed);
            return;
        }
    }
}

fn lock(ends: &Mutex<Ends>) -> std::sync::MutexGuard<'_, Ends> {
    ends.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn conclude<O: Observer>(
    observer: &O,
    block: &mut Block<O::Block>,
    index: u64,
    result: Result<(), Box<Trap>>,
    ends: &Mutex<Ends>,
) {
    let printed = block.take_output();
    if !printed.is_empty() {
        lock(ends).printed.push((index, printed));
    }
    match result {
        Ok(()) => {
            if let Some(watch) = block.take_observer() {
                observer.close_block(watch);
            }
        }
        Err(trap) => lock(ends).add_trap(index, trap),
    }
}

/// All blocks are there from the start and take turns, so that they may wait for each other.
fn run_together<O: Observer>(context: &Context<'_>, observer: &O, blocks: u64, ends: &Mutex<Ends>) {
    let mut running: Vec<(u64, Block<O::Block>)> = Vec::new();
    for index in 0..blocks {
        let mut block = Block::new(context);
        match block.start(context, observer, position(context, index)) {
            Ok(()) => running.push((index, block)),
            Err(trap) => return conclude(observer, &mut block, index, Err(trap), ends),
        }
    }
    while !running.is_empty() {
        let mut still = Vec::with_capacity(running.len());
        for (index, mut block) in running {
            match block.turn(context) {
                Ok(Progress::Ended) => conclude(observer, &mut block, index, Ok(()), ends),
                Ok(Progress::Runs) => still.push((index, block)),
                Err(trap) => return conclude(observer, &mut block, index, Err(trap), ends),
            }
        }
        running = still;
    }
}
