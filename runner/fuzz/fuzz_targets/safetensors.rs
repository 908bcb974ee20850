//! Safetensors files: lying headers, overlaps, truncation; every tensor that is listed can be read.
#![no_main]

use std::fs;
use std::sync::OnceLock;

use goldlap_kernels::model::safetensors::SafetensorsFile;
use libfuzzer_sys::fuzz_target;
use tempfile::TempPath;

fuzz_target!(|data: &[u8]| {
    static FILE: OnceLock<TempPath> = OnceLock::new();
    let path = FILE.get_or_init(|| tempfile::NamedTempFile::new().expect("a temp file").into_temp_path());
    fs::write(path, data).expect("a temp file can be written");
    if let Ok(file) = SafetensorsFile::open(path) {
        for name in file.tensors().keys() {
            let _ = file.read_bf16(name);
        }
    }
});
