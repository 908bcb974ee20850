//! Golden files: what is read and written again reads as the same.
#![no_main]

use goldlap::golden::Golden;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(golden) = Golden::from_bytes(data) {
        let written = golden.to_json().pretty();
        let again = Golden::from_bytes(written.as_bytes()).expect("what we wrote");
        assert_eq!(again.to_json().pretty(), written);
    }
});
