//! How many blocks fit.

use super::call::In;
use super::call::Out;
use super::layout::LaunchConfig;
use crate::driver::error::{Error, Result};
use crate::driver::launch::multiprocessors;
use crate::driver::module::resolve_function;

/// A function of the program that tells the dynamic shared memory for a block size.
type SharedOf = Option<extern "C" fn(i32) -> usize>;

fn blocks(out: Out<i32>, function: usize, threads: i32, shared: usize) -> Result<()> {
    out.put(resolve_function(function)?.blocks_per_multiprocessor(threads, shared as u64)? as i32)
}

fn best(
    grid: Out<i32>,
    block: Out<i32>,
    function: usize,
    shared_of: SharedOf,
    shared: usize,
    most: i32,
) -> Result<()> {
    let shared = |threads| shared_of.map_or(shared, |shared_of| shared_of(threads)) as u64;
    let (blocks, threads) = resolve_function(function)?.best_block(shared, most, multiprocessors());
    grid.put(blocks as i32)?;
    block.put(threads as i32)
}

fn check_flags(flags: u32) -> Result<()> {
    if flags > 1 { Err(Error::InvalidValue) } else { Ok(()) }
}

api! {
    table TABLE;

    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(out: Out<i32>, function: usize, threads: i32, shared: usize) {
        blocks(out, function, threads, shared)
    }

    fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        out: Out<i32>, function: usize, threads: i32, shared: usize, flags: u32,
    ) {
        check_flags(flags)?;
        blocks(out, function, threads, shared)
    }

    fn cuOccupancyMaxPotentialBlockSize(
        grid: Out<i32>, block: Out<i32>, function: usize, shared_of: SharedOf, shared: usize, most: i32,
    ) {
        best(grid, block, function, shared_of, shared, most)
    }

    fn cuOccupancyMaxPotentialBlockSizeWithFlags(
        grid: Out<i32>, block: Out<i32>, function: usize, shared_of: SharedOf, shared: usize, most: i32, flags: u32,
    ) {
        check_flags(flags)?;
        best(grid, block, function, shared_of, shared, most)
    }

    fn cuOccupancyAvailableDynamicSMemPerBlock(out: Out<usize>, function: usize, blocks: i32, threads: i32) {
        out.put(resolve_function(function)?.dynamic_shared_for(blocks, threads)? as usize)
    }

    fn cuOccupancyMaxPotentialClusterSize(out: Out<i32>, function: usize, _config: In<LaunchConfig>) {
        resolve_function(function)?;
        out.put(1)
    }

    fn cuOccupancyMaxActiveClusters(out: Out<i32>, function: usize, config: In<LaunchConfig>) {
        let config = config.get()?;
        let threads = config.block.iter().product::<u32>() as i32;
        let per_unit = resolve_function(function)?
            .blocks_per_multiprocessor(threads, u64::from(config.dynamic_shared))?;
        out.put((per_unit * multiprocessors()) as i32)
    }
}
