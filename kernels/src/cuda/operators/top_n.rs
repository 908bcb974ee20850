//! The likeliest tokens: found on the device, put in order here.

use super::{Cuda, word};
use crate::cuda::device::Device;
use crate::cuda::launch::LaunchBuilder;
use crate::cuda::registry::Kernel;
use crate::ops::error::OpError;
use crate::ops::top_n::{TopN, TopRow, best_first};

/// Words of `struct TopRequest` in sampling.cu.
const REQUEST_WORDS: usize = 3;
/// Words of a token found, with its logit.
const FOUND_WORDS: usize = 2;

/// Runs a checked search, after everything that was called before. Only what was found comes to the host.
pub(in crate::cuda) fn top_n<D: Device>(cuda: &mut Cuda<D>, args: TopN<'_, Cuda<D>>) -> Result<(), OpError> {
    args.found.clear();
    cuda.tape.run(&mut cuda.device)?;
    if args.rows.is_empty() {
        return Ok(());
    }
    let total = encode(args.rows, &mut cuda.words)?;
    let [requests, found] = &mut cuda.top_n;
    let requests = requests.reserve(&mut cuda.device, args.rows.len() * REQUEST_WORDS * 4)?;
    let found = found.reserve(&mut cuda.device, total * FOUND_WORDS * 4)?;
    cuda.device.upload(bytemuck::cast_slice(&cuda.words), &requests, 0)?;
    let launch = LaunchBuilder::new(Kernel::FindTop)
        .pointer(D::address(args.logits.memory()))
        .pointer(D::address(&requests))
        .pointer(D::address(&found))
        .word(word(args.vocab_size)?)
        .grid(args.rows.len(), 1)?;
    cuda.tape.push(launch, [args.logits.memory(), &requests, &found]);
    cuda.tape.run(&mut cuda.device)?;
    cuda.words.clear();
    cuda.words.resize(total * FOUND_WORDS, 0);
    cuda.device.download(&found, 0, bytemuck::cast_slice_mut(&mut cuda.words))?;
    let mut pairs = cuda.words.as_chunks::<FOUND_WORDS>().0.iter();
    args.found.extend(args.rows.iter().map(|row| {
        let row = pairs.by_ref().take(row.count);
        let mut tokens: Vec<(u32, f32)> = row.map(|&[token, logit]| (token, f32::from_bits(logit))).collect();
        tokens.sort_unstable_by(best_first);
        tokens
    }));
    Ok(())
}

/// The requests of `rows`; returns how many tokens they want together.
fn encode(rows: &[TopRow], words: &mut Vec<u32>) -> Result<usize, OpError> {
    words.clear();
    let mut first = 0;
    for row in rows {
        words.extend([word(row.slot)?, word(row.count)?, word(first)?]);
        first += row.count;
    }
    word(first * FOUND_WORDS)?;
    Ok(first)
}
