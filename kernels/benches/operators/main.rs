//! Micro-benchmarks of the CPU backend: every operator, at the shapes of the 583M model, on every instruction set that the
//! machine has, one thread.
//!
//!     cargo bench -p goldlap-kernels -- attention            # what criterion takes as a filter: all names that match
//!     cargo bench -p goldlap-kernels -- 'matmul.*/avx512'
//!
//! Criterion prints floating-point operations as elements per second. Weights and KV cache come from memory, as in a step: calls
//! take turns on copies that no cache holds together. `cargo xtask bench operators` makes a table of it.

mod attention;
mod head;
mod measure;
mod operands;
mod products;
mod rows;

use std::time::Duration;

use criterion::Criterion;

use measure::Measure;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(250))
        .nresamples(2000)
        .configure_from_args();
    let mut measure = Measure::new(&mut criterion);
    rows::measure(&mut measure);
    products::measure(&mut measure);
    attention::measure(&mut measure);
    head::measure(&mut measure);
    criterion.final_summary();
}
