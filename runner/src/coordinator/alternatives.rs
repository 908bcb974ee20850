//! Alternatives to tokens: ranks name tokens by id, clients are told texts.
//!
//! The original makes a dictionary `{text: logprob}`, in which tokens of equal text overwrite each other. Here the likelier one
//! has the text as its key, and each further one the text with its id behind it.

use goldlap_kernels::model::step::SampledToken;
use rmpv::Value;

use super::state::Detokenize;

/// `[[id, logprob], ...]` per token, as our ranks send it.
pub(crate) fn alternatives_by_id(tokens: &[Vec<SampledToken>]) -> Vec<Value> {
    let pair = |other: &SampledToken| Value::Array(vec![other.token.into(), f64::from(other.logprob).into()]);
    tokens.iter().map(|alternatives| Value::Array(alternatives.iter().map(pair).collect())).collect()
}

/// Replaces ids by texts; what a foreign engine has named already stays as it is.
pub(super) fn name_alternatives(list: &mut Option<Vec<Value>>, detokenize: &Detokenize) {
    for position in list.iter_mut().flatten() {
        if let Value::Array(pairs) = position {
            *position = named(pairs, detokenize);
        }
    }
}

fn named(pairs: &[Value], detokenize: &Detokenize) -> Value {
    let mut entries: Vec<(Value, Value)> = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let Some([id, logprob]) = pair.as_array().map(Vec::as_slice) else { continue };
        let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else { continue };
        let text = detokenize(&[id]);
        let is_taken = |text: &str| entries.iter().any(|(taken, _)| taken.as_str() == Some(text));
        let key = if is_taken(&text) { format!("{text} (token {id})") } else { text };
        entries.push((key.into(), logprob.clone()));
    }
    Value::Map(entries)
}

/// Texts and logprobs of the alternatives to each token, as a client reads them.
pub(crate) fn read_alternatives(list: &[Value]) -> Vec<Vec<(String, f32)>> {
    let entry =
        |(text, logprob): &(Value, Value)| Some((text.as_str()?.to_owned(), logprob.as_f64()? as f32));
    let position = |value: &Value| value.as_map().into_iter().flatten().filter_map(entry).collect();
    list.iter().map(position).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn tokens_of_equal_text_are_all_there() {
        let detokenize: Detokenize =
            Arc::new(|tokens: &[u32]| if tokens[0] < 3 { "a" } else { "b" }.to_owned());
        let token = |token, logprob| SampledToken { token, logprob };
        let mut list =
            Some(alternatives_by_id(&[vec![token(1, -0.5), token(4, -1.0), token(2, -2.0)], vec![]]));
        name_alternatives(&mut list, &detokenize);
        let expected =
            vec![vec![("a".into(), -0.5), ("b".into(), -1.0), ("a (token 2)".into(), -2.0)], vec![]];
        assert_eq!(read_alternatives(&list.clone().unwrap()), expected);
        let before = list.clone();
        name_alternatives(&mut list, &detokenize);
        assert_eq!(list, before, "what has texts is left alone");
    }
}
