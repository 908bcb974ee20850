//! Tests of the prompt files.

mod broken_files;

use std::path::Path;

use proptest::prelude::*;

use super::*;

fn parse(content: &str, truncate: Option<usize>, with_lengths: bool) -> Result<PromptFile, PromptError> {
    PromptFile::parse(Path::new("dir/prompts.json"), content.as_bytes(), truncate, with_lengths)
}

fn texts(file: &PromptFile) -> Vec<&str> {
    file.prompts.iter().map(|prompt| prompt.text.as_str()).collect()
}

fn turn(from: &str, value: &str) -> String {
    serde_json::json!({"from": from, "value": value}).to_string()
}

fn conversation(turns: &[String]) -> String {
    format!(r#"{{"id": "x_0", "conversations": [{}]}}"#, turns.join(", "))
}

fn conversations(list: &[String]) -> String {
    format!("[\n  {}\n]\n", list.join(",\n  "))
}

const LINES: &str = concat!(
    "{\"text\": \"first\\nprompt\", \"chatgpt_output_token_length\": 3, \"extra\": [1, {\"text\": 2}]}\n",
    "  {\"chatgpt_output_token_length\": 40, \"text\": \"second\"}\r\n",
    "{\"text\": \"\\u0442\\ud83d\\ude42\", \"chatgpt_output_token_length\": 1}",
);

#[test]
fn a_jsonl_file_gives_a_prompt_a_line() {
    let file = parse(LINES, None, true).unwrap();
    assert_eq!(texts(&file), ["first\nprompt", "second", "т🙂"]);
    let lengths: Vec<_> = file.prompts.iter().map(|prompt| prompt.output.clone()).collect();
    assert_eq!(lengths, [3, 40, 1].map(OutputLength::Tokens));
    assert_eq!(file.prompts[2].origin, Origin::Line(3));
    assert_eq!(file.skipped.total(), 0);
}

#[test]
fn lengths_are_not_looked_at_unless_asked_for() {
    let content = "{\"text\": \"a\"}\n{\"text\": \"b\", \"chatgpt_output_token_length\": \"many\"}\n";
    let file = parse(content, None, false).unwrap();
    assert!(file.prompts.iter().all(|prompt| prompt.output == OutputLength::Unspecified));
}

#[test]
fn only_the_first_lines_are_read() {
    let content = format!("{LINES}\nthis is no JSON\n");
    assert_eq!(texts(&parse(&content, Some(2), false).unwrap()), ["first\nprompt", "second"]);
    assert_eq!(parse(&content, Some(0), false).unwrap().prompts, []);
    assert_eq!(parse(LINES, Some(100), false).unwrap().prompts.len(), 3, "fewer than asked for is fine");
}

#[test]
fn a_share_gpt_file_gives_the_first_human_turn_and_the_reply() {
    let content = conversations(&[
        conversation(&[
            turn("human", "Who?"),
            turn("gpt", "Me."),
            turn("human", "Sure?"),
            turn("gpt", "Yes."),
        ]),
        conversation(&[turn("system", "Be brief."), turn("user", "Two"), turn("ChatGPT", "2")]),
        conversation(&[
            turn("gpt", "I begin."),
            turn("human", "Three"),
            turn("tool", "{}"),
            turn("assistant", "3"),
        ]),
    ]);
    let file = parse(&content, None, true).unwrap();
    assert_eq!(texts(&file), ["Who?", "Two", "Three"]);
    let replies = ["Me.", "2", "3"].map(|reply| OutputLength::AsLongAs(reply.to_owned()));
    assert_eq!(file.prompts.iter().map(|prompt| prompt.output.clone()).collect::<Vec<_>>(), replies);
    assert_eq!(file.prompts[1].origin.to_string(), "conversation 1 of the prompt file");
}

#[test]
fn conversations_without_a_use_are_skipped_and_counted() {
    let empty_reply = conversation(&[turn("human", "a"), turn("gpt", " \n")]);
    let null_value =
        r#"{"conversations": [{"from": "human", "value": null}, {"from": "gpt", "value": "x"}]}"#;
    let content = conversations(&[
        conversation(&[]),
        conversation(&[turn("gpt", "alone")]),
        conversation(&[turn("human", ""), turn("gpt", "reply")]),
        empty_reply,
        null_value.to_owned(),
        conversation(&[turn("human", "nobody answers")]),
        conversation(&[turn("human", "one"), turn("human", "two"), turn("gpt", "reply to two")]),
        conversation(&[turn("human", "good"), turn("gpt", "reply")]),
    ]);
    for with_lengths in [false, true] {
        let file = parse(&content, None, with_lengths).unwrap();
        assert_eq!(texts(&file), ["good"], "the same prompts with and without lengths");
        assert_eq!(file.prompts[0].origin, Origin::Conversation(7));
        assert_eq!(file.skipped, SkippedConversations { no_human_turn: 2, empty_turn: 3, no_reply: 2 });
    }
}

#[test]
fn only_the_first_conversations_are_read() {
    let good = conversation(&[turn("human", "a"), turn("gpt", "b")]);
    let content = format!("[{}, {good}, {good}, here it breaks", conversation(&[]));
    let file = parse(&content, Some(2), false).unwrap();
    assert_eq!((file.prompts.len(), file.skipped.total()), (2, 1));
    assert!(parse(&content, Some(3), false).is_err());
}

#[test]
fn a_file_on_disk_is_read_as_its_content() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, LINES).unwrap();
    assert_eq!(PromptFile::read(file.path(), None, true).unwrap(), parse(LINES, None, true).unwrap());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        start in prop_oneof![Just(""), Just("{"), Just("["), Just("[{\"conversations\": [")],
        rest in prop::collection::vec(any::<u8>(), 0..200), with_lengths: bool,
    ) {
        let content = [start.as_bytes(), &rest].concat();
        let _ = PromptFile::parse(Path::new("x"), content.as_slice(), None, with_lengths);
    }

    #[test]
    fn a_file_with_some_bytes_changed_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), with_lengths: bool,
    ) {
        let share_gpt = conversations(&[conversation(&[turn("human", "a"), turn("gpt", "b")])]);
        for text in [LINES, &share_gpt] {
            let mut content = text.as_bytes().to_vec();
            for (index, byte) in &changes {
                let at = index.index(content.len());
                content[at] = *byte;
            }
            let _ = PromptFile::parse(Path::new("x"), content.as_slice(), None, with_lengths);
        }
    }

    #[test]
    fn any_text_survives_either_format(texts in prop::collection::vec("(?s)[^ \t\r\n].{0,20}", 1..5)) {
        prop_assume!(texts.iter().all(|text| !text.trim().is_empty()));
        let lines: String = texts.iter().map(|text| serde_json::json!({"text": text}).to_string() + "\n").collect();
        let list: Vec<String> =
            texts.iter().map(|text| conversation(&[turn("human", text), turn("gpt", "r")])).collect();
        for content in [lines, conversations(&list)] {
            let file = parse(&content, None, false).unwrap();
            prop_assert_eq!(file.prompts.into_iter().map(|prompt| prompt.text).collect::<Vec<_>>(), texts.clone());
        }
    }
}
