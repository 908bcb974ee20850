//! Which instruction set the CPU backend uses: the best that the machine has, or the one that is asked for.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use super::peak::Peak;
#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Kernel, Scalar, Simd};

/// Environment variable that forces an instruction set.
pub const ISA_VARIABLE: &str = "GOLDLAP_ISA";

/// Trials of each instruction set when the fastest is looked for.
const TRIALS: usize = 5;
/// Repeats of the peak's product in a trial.
const TRIAL_REPEATS: usize = 16;

/// An instruction set. All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust.
    Scalar,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    Avx512,
    /// The same with AVX-512 BF16.
    Avx512Bf16,
}

/// An instruction set that cannot be used here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsaError {
    /// No such name.
    #[error("{ISA_VARIABLE}: unknown instruction set `{0}`; expected scalar, avx2, avx512 or avx512_bf16")]
    Unknown(String),
    /// The machine lacks it.
    #[error(
        "instruction set `{0}` is not available on this machine; unset {ISA_VARIABLE} to take the best that is"
    )]
    Unavailable(Isa),
}

impl Isa {
    /// All.
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Avx512Bf16];

    /// The machine can run it.
    pub fn is_available(self) -> bool {
        Path::new(self).is_some()
    }

    /// The fastest one that the machine has. Where both of AVX-512 are there, each is tried for a quarter of a millisecond, once in a
    /// process: which one is faster is up to the processor, and results have the same bits. A Xeon (Emerald Rapids) begins four fused
    /// multiply-adds in the two cycles of one bf16 dot product, so f32 is 1.7 times as fast there in prefill.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let last = Self::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Self::Scalar);
            match last {
                Self::Avx512Bf16 => Self::faster(Self::Avx512Bf16, Self::Avx512),
                Self::Scalar | Self::Avx2 | Self::Avx512 => last,
            }
        })
    }

    /// The one of two whose dot loop takes fewer ticks; the first if it has no clock.
    fn faster(first: Self, second: Self) -> Self {
        let ticks = |isa| Path::new(isa).map_or(u64::MAX, Path::dot_ticks);
        let (mut ticks_of_first, mut ticks_of_second) = (u64::MAX, u64::MAX);
        // The shortest of several: others use the core too.
        for _ in 0..TRIALS {
            ticks_of_first = ticks_of_first.min(ticks(first));
            ticks_of_second = ticks_of_second.min(ticks(second));
        }
        if ticks_of_second < ticks_of_first { second } else { first }
    }

    /// The one that `GOLDLAP_ISA` names, else the best.
    ///
    /// # Errors
    /// An unknown name, or an instruction set that this machine lacks.
    pub fn from_environment() -> Result<Self, IsaError> {
        match std::env::var(ISA_VARIABLE) {
            Ok(name) => name.parse(),
            Err(std::env::VarError::NotPresent) => Ok(Self::best()),
            Err(std::env::VarError::NotUnicode(name)) => {
                Err(IsaError::Unknown(name.to_string_lossy().into_owned()))
            }
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512_bf16",
        })
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Self, IsaError> {
        let isa = Self::ALL.into_iter().find(|isa| isa.to_string() == name);
        let isa = isa.ok_or_else(|| IsaError::Unknown(name.to_owned()))?;
        if isa.is_available() { Ok(isa) } else { Err(IsaError::Unavailable(isa)) }
    }
}

/// Proof that an instruction set is there, and the way into kernels compiled for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path {
    Scalar(Scalar),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512<false>),
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(Avx512<true>),
}

impl Path {
    /// `None` where the machine lacks `isa`.
    pub(crate) fn new(isa: Isa) -> Option<Self> {
        match isa {
            Isa::Scalar => Some(Self::Scalar(Scalar)),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Avx512::detect().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => Avx512::detect().map(Self::Avx512Bf16),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16 => None,
        }
    }

    /// Runs `kernel` on this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Scalar(s) => s.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(s) => s.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(s) => s.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(s) => s.vectorize(kernel),
        }
    }

    /// Ticks of the processor's own clock that a fixed number of dot products takes: some 50 microseconds; 0 without such a clock.
    fn dot_ticks(self) -> u64 {
        let start = ticks();
        std::hint::black_box(self.run(Peak { repeats: TRIAL_REPEATS }));
        ticks().wrapping_sub(start)
    }
}

/// The processor's time-stamp counter.
fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_wrong_ones_are_refused() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        let error = "avx1024".parse::<Isa>().unwrap_err().to_string();
        assert!(error.contains("avx1024") && error.contains("scalar"), "{error}");
    }
}
