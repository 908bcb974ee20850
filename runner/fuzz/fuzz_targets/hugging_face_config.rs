//! config.json of a Hugging Face folder: any bytes are an architecture that the engine has, or an error.
#![no_main]

use std::fs;
use std::sync::OnceLock;

use goldlap_kernels::model::hugging_face::read_config;
use libfuzzer_sys::fuzz_target;
use tempfile::TempPath;

fuzz_target!(|data: &[u8]| {
    static FILE: OnceLock<TempPath> = OnceLock::new();
    let path = FILE.get_or_init(|| tempfile::NamedTempFile::new().expect("a temp file").into_temp_path());
    fs::write(path, data).expect("a temp file can be written");
    let _ = read_config(path).map_err(|error| error.to_string());
});
