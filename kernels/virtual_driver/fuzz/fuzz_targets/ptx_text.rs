//! PTX text, mutated by whole words and lines: what loads is run for a bounded number of steps, and nothing crashes.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

#[path = "../../tests/kernels/bounded.rs"]
mod bounded;
mod words;

fuzz_target!(|data: &[u8]| bounded::run_all(&String::from_utf8_lossy(data)));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    // One time in four bytes are mutated, as no tokenizer would.
    if seed % 4 == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let text = String::from_utf8_lossy(&data[..size]).into_owned();
    let mutated = words::mutated(&text, seed);
    let length = mutated.len().min(max_size);
    data[..length].copy_from_slice(&mutated.as_bytes()[..length]);
    length
});
