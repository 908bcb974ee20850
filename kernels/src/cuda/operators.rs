//! Each operator as typed launches. Arguments were checked by the contract (`check`); what CUDA asks for beyond it is checked here.

mod sampling;
mod top_n;

use std::sync::Arc;

pub(super) use sampling::{plan_sampling, sample};
pub(super) use top_n::top_n;

use super::backend::CudaBackend;
use super::batch::AttentionTasks;
use super::device::Device;
use super::launch::{Launch, LaunchBuilder};
use super::matrix::chunks;
use super::registry::Kernel;
use crate::cpu::rotary_frequency;
use crate::model::config::Activation;
use crate::ops::attention::Attention;
use crate::ops::embedding::Embedding;
use crate::ops::error::{OpError, require};
use crate::ops::lm_head::{HeadStatistics, LmHead, VOCAB_CHUNK};
use crate::ops::matmul::{Epilogue, Matmul};
use crate::ops::matrix::TILE;
use crate::ops::norm::{Norm, NormKind, RowSelection};
use crate::ops::rotary::{RotaryAngles, RotateAndAppend, query_stride};
use crate::ops::{BatchInfo, KvCacheInfo, MatrixInfo, row_stride};

type Cuda<D> = CudaBackend<D>;

/// A count as a kernel takes it.
pub(super) fn word(value: usize) -> Result<u32, OpError> {
    u32::try_from(value).map_err(|_| OpError::new("launch", format!("{value} does not fit in 32 bits")))
}

/// Widths that attention kernels are compiled for, with the kernels for few and for many query vectors.
const ATTENTION_WIDTHS: [(usize, Kernel, Kernel); 5] = [
    (32, Kernel::AttentionFew32, Kernel::AttentionMany32),
    (64, Kernel::AttentionFew64, Kernel::AttentionMany64),
    (80, Kernel::AttentionFew80, Kernel::AttentionMany80),
    (96, Kernel::AttentionFew96, Kernel::AttentionMany96),
    (128, Kernel::AttentionFew128, Kernel::AttentionMany128),
];

/// The narrowest compiled width that holds a head.
pub(super) fn attention_width(head_dim: usize) -> Result<(usize, Kernel, Kernel), OpError> {
    ATTENTION_WIDTHS.into_iter().find(|(width, ..)| head_dim <= *width).ok_or_else(|| {
        OpError::new("kv_cache", format!("heads are {head_dim} wide; the CUDA kernels serve up to 128"))
    })
}

pub(super) fn embed<D: Device>(cuda: &mut Cuda<D>, args: Embedding<'_, Cuda<D>>) -> Result<(), OpError> {
    let (rows, layout) = (args.batch.covered(args.batch.rows()), args.token_table.layout());
    if rows == 0 {
        return Ok(());
    }
    let batch = args.batch.memory()?;
    let positions = args.position_table.map(|table| table.memory());
    let launch = LaunchBuilder::new(Kernel::EmbedRows)
        .pointer(D::address(&batch))
        .pointer(D::address(args.token_table.memory()))
        .pointer(positions.map_or(0, |memory| D::address(memory)))
        .pointer(D::address(args.hidden.memory()))
        .word(word(layout.inputs)?)
        .word(word(chunks(&layout) * 2)?)
        .grid(rows, 1)?;
    let used = [&batch, args.token_table.memory(), args.hidden.memory()];
    cuda.tape.push(launch, used.into_iter().chain(positions));
    Ok(())
}

pub(super) fn norm<D: Device>(cuda: &mut Cuda<D>, args: Norm<'_, Cuda<D>>) -> Result<(), OpError> {
    let rows = args.batch.covered(args.output_rows());
    if rows == 0 {
        return Ok(());
    }
    let batch = args.batch.memory()?;
    let bias = args.bias.map(|bias| bias.memory());
    let launch = LaunchBuilder::new(Kernel::NormRows)
        .pointer(D::address(&batch))
        .pointer(D::address(args.input.memory()))
        .pointer(D::address(args.weight.memory()))
        .pointer(bias.map_or(0, |memory| D::address(memory)))
        .pointer(D::address(args.output.memory()))
        .word(word(args.width)?)
        .word(word(row_stride(args.width))?)
        .float(args.epsilon)
        .word(u32::from(args.kind == NormKind::Layer))
        .word(u32::from(args.selection == RowSelection::Head))
        .grid(rows, 1)?;
    let used = [&batch, args.input.memory(), args.weight.memory(), args.output.memory()];
    cuda.tape.push(launch, used.into_iter().chain(bias));
    Ok(())
}

/// Rows up to which the kernel is used that spreads one tile of outputs over a block: weights then pass from memory once and
/// from the second-level cache at most four times.
const FEW_ROWS: usize = 64;
/// Rows from which blocks of 128 x 128 outputs are worth their size.
const LARGE_ROWS: usize = 512;

/// Kernel, rows and tiles of a block.
fn matmul_kernel(rows: usize, gated: bool) -> (Kernel, usize, usize) {
    if rows <= FEW_ROWS {
        if gated { (Kernel::MatmulFewGated, 16, 2) } else { (Kernel::MatmulFew, 16, 1) }
    } else if rows < LARGE_ROWS {
        (Kernel::MatmulBlock, 64, 4)
    } else {
        (Kernel::MatmulLarge, 128, 8)
    }
}

/// Number of the epilogue in matmul.cu.
fn epilogue_number(activation: Activation) -> u32 {
    match activation {
        Activation::SwiGlu => 2,
        Activation::GeluTanh => 3,
        Activation::Gelu => 4,
        Activation::SquaredRelu => 5,
    }
}

pub(super) fn matmul<D: Device>(cuda: &mut Cuda<D>, args: Matmul<'_, Cuda<D>>) -> Result<(), OpError> {
    let layout = args.weight.layout();
    if args.rows == 0 {
        return Ok(());
    }
    // All matrix products of a step have the batch's rows; the grid then covers its bucket.
    let live = cuda.live.as_ref().filter(|(_, rows, _)| *rows == args.rows);
    let rows = live.map_or(args.rows, |(_, _, covered)| *covered);
    let live = live.map(|(memory, ..)| memory);
    let (target, number) = match &args.epilogue {
        Epilogue::Store(output) => (output.memory(), 0),
        Epilogue::AddTo(output) => (output.memory(), 1),
        Epilogue::Activate(activation, output) => (output.memory(), epilogue_number(*activation)),
    };
    let bias = args.bias.map(|bias| bias.memory());
    let (kernel, block_rows, block_tiles) = matmul_kernel(rows, layout.gated);
    let launch = LaunchBuilder::new(kernel)
        .pointer(D::address(args.input.memory()))
        .pointer(live.map_or(0, |memory| D::address(memory)))
        .pointer(D::address(args.weight.memory()))
        .pointer(bias.map_or(0, |memory| D::address(memory)))
        .pointer(D::address(target))
        .word(word(rows)?)
        .word(word(row_stride(layout.inputs))?)
        .word(word(layout.tiles())?)
        .word(word(chunks(&layout))?)
        .word(word(layout.outputs)?)
        .word(number)
        .grid(rows.div_ceil(block_rows), layout.tiles().div_ceil(block_tiles))?;
    let used = [args.input.memory(), args.weight.memory(), target];
    cuda.tape.push(launch, used.into_iter().chain(live).chain(bias));
    Ok(())
}

pub(super) fn rotary_angles<D: Device>(
    cuda: &mut Cuda<D>,
    args: RotaryAngles<'_, Cuda<D>>,
) -> Result<(), OpError> {
    let (rows, half) = (args.batch.covered(args.batch.rows()), args.frequencies.dim / 2);
    if rows == 0 {
        return Ok(());
    }
    let known = cuda.frequencies.take().filter(|(key, _)| *key == args.frequencies);
    let frequencies = match known {
        Some((_, memory)) => memory,
        None => {
            let values: Vec<f64> = (0..half).map(|pair| rotary_frequency(&args.frequencies, pair)).collect();
            let memory = cuda.device.allocate(half * 8)?;
            cuda.device.upload(bytemuck::cast_slice(&values), &memory, 0)?;
            Arc::new(memory)
        }
    };
    cuda.frequencies = Some((args.frequencies, Arc::clone(&frequencies)));
    let batch = args.batch.memory()?;
    let launch = LaunchBuilder::new(Kernel::RotaryAngles)
        .pointer(D::address(&batch))
        .pointer(D::address(&frequencies))
        .pointer(D::address(args.angles.memory()))
        .word(word(half)?)
        .grid((rows * half).div_ceil(128), 1)?;
    cuda.tape.push(launch, [&batch, &frequencies, args.angles.memory()]);
    Ok(())
}

pub(super) fn rotate_and_append<D: Device>(
    cuda: &mut Cuda<D>,
    args: RotateAndAppend<'_, Cuda<D>>,
) -> Result<(), OpError> {
    let rows = args.batch.covered(args.batch.rows());
    if rows == 0 {
        return Ok(());
    }
    let (batch, cache) = (args.batch.memory()?, &*args.cache);
    let total_heads = args.heads + 2 * cache.geometry().kv_heads;
    let angles = args.angles.map(|(angles, _)| angles.memory());
    let norms = args.head_norm.as_ref().map(|norm| (norm.query_weight.memory(), norm.key_weight.memory()));
    let launch = LaunchBuilder::new(Kernel::RotateAndAppend)
        .pointer(D::address(&batch))
        .pointer(D::address(args.qkv.memory()))
        .pointer(angles.map_or(0, |memory| D::address(memory)))
        .pointer(norms.map_or(0, |(query, _)| D::address(query)))
        .pointer(norms.map_or(0, |(_, key)| D::address(key)))
        .pointer(D::address(args.queries.memory()))
        .pointer(D::address(&cache.memory))
        .layout(cache.layout)
        .word(word(args.layer)?)
        .word(word(args.heads)?)
        .word(word(cache.geometry().head_dim)?)
        .word(word(args.angles.map_or(0, |(_, dim)| dim / 2))?)
        .word(word(query_stride(cache.geometry().head_dim))?)
        .float(args.head_norm.as_ref().map_or(0.0, |norm| norm.epsilon))
        .grid((rows * total_heads).div_ceil(4), 1)?;
    let used = [&batch, args.qkv.memory(), args.queries.memory(), &cache.memory];
    let norms = norms.into_iter().flat_map(|(query, key)| [query, key]);
    cuda.tape.push(launch, used.into_iter().chain(angles).chain(norms));
    Ok(())
}

pub(super) fn attention<D: Device>(cuda: &mut Cuda<D>, args: Attention<'_, Cuda<D>>) -> Result<(), OpError> {
    if args.batch.rows() == 0 {
        return Ok(());
    }
    let cache = args.cache;
    let geometry = cache.geometry();
    let group = args.heads / geometry.kv_heads;
    if args.batch.encoded.borrow().group != group {
        cuda.group = group;
        cuda.upload_batch(args.batch)?;
    }
    let batch = args.batch.memory()?;
    let AttentionTasks { few, many, combines, partial_slots } = args.batch.encoded.borrow().tasks;
    let slots = args.batch.covered(partial_slots) * geometry.kv_heads * 16;
    let [values, states] = &mut cuda.partial;
    let values = values.reserve(&mut cuda.device, slots * cache.layout.width as usize * 4)?;
    let states = states.reserve(&mut cuda.device, slots * 8)?;
    let build = |kernel: Kernel, blocks: usize| -> Result<Launch, OpError> {
        LaunchBuilder::new(kernel)
            .pointer(D::address(&batch))
            .pointer(D::address(args.queries.memory()))
            .pointer(D::address(&cache.memory))
            .pointer(D::address(args.output.memory()))
            .pointer(D::address(&values))
            .pointer(D::address(&states))
            .layout(cache.layout)
            .word(word(args.layer)?)
            .word(word(args.heads)?)
            .word(word(geometry.head_dim)?)
            .word(word(query_stride(geometry.head_dim))?)
            .word(word(row_stride(args.heads * geometry.head_dim))?)
            .float(args.scale)
            .grid(args.batch.covered(blocks), geometry.kv_heads)
    };
    let (_, few_kernel, many_kernel) = attention_width(geometry.head_dim)?;
    let parts = [(many_kernel, many), (few_kernel, few), (Kernel::AttentionCombine, combines)];
    for (kernel, blocks) in parts.into_iter().filter(|(_, blocks)| *blocks > 0) {
        let launch = build(kernel, blocks)?;
        let used = [&batch, args.queries.memory(), &cache.memory, args.output.memory(), &values, &states];
        cuda.tape.push(launch, used);
    }
    Ok(())
}

pub(super) fn lm_head<D: Device>(cuda: &mut Cuda<D>, args: LmHead<'_, Cuda<D>>) -> Result<(), OpError> {
    let (head_rows, layout) = (args.batch.head_rows(), args.weight.layout());
    args.statistics.clear();
    require("lm_head", !layout.gated, || "the matrix is gated".to_owned())?;
    if head_rows == 0 {
        return cuda.tape.run(&mut cuda.device);
    }
    let (batch, rows) = (args.batch.memory()?, args.batch.covered(head_rows));
    let parts = layout.tiles().div_ceil(VOCAB_CHUNK / TILE);
    let [partial, targets, statistics] = &mut cuda.head;
    let partial = partial.reserve(&mut cuda.device, rows * parts * 12)?;
    let targets = targets.reserve(&mut cuda.device, rows * 4)?;
    let statistics = statistics.reserve(&mut cuda.device, rows * 16)?;
    let (kernel, block_rows) = if rows <= 16 { (Kernel::LmHeadFew, 16) } else { (Kernel::LmHeadMany, 64) };
    let launch = LaunchBuilder::new(kernel)
        .pointer(D::address(&batch))
        .pointer(D::address(args.input.memory()))
        .pointer(D::address(args.weight.memory()))
        .pointer(D::address(args.logits.memory()))
        .pointer(D::address(&partial))
        .pointer(D::address(&targets))
        .word(word(row_stride(layout.inputs))?)
        .word(word(layout.tiles())?)
        .word(word(chunks(&layout))?)
        .word(word(layout.outputs)?)
        .grid(rows.div_ceil(block_rows), parts)?;
    let used = [&batch, args.input.memory(), args.weight.memory(), args.logits.memory(), &partial, &targets];
    cuda.tape.push(launch, used);
    let launch = LaunchBuilder::new(Kernel::LmHeadCombine)
        .pointer(D::address(&batch))
        .pointer(D::address(&partial))
        .pointer(D::address(&targets))
        .pointer(D::address(&statistics))
        .word(word(parts)?)
        .grid(rows, 1)?;
    cuda.tape.push(launch, [&batch, &partial, &targets, &statistics]);
    sampling::draw_as_planned(cuda, args.logits, layout.outputs)?;
    cuda.tape.run(&mut cuda.device)?;
    cuda.words.clear();
    cuda.words.resize(head_rows * 4, 0);
    cuda.device.download(&statistics, 0, bytemuck::cast_slice_mut(&mut cuda.words))?;
    args.statistics.extend(cuda.words.as_chunks::<4>().0.iter().map(|row| HeadStatistics {
        log_sum_exp: f32::from_bits(row[0]),
        max_logit: f32::from_bits(row[1]),
        argmax: row[2],
        target_logit: f32::from_bits(row[3]),
    }));
    Ok(())
}
