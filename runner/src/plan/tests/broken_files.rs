//! The corpus of broken case files: each names the exact errors it must cause, in comments at its head.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{Disposition, plan};
use crate::config::{CaseFile, ConfigError, RawFile};

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/model_config");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// What is said of a file, without the excerpts of its lines.
fn said(error: &ConfigError) -> Vec<String> {
    let of = |d: &crate::config::Diagnostic| {
        let place = d.location.map(|at| format!("{}:{}: ", at.line, at.column)).unwrap_or_default();
        let help = d.help.as_ref().map(|help| format!("help: {help}"));
        [Some(format!("{place}{}", d.message)), help]
    };
    error.diagnostics.iter().flat_map(of).flatten().collect()
}

#[test]
fn every_broken_file_is_told_what_is_wrong_and_where() {
    let files = corpus();
    assert!(files.len() >= 90, "{} files", files.len());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let expected: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# expect: ")).collect();
        assert!(!expected.is_empty(), "{}: expects nothing", file.display());
        match plan(&text) {
            Disposition::Invalid(error) => assert_eq!(said(&error), expected, "{}", file.display()),
            Disposition::Run(_) | Disposition::Skip { .. } => panic!("{}: accepted", file.display()),
        }
    }
}

#[test]
fn every_excerpt_shows_the_line_that_is_meant() {
    for file in corpus() {
        let text = fs::read_to_string(&file).unwrap();
        let Disposition::Invalid(error) = plan(&text) else { panic!("{}: accepted", file.display()) };
        for diagnostic in &error.diagnostics {
            let Some(at) = diagnostic.location else { continue };
            let Some(line) = text.lines().nth(at.line - 1) else { continue };
            let shown = diagnostic.to_string();
            let start: String = line.chars().take(10).filter(|c| !c.is_control()).collect();
            assert!(shown.contains(start.trim()), "{}: {shown}", file.display());
            assert!(at.column <= line.chars().count() + 1, "{}: {shown}", file.display());
        }
    }
}

#[test]
fn files_that_are_no_text_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        CaseFile::read(&path).unwrap_err().to_string()
    };
    let error = read("latin1", b"MODE: inf\xe9rence\n");
    assert!(error.contains("is not UTF-8: first bad byte at offset 9"), "{error}");
    let error = read("large", &vec![b'#'; (1 << 20) + 1]);
    assert!(error.contains("larger than 1048576 bytes"), "{error}");
    let error = CaseFile::read(&folder.path().join("absent")).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
    let error = CaseFile::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
}

#[test]
fn an_alias_bomb_ends_quickly() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 9].join(", ");
        text += &format!("a{level}: &a{level} [{items}]\n");
    }
    assert!(RawFile::from_text(&text).is_err());
}

/// Pieces that case files are made of, so that random texts get past the first line.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("MODE: inference\n".to_owned()),
        Just("MODEL_ARGS:\n".to_owned()),
        Just("METRICS: [generated_tokens]\n".to_owned()),
        Just("PLATFORMS: {cpu: {MODEL_ARGS: {--seed: ~}}}\n".to_owned()),
        Just("MODEL: m\nNUM_OUTPUT_TOKENS: 1\n".to_owned()),
        "  --(num-layers|top_k|top_p|prompts|load|output-path|hidden-size|seed): [-0-9.e${}\\[\\]'\"a-z]{0,8}\n",
        "[ -~\n]{0,12}",
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        plan(&text);
    }

    #[test]
    fn arbitrary_case_files_never_panic(pieces in proptest::collection::vec(piece(), 0..12)) {
        plan(&pieces.concat());
    }

    #[test]
    fn cut_corpus_files_never_panic(file in proptest::sample::select(corpus()), at in 0.0f64..1.0) {
        let text = fs::read_to_string(file).unwrap();
        let end = (text.len() as f64 * at) as usize;
        if let Some(head) = text.get(..end) {
            plan(head);
        }
    }
}
