//! Norms, rotary angles, and queries after rotation (keys and values are seen through attention).

use goldlap_kernels::model::config::RopeScaling;
use goldlap_kernels::ops::batch::{HeadRow, RaggedBatch};
use goldlap_kernels::ops::kv_cache::KvGeometry;
use goldlap_kernels::ops::norm::{Norm, NormKind, RowSelection};
use goldlap_kernels::ops::rotary::{
    HeadNorm, RotaryAngles, RotaryFrequencies, RotateAndAppend, query_stride,
};
use goldlap_kernels::ops::row_stride;

use crate::rotary::turned;
use crate::subject::{Conformant, Random, loaded, one_sequence, widen, worst};

pub(crate) fn normalises<B: Conformant>(backend: &mut B) {
    let mut random = Random::new(20);
    for width in [1, 7, 16, 100, 257, 1152] {
        for kind in [NormKind::Rms, NormKind::Layer] {
            let rows = 11;
            let scale = 10f32.powi(random.below(7) as i32 - 3);
            let input: Vec<f32> = random.normals(rows * width).iter().map(|x| x * scale + scale).collect();
            let (weight, bias) = (random.normals(width), random.normals(width));
            let bias = (kind == NormKind::Layer).then_some(bias);
            for (selection, selected) in
                [(RowSelection::All, (0..rows).collect::<Vec<_>>()), (RowSelection::Head, vec![1, 4])]
            {
                let mut batch = one_sequence(&vec![0; rows]);
                batch.head.extend([1, 4].map(|row| HeadRow { row, target: None, logits_slot: None }));
                let batch = loaded(backend, &batch);
                let device_bias = bias.as_ref().map(|bias| backend.floats_from(bias).unwrap());
                let mut output = backend.halves(selected.len() * row_stride(width)).unwrap();
                let (device_weight, device_input) =
                    (backend.floats_from(&weight).unwrap(), backend.floats_from(&input).unwrap());
                let args = Norm {
                    batch: &batch,
                    selection,
                    width,
                    kind,
                    epsilon: 1e-5,
                    weight: &device_weight,
                    bias: device_bias.as_ref(),
                    input: &device_input,
                    output: &mut output,
                };
                backend.norm(args).unwrap();
                let got = backend.read_operands(&output);
                for (got, &row) in got.chunks(row_stride(width)).zip(&selected) {
                    let x: Vec<f64> = input[row * width..][..width].iter().map(|&x| f64::from(x)).collect();
                    let mean = if kind == NormKind::Rms { 0.0 } else { x.iter().sum::<f64>() / width as f64 };
                    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                    let expected = (0..width).map(|i| {
                        let bias = bias.as_ref().map_or(0.0, |bias| f64::from(bias[i]));
                        (x[i] - mean) / (variance + 1e-5).sqrt() * f64::from(weight[i]) + bias
                    });
                    let error = worst(got.iter().map(|&bits| widen(bits)), expected);
                    assert!(error < 0.0045, "{kind:?} {width}: {error}");
                    assert!(got[width..].iter().all(|&pad| pad == 0));
                }
            }
        }
    }
}

fn angles<B: Conformant>(
    backend: &mut B,
    batch: &B::Batch,
    rows: usize,
    frequencies: RotaryFrequencies,
) -> B::Floats {
    let mut angles = backend.floats(rows * frequencies.dim).unwrap();
    backend.rotary_angles(RotaryAngles { batch, frequencies, angles: &mut angles }).unwrap();
    angles
}

pub(crate) fn turns_angles<B: Conformant>(backend: &mut B) {
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
        batch.push(&[0; 10], 111_000, &blocks, 16).unwrap();
        let device = loaded(backend, &batch);
        let got = angles(backend, &device, 10, frequencies);
        for (row, got) in backend.read_floats(&got).chunks(128).enumerate() {
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

pub(crate) fn appends<B: Conformant>(backend: &mut B) {
    let mut random = Random::new(21);
    for (heads, kv_heads, dim, rotated) in
        [(4, 2, 16, 16), (3, 1, 20, 10), (2, 2, 128, 64), (1, 1, 5, 0), (6, 3, 34, 34), (2, 1, 72, 72)]
    {
        let rows = 19;
        let width = (heads + 2 * kv_heads) * dim;
        let (qkv, weight) = (random.normals(rows * width), random.normals(dim));
        for norm in [false, true] {
            let batch = loaded(backend, &one_sequence(&vec![0; rows]));
            let frequencies = RotaryFrequencies { dim: rotated.max(2), base: 1e4, scaling: None };
            let angles = angles(backend, &batch, rows, frequencies);
            let geometry = KvGeometry { layers: 2, kv_heads, head_dim: dim, block_size: 16, num_blocks: 8 };
            let mut cache = backend.kv_cache(geometry).unwrap();
            let mut queries = backend.halves(rows * heads * query_stride(dim)).unwrap();
            let (weights, device_qkv) =
                (backend.floats_from(&weight).unwrap(), backend.floats_from(&qkv).unwrap());
            let head_norm =
                norm.then_some(HeadNorm { query_weight: &weights, key_weight: &weights, epsilon: 1e-6 });
            let args = RotateAndAppend {
                batch: &batch,
                layer: 1,
                heads,
                head_norm,
                angles: (rotated > 0).then_some((&angles, rotated)),
                qkv: &device_qkv,
                queries: &mut queries,
                cache: &mut cache,
            };
            backend.rotate_and_append(args).unwrap();
            let queries = backend.read_operands(&queries);
            for (index, got) in queries.chunks(query_stride(dim)).enumerate() {
                let (row, head) = (index / heads, index % heads);
                let qkv = &qkv[row * width + head * dim..][..dim];
                let expected = turned(qkv, norm.then_some(&weight[..]), row, rotated);
                let error = worst(got.iter().map(|&bits| widen(bits)), expected);
                assert!(error < 0.0045, "{heads} {kv_heads} {dim} {rotated}: {error}");
                assert!(got[dim..].iter().all(|&pad| pad == 0));
            }
        }
    }
}
