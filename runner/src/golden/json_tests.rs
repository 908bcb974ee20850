//! JSON: agreement with serde_json on plain files, Python's extra numbers, errors with their place.

use proptest::prelude::*;

use super::*;

#[test]
fn pythons_non_finite_numbers_are_kept() {
    let json = Json::parse(r#"{"0": {"logprobs": [-0.5, NaN, Infinity, -Infinity]}}"#).unwrap();
    assert_eq!(json.first_non_finite().as_deref(), Some("0.logprobs[1]"));
    assert_eq!(json.to_string(), r#"{"0":{"logprobs":[-0.5,NaN,Infinity,-Infinity]}}"#);
}

#[test]
fn errors_say_where_and_what() {
    for (text, expected) in [
        ("", "line 1, column 1: the file ends where a JSON value was expected"),
        ("{\"a\": 1,\n \"a\": 2}", "line 2, column 2: the key \"a\" appears twice in the same object"),
        ("{\"a\" 1}", "line 1, column 6: expected ':' after the key \"a\""),
        ("{\"a\": 1", "line 1, column 8: expected ',' or '}' in an object"),
        ("[1 2]", "line 1, column 4: expected ',' or ']' in a list"),
        ("{a: 1}", "line 1, column 2: expected a key in double quotes"),
        ("[\"abc", "line 1, column 2: a string starts here and never ends"),
        ("[\"a\\q\"]", "line 1, column 2: bad string: invalid escape"),
        ("[nan]", "line 1, column 2: \"nan\" is not a JSON value (or too large a number)"),
        ("[1e999]", "line 1, column 2: \"1e999\" is not a JSON value (or too large a number)"),
        ("[01]", "line 1, column 2: \"01\" is not a JSON value (or too large a number)"),
        ("{} {}", "line 1, column 4: the JSON value ends here, but more text follows"),
        ("[1,]", "line 1, column 4: expected a JSON value"),
    ] {
        assert_eq!(Json::parse(text).unwrap_err().to_string(), expected, "{text}");
    }
    let deep = "[".repeat(100_000);
    assert!(Json::parse(&deep).unwrap_err().what.contains("nested deeper"));
}

#[test]
fn the_hash_ignores_order_and_spaces_only() {
    let hash = |text: &str| Json::parse(text).unwrap().hash();
    assert_eq!(hash(r#"{"a":1,"b":[1,2]}"#), hash("{\n \"b\": [1, 2], \"a\": 1 }"));
    assert_ne!(hash(r#"{"a":1}"#), hash(r#"{"a":2}"#));
    assert_ne!(hash(r#"{"a":[1,2]}"#), hash(r#"{"a":[2,1]}"#));
}

fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Into::into),
        ".*".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::hash_map(".*", inner, 0..8)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_serde_json(value in any_value()) {
        let json = Json::parse(&value.to_string()).unwrap();
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&json.to_string()).unwrap(), value.clone());
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&json.pretty()).unwrap(), value);
        prop_assert_eq!(Json::parse(&json.pretty()).unwrap(), json);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]{}\",:\\\\0-9eNaInfity.+ \n-]{0,60}") {
        let ours = Json::parse(&text);
        if serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|_| !text.contains('{')) {
            prop_assert!(ours.is_ok(), "{:?}", ours);
        }
    }
}
