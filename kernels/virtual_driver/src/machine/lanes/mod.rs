//! Arithmetic on whole registers: 32 lanes at a time.
//!
//! Every operation is a loop over 32 lanes without branches, which the compiler turns into vector instructions. Each family
//! is compiled three times (AVX-512, AVX2, baseline) and chosen at run time; no operation's result depends on the choice:
//! only IEEE operations, `mul_add` and integer arithmetic are used.

pub(super) mod compare;
pub(super) mod convert;
pub(super) mod float32;
pub(super) mod float64;
pub(super) mod half;
pub(super) mod int32;
pub(super) mod int64;
pub(super) mod pack;

use crate::isa::Cond;

/// Lanes of a warp.
pub(crate) const LANES: usize = 32;

/// 32 lanes of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(128))]
pub(crate) struct L32(pub [u32; LANES]);

/// 32 lanes of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(128))]
pub(crate) struct L64(pub [u64; LANES]);

impl L32 {
    pub(crate) const ZERO: L32 = L32([0; LANES]);
}

impl L64 {
    pub(crate) const ZERO: L64 = L64([0; LANES]);
}

/// Which vector instructions the host offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// The baseline of the target.
    Scalar,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, DQ, VL, CD.
    Avx512,
}

impl Isa {
    /// The best the host has.
    pub fn detect() -> Isa {
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            let has_avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512cd");
            if has_avx2 && has_avx512 {
                return Isa::Avx512;
            }
            if has_avx2 {
                return Isa::Avx2;
            }
        }
        Isa::Scalar
    }

    /// All that run on this host.
    pub fn available() -> Vec<Isa> {
        [Isa::Scalar, Isa::Avx2, Isa::Avx512].into_iter().filter(|&isa| isa <= Isa::detect()).collect()
    }
}

/// Defines a function that is compiled for each [`Isa`] and takes the one to run as its first argument.
macro_rules! for_each_isa {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name(isa: $crate::machine::lanes::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
            fn avx512($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
            fn avx2($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }

            match isa {
                // SAFETY: `Isa::detect` gives AVX-512 only where all of its features are present.
                #[cfg(target_arch = "x86_64")]
                $crate::machine::lanes::Isa::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: `Isa::detect` gives AVX2 only where all of its features are present.
                #[cfg(target_arch = "x86_64")]
                $crate::machine::lanes::Isa::Avx2 => unsafe { avx2($($arg),*) },
                #[cfg(not(target_arch = "x86_64"))]
                $crate::machine::lanes::Isa::Avx512 | $crate::machine::lanes::Isa::Avx2 => body($($arg),*),
                $crate::machine::lanes::Isa::Scalar => body($($arg),*),
            }
        }
    };
}
pub(crate) use for_each_isa;

macro_rules! maps {
    ($register:ident, $lane:ty, $map1:ident, $map2:ident, $map3:ident) => {
        #[inline(always)]
        pub(super) fn $map1(d: &mut $register, a: &$register, f: impl Fn($lane) -> $lane) {
            for i in 0..LANES {
                d.0[i] = f(a.0[i]);
            }
        }

        #[inline(always)]
        pub(super) fn $map2(
            d: &mut $register,
            a: &$register,
            b: &$register,
            f: impl Fn($lane, $lane) -> $lane,
        ) {
            for i in 0..LANES {
                d.0[i] = f(a.0[i], b.0[i]);
            }
        }

        #[inline(always)]
        pub(super) fn $map3(
            d: &mut $register,
            a: &$register,
            b: &$register,
            c: &$register,
            f: impl Fn($lane, $lane, $lane) -> $lane,
        ) {
            for i in 0..LANES {
                d.0[i] = f(a.0[i], b.0[i], c.0[i]);
            }
        }
    };
}
maps!(L32, u32, map1, map2, map3);
maps!(L64, u64, map1_64, map2_64, map3_64);

for_each_isa! {
    /// Writes `value` to the lanes of `mask`.
    pub(super) fn blend32(d: &mut L32, value: &L32, mask: u32) {
        for i in 0..LANES {
            d.0[i] = if mask >> i & 1 == 1 { value.0[i] } else { d.0[i] };
        }
    }
}

for_each_isa! {
    /// Writes `value` to the lanes of `mask`.
    pub(super) fn blend64(d: &mut L64, value: &L64, mask: u32) {
        for i in 0..LANES {
            d.0[i] = if mask >> i & 1 == 1 { value.0[i] } else { d.0[i] };
        }
    }
}

for_each_isa! {
    /// d = c ? a : b by lane
    pub(super) fn select32(d: &mut L32, a: &L32, b: &L32, c: u32) {
        for i in 0..LANES {
            d.0[i] = if c >> i & 1 == 1 { a.0[i] } else { b.0[i] };
        }
    }
}

for_each_isa! {
    /// d = c ? a : b by lane
    pub(super) fn select64(d: &mut L64, a: &L64, b: &L64, c: u32) {
        for i in 0..LANES {
            d.0[i] = if c >> i & 1 == 1 { a.0[i] } else { b.0[i] };
        }
    }
}

/// The lanes where a condition holds, given the predicate's lanes.
#[inline(always)]
pub(super) fn lanes_of(condition: Cond, predicate: u32) -> u32 {
    predicate ^ if condition.negated { u32::MAX } else { 0 }
}
