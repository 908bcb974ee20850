//! Prompt files that are refused, each with its message.

use super::*;

/// Content and message, for a file read with output lengths.
const WITH_LENGTHS: &[(&str, &str)] = &[
    (
        "",
        ": expected Megatron's jsonl (one object with \"text\" a line) or ShareGPT's JSON (a list of conversations), got an empty file",
    ),
    (" \n\t\n", "got nothing but white space at its beginning"),
    ("\u{feff}[]", "got a byte order mark: save the file as UTF-8 without one"),
    ("text: hello\n", "got a file that begins with 't'"),
    ("\"text\"\n", "got a file that begins with '\"'"),
    ("{\"text\": \"a\"}\n", ":1:13: missing field `chatgpt_output_token_length`"),
    ("{\"chatgpt_output_token_length\": 4}\n", ":1:34: missing field `text`"),
    (
        "{\"text\": \"a\", \"chatgpt_output_token_length\": 0}\n",
        ":1:1: chatgpt_output_token_length: expected 1 or more tokens, got 0",
    ),
    (
        "{\"text\": \"a\", \"chatgpt_output_token_length\": -4}\n",
        ":1:47: invalid value: integer `-4`, expected u64",
    ),
    (
        "{\"text\": \"a\", \"chatgpt_output_token_length\": 4.5}\n",
        ":1:48: invalid type: floating point `4.5`, expected u64",
    ),
    ("{\"text\": \"a\", \"chatgpt_output_token_length\": null}\n", ":1:49: invalid type: null, expected u64"),
    ("[]", ": no prompt in it"),
    (
        "[{\"conversations\": []}, {\"conversations\": [{\"from\": \"human\", \"value\": \"a\"}]}]",
        ": no prompt in it: 2 conversations skipped (1 without a human turn, 0 with an empty turn, 1 without a reply)",
    ),
    (
        "[1]",
        ":1:3: conversation 0: invalid type: integer `1`, expected an object (0 conversations before it are complete)",
    ),
    (
        "[{\"conversations\": []},\n {\"id\": 7}]",
        ":2:10: conversation 1: missing field `conversations` (1 conversations before it are complete)",
    ),
    ("[{\"conversations\": {}}]", "conversation 0, conversations: invalid type: map, expected a sequence"),
    (
        "[{\"conversations\": [{\"from\": \"human\"}, {\"value\": \"x\"}]}]",
        "conversation 0, conversations[1]: missing field `from`",
    ),
    (
        "[{\"conversations\": [{\"from\": \"human\", \"value\": 3}]}]",
        ":1:49: conversation 0, conversations[0].value: invalid type: integer `3`, expected a string",
    ),
    (
        "[{\"conversations\": []}, {\"conversations\": [{\"from\": \"human\", \"value\": \"cut off her",
        "conversation 1, conversations[0].value: the file is cut off here (EOF while parsing a string) (1 conversations before it are complete)",
    ),
    (
        "[{\"conversations\": []}",
        ": the file is cut off here (EOF while parsing a list) (after 1 conversations)",
    ),
    ("[{\"conversations\": []}] {}", ":1:25: trailing characters (after 1 conversations)"),
    ("[{\"conversations\": []},]", ": trailing comma"),
    ("[{\"conversations\": []} {\"conversations\": []}]", "expected `,` or `]`"),
];

/// Content and message, for a file read without output lengths.
const WITHOUT_LENGTHS: &[(&str, &str)] = &[
    (
        "{\"text\": \"a\"}\n\n{\"text\": \"b\"}\n",
        ":2:1: blank line: expected an object with \"text\"; remove the line",
    ),
    ("{\"text\": \"a\"}\n\n", ":2:1: blank line"),
    ("\n{\"text\": \"a\"}\n", ":1:1: blank line"),
    (
        "{\"text\": \"a\"}\n{\"text\": \"b\n",
        ":2:11: the line ends in the middle of its object (EOF while parsing a string)",
    ),
    (
        "{\"text\": \"a\"}\n{\"text\": \"b\"",
        ":2:12: the line ends in the middle of its object (EOF while parsing an object)",
    ),
    ("{\"text\": \"a\"}\n{\n\"text\": \"b\"}\n", ":2:1: the line ends in the middle of its object"),
    ("{\"text\": \"a\"} {\"text\": \"b\"}\n", ":1:15: trailing characters"),
    ("{\"text\": \"a\"}\n[\"b\"]\n", ":2:0: invalid type: sequence, expected an object"),
    ("{\"text\": [\"a\"]}\n", ":1:9: invalid type: sequence, expected a string"),
    ("{\"text\": \"a\", \"text\": \"b\"}\n", ":1:20: duplicate field `text`"),
    ("{\"text\": \"\\ud800\"}\n", ": unexpected end of hex escape"),
    ("{\"text\": 'a'}\n", ":1:10: expected value"),
    ("{\"prompt\": \"a\"}\n", ":1:15: missing field `text`"),
];

#[test]
fn each_broken_file_says_what_where_and_what_was_expected() {
    let with = WITH_LENGTHS.iter().map(|case| (case, true));
    let mut wrong = Vec::new();
    for ((content, expected), with_lengths) in with.chain(WITHOUT_LENGTHS.iter().map(|case| (case, false))) {
        let error = parse(content, None, with_lengths).unwrap_err().to_string();
        if !(error.starts_with("prompt file dir/prompts.json:") && error.contains(expected)) {
            wrong.push(format!(
                "{content:?}
got      {error}
expected {expected}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}",
        wrong.join(
            "
"
        )
    );
}

#[test]
fn bytes_that_are_no_utf8_and_packed_files_are_named() {
    let cases: [(&[u8], &str); 3] = [
        (b"{\"text\": \"\xff\"}\n", ":1:11: invalid unicode code point"),
        (
            b"[{\"conversations\": [{\"from\": \"human\", \"value\": \"\xc3(\"}]}]",
            "invalid unicode code point",
        ),
        (b"\x1f\x8b\x08\x00", "got gzip data: unpack the file"),
    ];
    for (content, expected) in cases {
        let error = PromptFile::parse(Path::new("p"), content, None, false).unwrap_err().to_string();
        assert!(error.contains(expected), "got      {error}\nexpected {expected}");
    }
}

#[test]
fn a_line_that_never_ends_is_refused_before_it_fills_the_memory() {
    struct Endless;
    impl std::io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            buffer.fill(b'{');
            Ok(buffer.len())
        }
    }
    let reader = std::io::BufReader::with_capacity(1 << 20, Endless);
    let error = PromptFile::parse(Path::new("p"), reader, None, false).unwrap_err().to_string();
    assert_eq!(
        error,
        "prompt file p: line 1 is larger than 67108864 bytes; take fewer prompts with --prompt-file-num-truncate"
    );
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let read = |path: &Path| PromptFile::read(path, None, false).unwrap_err().to_string();
    assert!(
        read(&folder.path().join("absent"))
            .ends_with("cannot be read: No such file or directory (os error 2)")
    );
    assert!(read(folder.path()).contains("cannot be read: Is a directory"));
}
