//! What the CUDA backend refuses beyond the contract, and what it measures.

use std::cell::Cell;

use goldlap_kernels::cuda::CudaBackend;
use goldlap_kernels::cuda::limits::measure_limits;
use goldlap_kernels::model::step::SampleArgs;
use goldlap_kernels::ops::Backend;
use goldlap_kernels::ops::embedding::Embedding;
use goldlap_kernels::ops::kv_cache::KvGeometry;
use goldlap_kernels::ops::matrix::MatrixLayout;
use goldlap_kernels::ops::sampling::{SampleRow, Sampling};

use crate::direct::DirectDevice;
use crate::subject::{Random, loaded, matrix, one_sequence};
use crate::virtual_machine;

#[test]
fn heads_wider_than_the_kernels_are_refused() {
    let geometry = KvGeometry { layers: 1, kv_heads: 1, head_dim: 129, block_size: 16, num_blocks: 1 };
    let error = virtual_machine().kv_cache(geometry).err().unwrap().to_string();
    assert_eq!(error, "operator kv_cache: heads are 129 wide; the CUDA kernels serve up to 128");
}

#[test]
fn a_step_without_rows_does_nothing() {
    let mut backend = virtual_machine();
    let layout = MatrixLayout { outputs: 4, inputs: 4, gated: false };
    let table = matrix(&mut backend, layout, &[0; 16]);
    let batch = backend.batch().unwrap();
    let mut hidden = backend.floats(0).unwrap();
    let args = Embedding { batch: &batch, token_table: &table, position_table: None, hidden: &mut hidden };
    backend.embed(args).unwrap();
}

#[test]
fn device_memory_that_does_not_suffice_is_an_error() {
    let error = virtual_machine().floats(1 << 40).err().unwrap().to_string();
    assert!(error.contains("allocate") && error.contains("are free"), "{error}");
}

/// The draw that a step announced is the draw that `sample` would make on its own.
#[test]
fn a_plan_for_other_rows_is_not_used() {
    let mut random = Random::new(50);
    let mut backend = virtual_machine();
    let logits = backend.floats_from(&random.normals(2 * 500)).unwrap();
    let args = SampleArgs { temperature: 1.0, top_k: 0, top_p: 0.0, seed: 1, request_key: 2, position: 3 };
    let rows = [SampleRow { slot: 0, args }, SampleRow { slot: 1, args }];
    let draw = |backend: &mut CudaBackend<DirectDevice>, rows: &[SampleRow]| {
        let mut drawn = Vec::new();
        backend.sample(Sampling { vocab_size: 500, logits: &logits, rows, drawn: &mut drawn }).unwrap();
        drawn
    };
    let alone: Vec<_> = rows.iter().flat_map(|row| draw(&mut backend, &[*row])).collect();
    drop(loaded(&mut backend, &one_sequence(&[0])));
    backend.plan_sampling(&rows[..1]).unwrap();
    assert_eq!(draw(&mut backend, &rows), alone);
}

#[test]
fn limits_of_the_virtual_machine_are_positive_and_the_budget_is_kept() {
    // A clock that advances by a tenth of a second whenever it is read.
    let time = Cell::new(0.0);
    let clock = || {
        time.set(time.get() + 0.1);
        time.get()
    };
    let limits = measure_limits(&mut DirectDevice::new(), 0.2, &clock).unwrap();
    assert!(limits.read_bytes_per_s > 0.0 && limits.flops_per_s > 0.0);
    assert!(time.get() < 3.0, "{}", time.get());
}
