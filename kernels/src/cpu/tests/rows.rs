//! Norms, rotary embedding and the append to the cache.

use super::{Random, loaded, on_all_paths, one_sequence, widen, worst};
use crate::cpu::{Aligned, CpuBackend};
use crate::model::config::RopeScaling;
use crate::ops::batch::{HeadRow, RaggedBatch};
use crate::ops::kv_cache::KvGeometry;
use crate::ops::norm::{Norm, NormKind, RowSelection};
use crate::ops::rotary::{HeadNorm, RotaryAngles, RotaryFrequencies, RotateAndAppend, query_stride};
use crate::ops::{Backend, row_stride};

#[path = "../../../tests/shared/rotary.rs"]
mod rotary;

use self::rotary::turned;

/// Head rows are rows 1 and 4.
fn batch(rows: usize) -> RaggedBatch {
    let mut batch = one_sequence(&vec![0; rows], 8);
    batch.head.extend([1, 4].map(|row| HeadRow { row, target: None, logits_slot: None }));
    batch
}

#[test]
fn norms_are_close_to_f64() {
    let mut random = Random::new(20);
    for width in [1, 7, 16, 17, 100, 1152] {
        for kind in [NormKind::Rms, NormKind::Layer] {
            let rows = 11;
            let scale = 10f32.powi(random.below(7) as i32 - 3);
            let input: Vec<f32> = random.normals(rows * width).iter().map(|x| x * scale + scale).collect();
            let (weight, bias) = (random.normals(width), random.normals(width));
            let bias = (kind == NormKind::Layer).then_some(bias);
            for selection in [RowSelection::All, RowSelection::Head] {
                let selected: Vec<usize> =
                    if selection == RowSelection::All { (0..rows).collect() } else { vec![1, 4] };
                let got = on_all_paths(|backend| {
                    let batch = loaded(backend, &batch(rows));
                    let bias = bias.as_deref().map(Aligned::from_slice);
                    let mut output = Aligned::zeroed(selected.len() * row_stride(width));
                    let args = Norm {
                        batch: &batch,
                        selection,
                        width,
                        kind,
                        epsilon: 1e-5,
                        weight: &Aligned::from_slice(&weight),
                        bias: bias.as_ref(),
                        input: &Aligned::from_slice(&input),
                        output: &mut output,
                    };
                    backend.norm(args).unwrap();
                    output.to_vec()
                });
                for (got, &row) in got.chunks(row_stride(width)).zip(&selected) {
                    let x: Vec<f64> = input[row * width..][..width].iter().map(|&x| f64::from(x)).collect();
                    let mean = if kind == NormKind::Rms { 0.0 } else { x.iter().sum::<f64>() / width as f64 };
                    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                    let expected = (0..width).map(|i| {
                        let bias = bias.as_ref().map_or(0.0, |bias| f64::from(bias[i]));
                        (x[i] - mean) / (variance + 1e-5).sqrt() * f64::from(weight[i]) + bias
                    });
                    assert!(
                        worst(got.iter().map(|&bits| widen(bits)), expected) < 0.0045,
                        "{kind:?} {width}"
                    );
                    assert!(got[width..].iter().all(|&pad| pad == 0));
                }
            }
        }
    }
}

fn angles(backend: &mut CpuBackend, batch: &RaggedBatch, frequencies: RotaryFrequencies) -> Aligned<f32> {
    let batch = loaded(backend, batch);
    let mut angles = Aligned::zeroed(batch.0.rows() * frequencies.dim);
    backend.rotary_angles(RotaryAngles { batch: &batch, frequencies, angles: &mut angles }).unwrap();
    angles
}

#[test]
fn rotary_angles_are_right_at_distant_positions() {
    let scaling = RopeScaling {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    for scaling in [None, Some(scaling)] {
        let frequencies = RotaryFrequencies { dim: 128, base: 500_000.0, scaling };
        let mut batch = RaggedBatch::default();
        let blocks: Vec<u32> = (0..7000).collect();
        batch.push(&[0; 40], 111_000, &blocks, 16).unwrap();
        let got = on_all_paths(|backend| angles(backend, &batch, frequencies).to_vec());
        for (row, got) in got.chunks(128).enumerate() {
            for pair in 0..64 {
                let plain = 500_000f64.powf(-(pair as f64) / 64.0);
                let turns = 8192.0 * plain / std::f64::consts::TAU;
                let smooth = ((turns - 1.0) / 3.0).clamp(0.0, 1.0);
                let frequency = scaling.map_or(plain, |_| plain / 8.0 * (1.0 - smooth) + plain * smooth);
                let (sine, cosine) = ((111_000 + row) as f64 * frequency).sin_cos();
                assert!((f64::from(got[pair]) - cosine).abs() < 1e-7, "{row} {pair}");
                assert!((f64::from(got[64 + pair]) - sine).abs() < 1e-7, "{row} {pair}");
            }
        }
    }
}

/// Queries, then each row's keys and values as they can be read back from the cache.
fn append(
    backend: &mut CpuBackend,
    (heads, kv_heads, dim): (usize, usize, usize),
    rotated: usize,
    qkv: &[f32],
    norm: Option<&[f32]>,
) -> (Vec<u16>, Vec<u16>) {
    let rows = qkv.len() / ((heads + 2 * kv_heads) * dim);
    let batch = one_sequence(&vec![0; rows], 8);
    let angles = angles(backend, &batch, RotaryFrequencies { dim: rotated.max(2), base: 1e4, scaling: None });
    let geometry = KvGeometry { layers: 2, kv_heads, head_dim: dim, block_size: 16, num_blocks: 8 };
    let mut cache = backend.kv_cache(geometry).unwrap();
    let mut queries = Aligned::zeroed(rows * heads * query_stride(dim));
    let device = loaded(backend, &batch);
    let weight = norm.map(Aligned::from_slice);
    let head_norm =
        weight.as_ref().map(|weight| HeadNorm { query_weight: weight, key_weight: weight, epsilon: 1e-6 });
    let args = RotateAndAppend {
        batch: &device,
        layer: 1,
        heads,
        head_norm,
        angles: (rotated > 0).then_some((&angles, rotated)),
        qkv: &Aligned::from_slice(qkv),
        queries: &mut queries,
        cache: &mut cache,
    };
    backend.rotate_and_append(args).unwrap();
    let padded = dim.next_multiple_of(16);
    let mut stored = Vec::new();
    for place in &batch.places {
        for head in 0..kv_heads {
            let slot = place.slot as usize;
            let keys: &[u16] = bytemuck::cast_slice(cache.keys(1, place.block, head));
            let values: &[u16] = bytemuck::cast_slice(cache.values(1, place.block, head));
            stored
                .extend((0..dim).map(|c| keys[slot / 16 * 16 * padded + c / 2 * 32 + slot % 16 * 2 + c % 2]));
            stored.extend((0..dim).map(|c| values[slot / 2 * padded * 2 + c * 2 + slot % 2]));
        }
    }
    (queries.to_vec(), stored)
}

#[test]
fn heads_are_normalised_rotated_and_stored() {
    let mut random = Random::new(21);
    for (heads, kv_heads, dim, rotated) in
        [(4, 2, 16, 16), (3, 1, 20, 10), (2, 2, 128, 64), (1, 1, 5, 0), (6, 3, 34, 34)]
    {
        let rows = 37;
        let width = (heads + 2 * kv_heads) * dim;
        let qkv = random.normals(rows * width);
        let weight = random.normals(dim);
        for norm in [None, Some(&weight[..])] {
            let (queries, stored) =
                on_all_paths(|backend| append(backend, (heads, kv_heads, dim), rotated, &qkv, norm));
            let expected = |row: usize, head: usize| {
                let head_row = &qkv[row * width + head * dim..][..dim];
                let is_value = head >= heads + kv_heads;
                turned(head_row, norm.filter(|_| !is_value), row, if is_value { 0 } else { rotated })
            };
            for row in 0..rows {
                for head in 0..heads {
                    let got = &queries[(row * heads + head) * query_stride(dim)..][..query_stride(dim)];
                    assert!(worst(got.iter().map(|&bits| widen(bits)), expected(row, head)) < 0.0045);
                    assert!(got[dim..].iter().all(|&pad| pad == 0));
                }
                for head in 0..kv_heads {
                    let got = &stored[(row * kv_heads + head) * 2 * dim..][..2 * dim];
                    let key_and_value =
                        [heads + head, heads + kv_heads + head].into_iter().flat_map(|h| expected(row, h));
                    assert!(worst(got.iter().map(|&bits| widen(bits)), key_and_value) < 0.0045);
                }
            }
        }
    }
}
