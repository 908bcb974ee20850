//! The workloads of the table, by name.

use clap::ValueEnum;
use goldlap::bench::Workload;

/// A workload of the table.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Short,
    Long,
    Avx2,
}

impl Kind {
    pub(super) fn workload(self) -> Workload {
        match self {
            Self::Short => Workload { prompt: 512, generate: 32, batches: vec![1, 8, 32], context: 512 },
            Self::Long => Workload { prompt: 512, generate: 8, batches: vec![8], context: 4096 },
            Self::Avx2 => Workload { prompt: 512, generate: 16, batches: vec![1, 8], context: 512 },
        }
    }

    pub(super) fn pairs(self, pairs: usize) -> usize {
        if self == Self::Long { 1 } else { pairs }
    }

    pub(super) fn label(self, what: &str) -> String {
        match self {
            Self::Short | Self::Long => what.to_owned(),
            Self::Avx2 => format!("AVX2 only: {what}"),
        }
    }
}
