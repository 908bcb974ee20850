//! Drawing tokens: in the same sequence of launches as the LM head where the step announced it, else on its own.

use std::sync::Arc;

use super::{Cuda, word};
use crate::cuda::CudaFloats;
use crate::cuda::device::Device;
use crate::cuda::graph_shapes::graded;
use crate::cuda::launch::LaunchBuilder;
use crate::cuda::registry::Kernel;
use crate::ops::Buffer;
use crate::ops::error::{OpError, require_len};
use crate::ops::sampling::{Drawn, SampleRow, Sampling};

/// Words of `struct Request` in sampling.cu.
const REQUEST_WORDS: usize = 10;
/// Slot of a request that asks for nothing.
const NO_SLOT: u32 = u32::MAX;

fn request(row: &SampleRow) -> Result<[u32; REQUEST_WORDS], OpError> {
    let args = &row.args;
    let halves = |value: u64| [value as u32, (value >> 32) as u32];
    let ([s0, s1], [k0, k1], [p0, p1]) = (halves(args.seed), halves(args.request_key), halves(args.position));
    let (temperature, top_p) = (args.temperature.to_bits(), args.top_p.to_bits());
    Ok([word(row.slot)?, args.top_k, temperature, top_p, s0, s1, k0, k1, p0, p1])
}

/// Uploads the requests of `rows`, filled up with empty ones to `count`.
fn upload_requests<D: Device>(cuda: &mut Cuda<D>, rows: &[SampleRow], count: usize) -> Result<(), OpError> {
    cuda.words.clear();
    for row in rows {
        cuda.words.extend(request(row)?);
    }
    cuda.words.resize(count * REQUEST_WORDS, NO_SLOT);
    let bytes: &[u8] = bytemuck::cast_slice(&cuda.words);
    let [requests, drawn] = &mut cuda.sampling;
    let requests = requests.reserve(&mut cuda.device, bytes.len())?;
    drawn.reserve(&mut cuda.device, count * 8)?;
    cuda.device.upload(bytes, &requests, 0)
}

/// Blocks for `rows` requests: more than there are if the step may come again as a graph.
fn covered<D: Device>(cuda: &Cuda<D>, rows: usize) -> usize {
    if cuda.tape.room.is_some() { graded(rows) } else { rows }
}

/// Keeps the step's requests and brings them to the device.
pub(in crate::cuda) fn plan_sampling<D: Device>(
    cuda: &mut Cuda<D>,
    rows: &[SampleRow],
) -> Result<(), OpError> {
    cuda.plan.rows.clear();
    cuda.plan.drawn_from = None;
    if rows.is_empty() {
        return Ok(());
    }
    let count = covered(cuda, rows.len());
    upload_requests(cuda, rows, count)?;
    cuda.plan.rows.extend_from_slice(rows);
    Ok(())
}

/// Appends the planned draw, if there is one, to the launches of the LM head that makes `logits`.
pub(super) fn draw_as_planned<D: Device>(
    cuda: &mut Cuda<D>,
    logits: &CudaFloats<D>,
    vocab_size: usize,
) -> Result<(), OpError> {
    let Some(slots) = cuda.plan.rows.iter().map(|row| row.slot + 1).max() else { return Ok(()) };
    require_len("sampling", "logits", logits.len(), slots * vocab_size)?;
    let count = covered(cuda, cuda.plan.rows.len());
    push_draw(cuda, logits, vocab_size, count)?;
    cuda.plan.drawn_from = Some(Arc::clone(logits.memory()));
    Ok(())
}

fn push_draw<D: Device>(
    cuda: &mut Cuda<D>,
    logits: &CudaFloats<D>,
    vocab_size: usize,
    count: usize,
) -> Result<(), OpError> {
    let [requests, drawn] = &mut cuda.sampling;
    let requests = requests.reserve(&mut cuda.device, count * REQUEST_WORDS * 4)?;
    let drawn = drawn.reserve(&mut cuda.device, count * 8)?;
    let launch = LaunchBuilder::new(Kernel::SampleRows)
        .pointer(D::address(logits.memory()))
        .pointer(D::address(&requests))
        .pointer(D::address(&drawn))
        .word(word(vocab_size)?)
        .grid(count, 1)?;
    cuda.tape.push(launch, [logits.memory(), &requests, &drawn]);
    Ok(())
}

/// Runs a checked sampling.
pub(in crate::cuda) fn sample<D: Device>(
    cuda: &mut Cuda<D>,
    args: Sampling<'_, Cuda<D>>,
) -> Result<(), OpError> {
    args.drawn.clear();
    if args.rows.is_empty() {
        return cuda.tape.run(&mut cuda.device);
    }
    let from = cuda.plan.drawn_from.take();
    let planned = from.is_some_and(|memory| Arc::ptr_eq(&memory, args.logits.memory()));
    if !planned || cuda.plan.rows != args.rows {
        cuda.tape.run(&mut cuda.device)?;
        upload_requests(cuda, args.rows, args.rows.len())?;
        push_draw(cuda, args.logits, args.vocab_size, args.rows.len())?;
        cuda.tape.run(&mut cuda.device)?;
    }
    cuda.words.clear();
    cuda.words.resize(args.rows.len() * 2, 0);
    let drawn = cuda.sampling[1].reserve(&mut cuda.device, args.rows.len() * 8)?;
    cuda.device.download(&drawn, 0, bytemuck::cast_slice_mut(&mut cuda.words))?;
    let pairs = cuda.words.as_chunks::<2>().0.iter();
    args.drawn.extend(pairs.map(|&[token, logit]| Drawn { token, logit: f32::from_bits(logit) }));
    Ok(())
}
