//! From a YAML value to command-line words, by Megatron's rules but without its shell (its `_run_training.sh`:
//! the value passes through `xargs`, then `true`, `[...]` and `(...)` get their meaning).

/// What a value becomes on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// An empty value: the original drops the whole entry.
    Dropped,
    /// `true`: the flag alone.
    Bare,
    /// One argument.
    One(String),
    /// `[a b c]`: several arguments, none with a space.
    Many(Vec<String>),
}

impl Words {
    /// Applies the rules to a scalar's text. The error says what is wrong and how to write it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Dropped);
        }
        let plain = !text.contains([' ', '\t', '\n', '\r', '\'', '"', '\\']);
        let text = if plain { text.to_owned() } else { unquote(text)? };
        Ok(match text.as_str() {
            "true" => Self::Bare,
            bracketed if encloses(bracketed, '[', ']') => Self::Many(
                bracketed[1..bracketed.len() - 1]
                    .split(' ')
                    .filter(|w| !w.is_empty())
                    .map(str::to_owned)
                    .collect(),
            ),
            _ => Self::One(text),
        })
    }
}

fn encloses(text: &str, open: char, close: char) -> bool {
    text.len() >= 2 && text.starts_with(open) && text.find(close) == Some(text.len() - 1)
}

/// One level of quotes and backslashes removed and whitespace collapsed, as `xargs` does.
fn unquote(text: &str) -> Result<String, String> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some(inner) if inner == c => break,
                        Some(inner) => word.push(inner),
                        None => return Err(unmatched(c)),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words.join(" "))
}

fn unmatched(quote: char) -> String {
    format!(
        "the quote {quote} is never closed: one level of quotes is removed from every value, as in the original; \
         write \\{quote} for the character itself"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> Words {
        Words::One(text.into())
    }

    #[test]
    fn the_originals_rules() {
        for (text, words) in [
            ("", Words::Dropped),
            ("true", Words::Bare),
            ("\"true\"", Words::Bare),
            ("false", one("false")),
            ("1e-3", one("1e-3")),
            ("-1", one("-1")),
            ("\"the\"", one("the")),
            ("a \"b c\" d", one("a b c d")),
            ("  two   words ", one("two words")),
            ("[a b  c]", Words::Many(vec!["a".into(), "b".into(), "c".into()])),
            ("[1]", Words::Many(vec!["1".into()])),
            ("[]", Words::Many(vec![])),
            ("[a] b", one("[a] b")),
            ("[a]b]", one("[a]b]")),
            ("(a b)", one("(a b)")),
            ("it\\'s", one("it's")),
            ("$HOME `id` *", one("$HOME `id` *")),
        ] {
            assert_eq!(Words::parse(text), Ok(words), "{text:?}");
        }
    }

    #[test]
    fn an_open_quote_is_an_error_with_advice() {
        let error = Words::parse("What's up").unwrap_err();
        assert!(error.contains("never closed") && error.contains("\\'"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_words_or_an_error(text in any::<String>()) {
            let _: Result<Words, String> = Words::parse(&text);
        }

        #[test]
        fn plain_words_pass_unchanged(text in "[a-z0-9.:/_-]{1,12}( [a-z0-9.:/_-]{1,12}){0,4}") {
            prop_assume!(text != "true");
            prop_assert_eq!(Words::parse(&text), Ok(Words::One(text)));
        }
    }
}
