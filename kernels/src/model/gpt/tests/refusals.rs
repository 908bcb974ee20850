//! Steps that make no sense are refused with a reason, and leave the model usable. Costs are counted from shapes.

use super::{SAMPLED, TestModel, architectures, tokens};
use crate::cpu::Isa;
use crate::model::step::{KvCacheShape, LanguageModel, SampleArgs, SequenceSlice, StepCost};

const SLICE: SequenceSlice<'static> =
    SequenceSlice { tokens: &[1, 2, 3], start: 0, block_table: &[0, 1], targets: &[], sample: Some(SAMPLED) };

#[test]
fn impossible_steps_are_refused() {
    let test_model = TestModel::new(architectures::gpt2());
    let mut model = test_model.open(Isa::best(), 1, 16);
    let before = model.step(&[SLICE]).unwrap();
    let long = tokens(257, 2000, 1);
    let many: Vec<u32> = (0..128).collect();
    let cases = [
        (SequenceSlice { tokens: &[], ..SLICE }, "no tokens"),
        (SequenceSlice { tokens: &[1, 257], ..SLICE }, "token 257 of a vocabulary of 257"),
        (SequenceSlice { targets: &[1, 2, 3, 4], ..SLICE }, "4 targets for 3 tokens"),
        (SequenceSlice { targets: &[300], ..SLICE }, "of a vocabulary of 257"),
        (SequenceSlice { start: 30, ..SLICE }, "3 tokens from position 30, but its 2 blocks hold 32"),
        (SequenceSlice { block_table: &[], ..SLICE }, "its 0 blocks hold 0"),
        (SequenceSlice { block_table: &[128], ..SLICE }, "block 128 of a pool of 128"),
        (SequenceSlice { start: usize::MAX, ..SLICE }, "learned positions"),
        (
            SequenceSlice { tokens: &long, start: 100, block_table: &many, ..SLICE },
            "there are 2048 learned positions",
        ),
        (
            SequenceSlice { sample: Some(SampleArgs { temperature: -1.0, ..SAMPLED }), ..SLICE },
            "temperature -1",
        ),
    ];
    for (slice, expected) in cases {
        let neighbour = SequenceSlice { block_table: &[7], ..SLICE };
        let error = model.step(&[neighbour, slice]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} should say {expected}");
        assert_eq!(model.last_step_cost(), StepCost::default());
    }
    let error = model.step(&[SLICE, SLICE]).unwrap_err().to_string();
    assert!(error.contains("two rows would write"), "{error}");
    assert_eq!(model.step(&[SLICE]).unwrap(), before);
    assert_eq!(model.step(&[]).unwrap(), []);
}

#[test]
fn greedy_steps_need_no_temperature() {
    let mut model = TestModel::new(architectures::llama()).open(Isa::best(), 1, 16);
    let sample = Some(SampleArgs { temperature: 0.0, top_k: 1, top_p: 0.0, ..SAMPLED });
    let output = model.step(&[SequenceSlice { sample, ..SLICE }]).unwrap().remove(0).sampled.unwrap();
    let targets = &[2, 3, output.token];
    let again = model.step(&[SequenceSlice { targets, sample, ..SLICE }]).unwrap().remove(0);
    assert_eq!((again.target_logprobs[2], again.sampled), (output.logprob, Some(output)));
}

#[test]
fn unusable_caches_are_refused() {
    let model = TestModel::new(architectures::llama());
    let path = model.folder.path().join("model");
    for (block_size, num_blocks, expected) in
        [(17, 4, "block size 17"), (0, 4, "block size 0"), (16, 0, "zero"), (16, usize::MAX, "overflows")]
    {
        let shape = KvCacheShape { block_size, num_blocks };
        let error = crate::model::gpt::CpuModel::open(&path, shape, 1).err().unwrap().to_string();
        assert!(error.contains(expected), "{error} should say {expected}");
    }
}

#[test]
fn costs_count_weights_keys_and_operations_once() {
    let config = architectures::llama();
    let mut model = TestModel::new(config.clone()).open(Isa::best(), 1, 16);
    model.step(&[SLICE]).unwrap();
    let next = SequenceSlice { tokens: &[4], start: 3, sample: None, ..SLICE };
    model.step(&[next]).unwrap();
    let layer = 48 + (64 + 32 + 32) * 48 + 48 * 64 + 48 + 3 * 72 * 48;
    let attention = 4 * 4 * 64;
    assert_eq!(
        model.last_step_cost(),
        StepCost {
            weight_bytes: 2 * (2 * layer + 48),
            // Four keys and values read, one written; two layers, 32 channels each.
            kv_bytes: (4 + 1) * 2 * 2 * 32 * 2,
            flops: 2 * 2 * layer + 2 * attention,
        }
    );
    let with_head = SequenceSlice { tokens: &[4], start: 4, ..SLICE };
    let without = model.last_step_cost();
    model.step(&[with_head]).unwrap();
    let cost = model.last_step_cost();
    assert_eq!(cost.weight_bytes - without.weight_bytes, 2 * 331 * 48);
    assert_eq!(cost.flops - without.flops, 2 * 331 * 48 + 2 * attention / 4);
}
