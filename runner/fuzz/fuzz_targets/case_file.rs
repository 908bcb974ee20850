//! model_config.yaml: any text is a case or a located error; any value becomes words or an error.
#![no_main]

use goldlap::config::{RawFile, Words};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = RawFile::from_text(text).map_err(|error| error.to_string());
    let _ = Words::parse(text);
});
