//! Which instruction set the CPU backend uses: the best that the machine has, or the one that is asked for.

use std::fmt;
use std::str::FromStr;

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Kernel, Scalar, Simd};

/// Environment variable that forces an instruction set.
pub const ISA_VARIABLE: &str = "GOLDLAP_ISA";

/// An instruction set. All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust.
    Scalar,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ, VL and BF16.
    Avx512,
}

/// An instruction set that cannot be used here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsaError {
    /// No such name.
    #[error("{ISA_VARIABLE}: unknown instruction set `{0}`; expected scalar, avx2 or avx512")]
    Unknown(String),
    /// The machine lacks it.
    #[error(
        "instruction set `{0}` is not available on this machine; unset {ISA_VARIABLE} to take the best that is"
    )]
    Unavailable(Isa),
}

impl Isa {
    /// All, best last.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// The machine can run it.
    pub fn is_available(self) -> bool {
        Path::new(self).is_some()
    }

    /// The best one that the machine has.
    pub fn best() -> Self {
        Self::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Self::Scalar)
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
    Avx512(Avx512),
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
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => None,
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
        }
    }
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
