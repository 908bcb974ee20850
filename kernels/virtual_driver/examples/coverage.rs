//! Prints the coverage page: `cargo run -p goldlap-virtual-driver --example coverage > kernels/virtual_driver/COVERAGE.md`

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().lock().write_all(goldlap_virtual_driver::isa::coverage::page().as_bytes())
}
