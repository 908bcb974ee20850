//! The AVX2 + FMA path: a vector of 16 lanes is two registers.

use std::arch::x86_64::*;

use super::{Kernel, LANES, Simd, operand_window, row_part};

/// Token of the AVX2 path; exists only where the instructions do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The token, if this machine has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn with_features<K: Kernel>(kernel: K, token: Avx2) -> K::Output {
    kernel.run(token)
}

/// The same address, which the compiler cannot know to be: it would keep what an earlier step loaded from there, and a register block of
/// six rows leaves no registers for that (46 GFLOP/s in place of 65).
#[inline(always)]
fn hidden(mut address: *const u32) -> *const u32 {
    #[expect(clippy::pointers_in_nomem_asm_block, reason = "nothing is read: there is no instruction at all")]
    // SAFETY: no instruction.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) address, options(pure, nomem, nostack, preserves_flags));
    }
    address
}

/// Applies a two-operand intrinsic to both halves.
macro_rules! both {
    ($intrinsic:ident, $($x:ident),+) => {
        // SAFETY: the token proves that the machine has AVX2 and FMA.
        unsafe { [$intrinsic($($x[0]),+), $intrinsic($($x[1]),+)] }
    };
}

/// Bits of `y` plus the bits of `t` shifted left by 23.
#[inline]
#[target_feature(enable = "avx2")]
fn scale_half(y: __m256, t: __m256) -> __m256 {
    let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(t));
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(y), exponent))
}

/// bf16 to f32.
#[inline]
#[target_feature(enable = "avx2")]
fn widen_half(halves: __m128i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
}

/// f32 to bf16 in the low half of each lane, nearest even.
#[inline]
#[target_feature(enable = "avx2")]
fn round_half(x: __m256) -> __m256i {
    let bits = _mm256_castps_si256(x);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    _mm256_srli_epi32::<16>(rounded)
}

/// The lower levels of the contract's tree, from 8 lanes on.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sum_8_lanes(v: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// As [`sum_8_lanes`], for the largest.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn max_8_lanes(v: __m256) -> f32 {
    let four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
}

impl Simd for Avx2 {
    type F = [__m256; 2];
    type W = [__m256; 2];
    type A = __m256;

    const STEPS: usize = 2;
    const DOT_SUMS: usize = 6;
    const DOT_ROWS: usize = 6;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves that the machine has AVX2 and FMA.
        unsafe { with_features(kernel, self) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        // SAFETY: the token proves that the machine has AVX2.
        unsafe { [_mm256_set1_ps(x); 2] }
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        // SAFETY: the token proves AVX2; 16 floats are readable.
        unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))] }
    }
    #[inline(always)]
    fn store(self, v: Self::F, to: &mut [f32; LANES]) {
        // SAFETY: the token proves AVX2; 16 floats are writable.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), v[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), v[1]);
        }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_add_ps, a, b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_sub_ps, a, b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_mul_ps, a, b)
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_div_ps, a, b)
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        both!(_mm256_fmadd_ps, a, b, c)
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_max_ps, a, b)
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_min_ps, a, b)
    }
    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        let sign = self.splat(-0.0);
        both!(_mm256_andnot_ps, sign, a)
    }
    #[inline(always)]
    fn select_less(self, a: Self::F, b: Self::F, yes: Self::F, no: Self::F) -> Self::F {
        // SAFETY: the token proves that the machine has AVX2.
        let less =
            unsafe { [_mm256_cmp_ps::<_CMP_LT_OQ>(a[0], b[0]), _mm256_cmp_ps::<_CMP_LT_OQ>(a[1], b[1])] };
        both!(_mm256_blendv_ps, no, yes, less)
    }
    #[inline(always)]
    fn scale_by_exponent(self, y: Self::F, t: Self::F) -> Self::F {
        both!(scale_half, y, t)
    }
    #[inline(always)]
    fn load_operands(self, from: &[u16; LANES]) -> Self::F {
        // SAFETY: the token proves AVX2; 16 halves are readable.
        unsafe {
            let halves = _mm256_loadu_si256(from.as_ptr().cast());
            [widen_half(_mm256_castsi256_si128(halves)), widen_half(_mm256_extracti128_si256::<1>(halves))]
        }
    }
    #[inline(always)]
    fn store_operands(self, v: Self::F, to: &mut [u16; LANES]) {
        let windowed = operand_window(self, v);
        // SAFETY: the token proves AVX2; 16 halves are writable.
        unsafe {
            let packed = _mm256_packus_epi32(round_half(windowed[0]), round_half(windowed[1]));
            let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(packed);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), ordered);
        }
    }

    #[inline(always)]
    fn round_to_row(self, v: Self::F, to: &mut [u32]) -> Self::F {
        let windowed = operand_window(self, v);
        // SAFETY: the token proves that the machine has AVX2.
        let rounded = unsafe {
            [0, 1].map(|half| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(round_half(windowed[half]))))
        };
        self.store(rounded, row_part(to));
        rounded
    }

    #[inline(always)]
    unsafe fn load_weights<const STEP: usize>(self, from: *const u32) -> Self::W {
        let from = if STEP == 1 { hidden(from) } else { from };
        // SAFETY: the token proves AVX2; the caller promises 64 readable bytes.
        unsafe {
            let (low, high) = (_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(8).cast()));
            if STEP == 0 {
                let odd = _mm256_set1_epi32(0xffff_0000_u32 as i32);
                [
                    _mm256_castsi256_ps(_mm256_and_si256(low, odd)),
                    _mm256_castsi256_ps(_mm256_and_si256(high, odd)),
                ]
            } else {
                [
                    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(low)),
                    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(high)),
                ]
            }
        }
    }
    #[inline(always)]
    unsafe fn splat_row<const STEP: usize>(self, from: *const u32) -> Self::A {
        // SAFETY: the token proves AVX2; the caller promises two readable words.
        unsafe { _mm256_broadcast_ss(&*from.add(1 - STEP).cast()) }
    }
    #[inline(always)]
    fn dot_step(self, sum: Self::F, a: Self::A, w: Self::W) -> Self::F {
        let a = [a; 2];
        both!(_mm256_fmadd_ps, a, w, sum)
    }
    #[inline(always)]
    fn prefetch(self, at: *const u32) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    fn prefetch_l2(self, at: *const u32) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }

    #[inline(always)]
    fn sum_lanes(self, v: Self::F) -> f32 {
        // SAFETY: the token proves that the machine has AVX2.
        unsafe { sum_8_lanes(_mm256_add_ps(v[0], v[1])) }
    }
    #[inline(always)]
    fn max_lanes(self, v: Self::F) -> f32 {
        // SAFETY: the token proves that the machine has AVX2.
        unsafe { max_8_lanes(_mm256_max_ps(v[0], v[1])) }
    }
}
