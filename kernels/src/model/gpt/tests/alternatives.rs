//! The likeliest tokens, beside the sampled one.

use super::{SAMPLED, TestModel, architectures, tokens};
use crate::cpu::Isa;
use crate::model::step::{LanguageModel, SampleArgs, SequenceSlice};

const GREEDY: SampleArgs = SampleArgs { top_k: 1, top_p: 0.0, ..SAMPLED };

#[test]
fn alternatives_are_the_likeliest_tokens_and_change_nothing_else() {
    let [(_, config), ..] = architectures::all();
    let prompts =
        [tokens(config.vocab_size, 9, 3), tokens(config.vocab_size, 5, 4), tokens(config.vocab_size, 6, 5)];
    let model = TestModel::new(config.clone());
    let slice = |index: usize, sample| SequenceSlice {
        tokens: &prompts[index],
        start: 0,
        block_table: [&[0][..], &[1], &[2]][index],
        targets: &prompts[index][1..],
        sample: Some(sample),
    };
    let batch = [slice(0, GREEDY), slice(1, SAMPLED), slice(2, SAMPLED)];
    let plain = model.open(Isa::best(), 2, 16).step(&batch).unwrap();
    let mut model = model.open(Isa::best(), 2, 16);
    let with = model.step_with_alternatives(&batch, &[3, config.vocab_size, 0]).unwrap();
    for ((output, _), plain) in with.iter().zip(&plain) {
        assert_eq!(output, plain, "alternatives change no output");
    }
    let [(greedy, few), (sampled, all), (_, none)] = with.as_slice() else { panic!("{with:?}") };
    assert_eq!((few.len(), all.len(), none.len()), (3, config.vocab_size, 0));
    assert_eq!(Some(few[0]), greedy.sampled, "argmax is the likeliest");
    assert!(all.contains(&sampled.sampled.unwrap()), "a token has the same logprob as an alternative");
    assert!(all.is_sorted_by(|a, b| a.logprob >= b.logprob));
    let mass: f64 = all.iter().map(|other| f64::from(other.logprob).exp()).sum();
    assert!((mass - 1.0).abs() < 1e-4, "all of them are the whole distribution: {mass}");
}
