//! Random straight-line programs: every executor of the machine gives what the exact evaluator gives.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/kernels/device.rs"]
mod device;
#[path = "../../tests/kernels/straight_line/mod.rs"]
mod straight_line;

fuzz_target!(|data: &[u8]| {
    if let Err(difference) = straight_line::check(data) {
        panic!("{difference}");
    }
});
