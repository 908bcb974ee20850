//! Sixteen lanes of f32 on every instruction set: kernels are written once against [`Simd`] and compiled per path.
//!
//! A path is a token that exists only where the machine has the instructions, so its methods are safe to call.
//! Every method is one IEEE operation a lane (or an exact bit manipulation), hence all paths have the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use scalar::Scalar;

#[cfg(target_arch = "x86_64")]
use crate::ops::operand::{OPERAND_CEILING, OPERAND_FLOOR};

/// Lanes of every vector.
pub(crate) const LANES: usize = 16;

/// A computation that is compiled for each instruction set.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;

    /// The computation. Implementations are `#[inline(always)]`, and so is everything that they call with vectors. No closure
    /// may touch a vector: one that is not inlined is compiled without the instruction set, and every operation in it
    /// becomes a call.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// The operations of one instruction set.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// 16 f32.
    type F: Copy;
    /// 16 weights, or pairs of them, as a step of the dot loop takes them.
    type W: Copy;
    /// One element of a row, or a pair, for all lanes.
    type A: Copy;

    /// Steps in which the dot loop multiplies a pair. 1: the instruction set multiplies pairs of bf16. 2: odd elements are
    /// multiplied as f32, then even ones.
    const STEPS: usize;
    /// Words in which rows hold a pair for the dot loop: the pair itself, or two f32, even element first. Widened once, an
    /// element of a row takes one load in the loop.
    const ROW_WORDS: usize = Self::STEPS;

    /// Sums (of a row and a tile) that the dot loop keeps in registers.
    const DOT_SUMS: usize;
    /// Rows of them, at most.
    const DOT_ROWS: usize;

    /// Runs `kernel` compiled for this instruction set: one function for each kernel, never a copy at each call.
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::F;
    /// Lanes in memory order.
    fn load(self, from: &[f32; LANES]) -> Self::F;
    /// Lanes in memory order.
    fn store(self, v: Self::F, to: &mut [f32; LANES]);
    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `if a > b { a } else { b }`
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `if a < b { a } else { b }`
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `|a|`
    fn abs(self, a: Self::F) -> Self::F;
    /// `if a < b { yes } else { no }`
    fn select_less(self, a: Self::F, b: Self::F, yes: Self::F, no: Self::F) -> Self::F;
    /// Bits of `y` plus the bits of `t` shifted left by 23: multiplies `y` by two to the integer in `t`'s low bits.
    fn scale_by_exponent(self, y: Self::F, t: Self::F) -> Self::F;
    /// Widens 16 bf16.
    fn load_operands(self, from: &[u16; LANES]) -> Self::F;
    /// Clamps to the operand window and rounds to bf16: [`crate::ops::operand::round_to_operand`].
    fn store_operands(self, v: Self::F, to: &mut [u16; LANES]);

    /// Rounds to operands as [`Self::store_operands`] does, stores them where the dot loop reads a row (8 pairs of
    /// [`Self::ROW_WORDS`]), and returns them.
    fn round_to_row(self, v: Self::F, to: &mut [u32]) -> Self::F;

    /// What step `STEP` takes of 16 pairs of weights.
    ///
    /// # Safety
    /// `from` is readable for 64 bytes and aligned to 4.
    unsafe fn load_weights<const STEP: usize>(self, from: *const u32) -> Self::W;
    /// What step `STEP` takes of a row's pair.
    ///
    /// # Safety
    /// `from` is readable for [`Self::ROW_WORDS`] words and aligned to 4.
    unsafe fn splat_row<const STEP: usize>(self, from: *const u32) -> Self::A;
    /// One step; all steps of a pair are `fma(even, even, fma(odd, odd, sum))` in each lane.
    fn dot_step(self, sum: Self::F, a: Self::A, w: Self::W) -> Self::F;
    /// Hints that the line at `at` is read soon; any address is allowed.
    fn prefetch(self, at: *const u32);
    /// The same, but no further than into the second-level cache.
    fn prefetch_l2(self, at: *const u32);

    /// The contract's tree over 16 lanes: `x[i] + x[i + 8]`, then 4, 2 and 1 apart.
    #[inline(always)]
    fn sum_lanes(self, v: Self::F) -> f32 {
        let mut lanes = self.to_array(v);
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
        }
        lanes[0]
    }
    /// The largest lane: [`Self::max`] along the same tree.
    #[inline(always)]
    fn max_lanes(self, v: Self::F) -> f32 {
        let mut lanes = self.to_array(v);
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                lanes[i] = if lanes[i] > lanes[i + half] { lanes[i] } else { lanes[i + half] };
            }
        }
        lanes[0]
    }

    /// The lanes as an array.
    #[inline(always)]
    fn to_array(self, v: Self::F) -> [f32; LANES] {
        let mut array = [0.0; LANES];
        self.store(v, &mut array);
        array
    }
}

/// Clamps to what operands can be; what is too small becomes zero.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn operand_window<S: Simd>(s: S, v: S::F) -> S::F {
    let clamped = s.min(s.max(v, s.splat(-OPERAND_CEILING)), s.splat(OPERAND_CEILING));
    s.select_less(s.abs(clamped), s.splat(OPERAND_FLOOR), s.splat(0.0), clamped)
}

/// The first 16 words of a row, as f32.
#[inline(always)]
fn row_part(to: &mut [u32]) -> &mut [f32; LANES] {
    bytemuck::cast_mut::<[u32; LANES], _>(to.first_chunk_mut().expect("16 words"))
}

/// Up to 16 values, the missing ones replaced.
#[inline(always)]
pub(crate) fn load_part<S: Simd>(s: S, from: &[f32], missing: f32) -> S::F {
    match from.first_chunk::<LANES>() {
        Some(full) => s.load(full),
        None => {
            let mut lanes = [missing; LANES];
            lanes[..from.len()].copy_from_slice(from);
            s.load(&lanes)
        }
    }
}

/// The first `to.len()` lanes, at most 16.
#[inline(always)]
pub(crate) fn store_part<S: Simd>(s: S, v: S::F, to: &mut [f32]) {
    match to.first_chunk_mut::<LANES>() {
        Some(full) => s.store(v, full),
        None => {
            let len = to.len();
            to.copy_from_slice(&s.to_array(v)[..len]);
        }
    }
}

/// The first `to.len()` lanes as operands, at most 16.
#[inline(always)]
pub(crate) fn store_operands_part<S: Simd>(s: S, v: S::F, to: &mut [u16]) {
    match to.first_chunk_mut::<LANES>() {
        Some(full) => s.store_operands(v, full),
        None => {
            let mut lanes = [0; LANES];
            s.store_operands(v, &mut lanes);
            let len = to.len();
            to.copy_from_slice(&lanes[..len]);
        }
    }
}
