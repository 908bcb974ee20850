//! One operator in one shape, on every instruction set.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use goldlap_kernels::cpu::{CpuBackend, Isa};
use goldlap_kernels::ops::error::OpError;

/// Scalar code is there to be right: what takes it longer than some tenths of a second is left out.
const MOST_SCALAR_FLOPS: u64 = 400_000_000;

/// What one call must do at the least.
#[derive(Clone, Copy, Default)]
pub(crate) struct Work {
    /// Bytes read and written, each operand once.
    pub(crate) bytes: usize,
    /// Multiplications and additions in dot products; 0 where there is none.
    pub(crate) flops: u64,
}

/// Where measurements are registered.
pub(crate) struct Measure<'a> {
    criterion: &'a mut Criterion,
}

impl<'a> Measure<'a> {
    pub(crate) fn new(criterion: &'a mut Criterion) -> Self {
        Self { criterion }
    }

    /// Measures `call` under the name `operator/case/isa`. `prepare` runs once, and only where the filter lets a name pass. `call` is
    /// told how many calls came before.
    pub(crate) fn operator<S>(
        &mut self,
        operator: &str,
        case: &str,
        work: Work,
        prepare: impl Fn() -> S,
        call: impl Fn(&mut CpuBackend, &mut S, usize) -> Result<(), OpError>,
    ) {
        let mut group = self.criterion.benchmark_group(operator);
        group.sampling_mode(SamplingMode::Flat);
        group.throughput(match work.flops {
            0 => Throughput::BytesDecimal(work.bytes as u64),
            elements => Throughput::ElementsAndBytes { elements, bytes: work.bytes as u64 },
        });
        let mut state = None;
        let best = Isa::best();
        let others = Isa::ALL.into_iter().rev().filter(|&isa| isa != best && isa.is_available());
        for isa in std::iter::once(best).chain(others) {
            if isa == Isa::Scalar && work.flops > MOST_SCALAR_FLOPS {
                continue;
            }
            group.bench_function(BenchmarkId::new(case, isa), |bencher| {
                let mut backend = CpuBackend::new(isa, 1).expect("an available instruction set");
                let state = state.get_or_insert_with(&prepare);
                let mut calls = 0;
                bencher.iter(|| {
                    call(&mut backend, state, calls).expect("valid arguments");
                    calls += 1;
                });
            });
        }
        group.finish();
    }
}
