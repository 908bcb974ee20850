//! What must not change a bit: the batch, the chunks, the block size, the number of threads, the instruction set.

use super::{SAMPLED, TestModel, architectures, tokens};
use crate::cpu::Isa;
use crate::model::gpt::CpuModel;
use crate::model::step::{LanguageModel, SampleArgs, SequenceOutput, SequenceSlice};

const GREEDY: SampleArgs = SampleArgs { top_k: 1, top_p: 0.0, ..SAMPLED };

/// Prompt logprobs and two tokens of one prompt, which enters in chunks of the given sizes.
fn run(model: &mut CpuModel, prompt: &[u32], chunks: &[usize], first_block: u32) -> Vec<SequenceOutput> {
    let block_size = model.kv_cache().block_size;
    let blocks: Vec<u32> = (first_block..).take((prompt.len() + 2).div_ceil(block_size)).collect();
    let mut outputs = vec![SequenceOutput::default()];
    let mut start = 0;
    let ends = chunks.iter().scan(0, |end, chunk| {
        *end += chunk;
        Some(*end)
    });
    for end in ends.chain([prompt.len()]).filter(|&end| end <= prompt.len()) {
        if start == end {
            continue;
        }
        let targets = &prompt[start + 1..prompt.len().min(end + 1)];
        let sample = (end == prompt.len()).then_some(SAMPLED);
        let slice =
            SequenceSlice { tokens: &prompt[start..end], start, block_table: &blocks, targets, sample };
        let output = model.step(&[slice]).unwrap().remove(0);
        outputs[0].target_logprobs.extend(output.target_logprobs);
        outputs[0].sampled = output.sampled;
        start = end;
    }
    let token = [outputs[0].sampled.unwrap().token];
    let sample = Some(GREEDY);
    let slice =
        SequenceSlice { tokens: &token, start: prompt.len(), block_table: &blocks, targets: &[], sample };
    outputs.extend(model.step(&[slice]).unwrap());
    outputs
}

#[test]
fn instruction_sets_threads_blocks_and_chunks_do_not_change_a_bit() {
    for (name, config) in architectures::all() {
        let model = TestModel::new(config.clone());
        let prompt = tokens(config.vocab_size, 150, 3);
        let expected = run(&mut model.open(Isa::Scalar, 1, 16), &prompt, &[], 0);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for (threads, block_size) in [(1, 16), (3, 256), (2, 48)] {
                for chunks in [&[][..], &[150], &[1, 1, 14, 3, 64], &[100, 49]] {
                    let got = run(&mut model.open(isa, threads, block_size), &prompt, chunks, 1);
                    assert_eq!(
                        got, expected,
                        "{name} {isa} {threads} threads, blocks of {block_size}, {chunks:?}"
                    );
                }
            }
        }
    }
}

/// Longer than one split of keys.
#[test]
fn long_contexts_do_not_depend_on_chunks_or_the_instruction_set() {
    let model = TestModel::new(architectures::llama());
    let prompt = tokens(331, 1300, 9);
    let expected = run(&mut model.open(Isa::best(), 2, 64), &prompt, &[], 2);
    assert_eq!(run(&mut model.open(Isa::best(), 1, 16), &prompt, &[511, 2, 600], 5), expected);
    assert_eq!(run(&mut model.open(Isa::Scalar, 3, 128), &prompt, &[1024], 0), expected);
}

#[test]
fn a_sequence_does_not_notice_its_neighbours() {
    for (name, config) in architectures::all() {
        let model = TestModel::new(config.clone());
        let lengths = [1, 40, 7, 130, 16, 65];
        let prompts: Vec<Vec<u32>> =
            lengths.iter().zip(20..).map(|(&len, seed)| tokens(config.vocab_size, len, seed)).collect();
        let tables: Vec<Vec<u32>> = (0..6).map(|i| (0..9).map(|block| block * 6 + i).collect()).collect();
        let slices: Vec<SequenceSlice<'_>> = prompts
            .iter()
            .zip(&tables)
            .enumerate()
            .map(|(i, (prompt, table))| SequenceSlice {
                tokens: prompt,
                start: 0,
                block_table: table,
                targets: if i % 2 == 0 { &prompt[1..] } else { &[] },
                sample: [None, Some(GREEDY), Some(SAMPLED)][i % 3],
            })
            .collect();
        let together = model.open(Isa::best(), 2, 16).step(&slices).unwrap();
        let mut alone = model.open(Isa::best(), 1, 16);
        for (index, slice) in slices.iter().enumerate() {
            let alone = alone.step(std::slice::from_ref(slice)).unwrap();
            assert_eq!(alone[0], together[index], "{name}, sequence {index}");
        }
    }
}

/// Blocks that other sequences used before hold old keys and values: they must not shine through.
#[test]
fn recycled_blocks_are_as_good_as_new() {
    let model = TestModel::new(architectures::nemotron());
    let mut used = model.open(Isa::best(), 1, 16);
    run(&mut used, &tokens(331, 300, 4), &[], 0);
    let prompt = tokens(331, 37, 5);
    let expected = run(&mut model.open(Isa::best(), 1, 16), &prompt, &[], 0);
    assert_eq!(run(&mut used, &prompt, &[20], 3), expected);
}
