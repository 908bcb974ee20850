//! Prompt files: both formats, with and without output lengths; a shorter selection is a prefix of a longer.
#![no_main]

use std::path::Path;

use goldlap::workload::prompts::PromptFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let parse = |truncate, with_lengths| PromptFile::parse(Path::new("p"), data, truncate, with_lengths);
    let _ = parse(None, true);
    if let Ok(whole) = parse(None, false) {
        let first = parse(Some(1), false).expect("the beginning of a good file is good");
        assert_eq!(first.prompts.as_slice(), &whole.prompts[..1]);
    }
});
