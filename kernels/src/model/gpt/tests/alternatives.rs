//! The likeliest tokens, beside the sampled one.

use super::{SAMPLED, TestModel, architectures, tokens};
use crate::cpu::Isa;
use crate::model::step::{Extras, LanguageModel, SampleArgs, SequenceSlice};

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
    let wanted = [3, config.vocab_size, 0].map(|alternatives| Extras { alternatives, ..Extras::default() });
    let with = model.step_with_extras(&batch, &wanted).unwrap();
    for ((output, _), plain) in with.iter().zip(&plain) {
        assert_eq!(output, plain, "alternatives change no output");
    }
    let [(greedy, few), (sampled, all), (_, none)] = with.as_slice() else { panic!("{with:?}") };
    let (few, all, none) = (&few.alternatives, &all.alternatives, &none.alternatives);
    assert_eq!((few.len(), all.len(), none.len()), (3, config.vocab_size, 0));
    assert_eq!(Some(few[0]), greedy.sampled, "argmax is the likeliest");
    assert!(all.contains(&sampled.sampled.unwrap()), "a token has the same logprob as an alternative");
    assert!(all.is_sorted_by(|a, b| a.logprob >= b.logprob));
    let mass: f64 = all.iter().map(|other| f64::from(other.logprob).exp()).sum();
    assert!((mass - 1.0).abs() < 1e-4, "all of them are the whole distribution: {mass}");
}

/// A prompt longer than one pass keeps logits for.
const LONG: usize = 150;

#[test]
fn targets_have_alternatives_too_and_parts_do_not_show() {
    let [(_, config), ..] = architectures::all();
    let prompt = tokens(config.vocab_size, LONG, 3);
    let table: Vec<u32> = (0..LONG.div_ceil(16) as u32).collect();
    let slice = |targets| SequenceSlice {
        tokens: &prompt,
        start: 0,
        block_table: &table,
        targets,
        sample: Some(GREEDY),
    };
    let model = TestModel::new(config.clone());
    let plain = model.open(Isa::best(), 2, 16).step(&[slice(&prompt[1..])]).unwrap().remove(0);
    let wanted = Extras { alternatives: 2, target_alternatives: 3, processed: None };
    let (output, detail) =
        model.open(Isa::best(), 2, 16).step_with_extras(&[slice(&prompt[1..])], &[wanted]).unwrap().remove(0);
    assert_eq!(output, plain, "neither parts nor alternatives change a bit");
    assert_eq!((detail.alternatives.len(), detail.target_alternatives.len()), (2, LONG - 1));
    for (others, (&target, &logprob)) in
        detail.target_alternatives.iter().zip(prompt[1..].iter().zip(&output.target_logprobs))
    {
        assert_eq!(others.len(), 3);
        let same = others.iter().find(|other| other.token == target);
        assert!(same.is_none_or(|other| other.logprob == logprob), "one distribution");
        assert!(others[0].logprob >= logprob);
    }
}

#[test]
fn processed_logprobs_change_no_token_and_sum_to_one() {
    let [(_, config), ..] = architectures::all();
    let prompt = tokens(config.vocab_size, 9, 3);
    let args = SampleArgs { temperature: 0.5, top_k: 4, top_p: 0.0, ..SAMPLED };
    let slice = SequenceSlice {
        tokens: &prompt,
        start: 0,
        block_table: &[0],
        targets: &prompt[1..],
        sample: Some(args),
    };
    let model = TestModel::new(config.clone());
    let plain = model.open(Isa::best(), 2, 16).step(std::slice::from_ref(&slice)).unwrap().remove(0);
    let wanted = Extras { alternatives: 9, target_alternatives: 9, processed: Some(args) };
    let outputs = model.open(Isa::best(), 2, 16).step_with_extras(&[slice], &[wanted]).unwrap();
    let (output, detail) = &outputs[0];
    let (raw, processed) = (plain.sampled.unwrap(), output.sampled.unwrap());
    assert_eq!(raw.token, processed.token);
    assert_ne!(raw.logprob, processed.logprob, "another distribution");
    assert!(detail.alternatives.contains(&processed), "what is drawn is kept");
    for kept in detail.target_alternatives.iter().chain([&detail.alternatives]) {
        assert_eq!(kept.len(), 4, "the filter keeps four");
        let mass: f64 = kept.iter().map(|other| f64::from(other.logprob).exp()).sum();
        assert!((mass - 1.0).abs() < 1e-5, "{mass}");
    }
    let logprobs = output.target_logprobs.iter().zip(&prompt[1..]).zip(&detail.target_alternatives);
    for ((&logprob, &target), kept) in logprobs {
        let same = kept.iter().find(|other| other.token == target).map(|other| other.logprob);
        assert_eq!(logprob, same.unwrap_or(f32::NEG_INFINITY));
    }
}
