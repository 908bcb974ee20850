//! Atomic operations: lane by lane in lane order, each with the host's atomic instructions.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::access::Intent;
use super::block::BlockSpace;
use super::context::Context;
use super::lanes::{L32, L64, LANES};
use super::math::half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use super::observer::{AccessKind, BlockObserver};
use super::trap::{Fault, TrapKind};
use super::warp::Warp;
use crate::isa::memory::{Address, AtomicKind, AtomicOp, MemorySpace};
use crate::isa::{Float, R, Scalar};

/// The two values of a pair.
fn halves(a: u64, b: u64, f: impl Fn(u32, u32) -> u32) -> u64 {
    let low = f(a as u32 & 0xFFFF, b as u32 & 0xFFFF);
    let high = f(a as u32 >> 16, b as u32 >> 16);
    u64::from(high << 16 | low)
}

fn flush(value: f32) -> f32 {
    if value.is_subnormal() { 0.0_f32.copysign(value) } else { value }
}

fn canonical(value: f32) -> u64 {
    u64::from(if value.is_nan() { 0x7FFF_FFFF } else { value.to_bits() })
}

fn add(ty: Scalar, global: bool, old: u64, b: u64) -> u64 {
    let f16 = |a, b| f32_to_f16(f16_to_f32(a) + f16_to_f32(b));
    let bf16 = |a, b| f32_to_bf16(bf16_to_f32(a) + bf16_to_f32(b));
    match ty.float() {
        Some(Float::F32) => {
            let (x, y) = (f32::from_bits(old as u32), f32::from_bits(b as u32));
            // On device memory f32 additions flush subnormals; on shared memory they do not.
            if global { canonical(flush(flush(x) + flush(y))) } else { canonical(x + y) }
        }
        Some(Float::F64) => {
            let sum = f64::from_bits(old) + f64::from_bits(b);
            if sum.is_nan() { 0x7FF8_0000_0000_0000 } else { sum.to_bits() }
        }
        Some(Float::F16) => u64::from(f16(old as u32 & 0xFFFF, b as u32 & 0xFFFF)),
        Some(Float::BF16) => u64::from(bf16(old as u32 & 0xFFFF, b as u32 & 0xFFFF)),
        Some(Float::F16x2) => halves(old, b, f16),
        Some(Float::BF16x2) => halves(old, b, bf16),
        Some(Float::TF32) | None => old.wrapping_add(b),
    }
}

/// The smaller of two values of the type: as wide integers that keep the order.
fn is_less(ty: Scalar, a: u64, b: u64) -> bool {
    if ty == Scalar::S32 {
        (a as u32 as i32) < (b as u32 as i32)
    } else if ty == Scalar::S64 {
        (a as i64) < (b as i64)
    } else {
        a < b
    }
}

fn half_extreme(ty: Scalar, a: u64, b: u64, smaller: bool) -> u64 {
    let widen = |bits: u32| {
        if matches!(ty, Scalar::F16 | Scalar::F16x2) { f16_to_f32(bits) } else { bf16_to_f32(bits) }
    };
    halves(a, b, |x, y| {
        let (p, q) = (widen(x), widen(y));
        if p.is_nan() || (!q.is_nan() && (q < p) == smaller && q != p) { y } else { x }
    })
}

/// Width of the two counts of an mbarrier's word.
pub(crate) const MBARRIER_COUNT_BITS: u32 = 20;
/// Where the number of completed phases begins in an mbarrier's word.
pub(crate) const MBARRIER_PHASE_BIT: u32 = 2 * MBARRIER_COUNT_BITS;

/// An mbarrier's word after `count` arrivals, of which `dropped` are not expected again.
fn arrived(word: u64, count: u64, dropped: u64) -> u64 {
    const MASK: u64 = (1 << MBARRIER_COUNT_BITS) - 1;
    let expected = (word >> MBARRIER_COUNT_BITS).wrapping_sub(dropped) & MASK;
    let pending = word.wrapping_sub(count) & MASK;
    let phases = word >> MBARRIER_PHASE_BIT;
    let (pending, phases) = if pending == 0 { (expected, phases + 1) } else { (pending, phases) };
    phases << MBARRIER_PHASE_BIT | expected << MBARRIER_COUNT_BITS | pending
}

/// The new value.
fn combine(op: AtomicOp, global: bool, old: u64, b: u64, c: u64) -> u64 {
    match op.kind {
        AtomicKind::And => old & b,
        AtomicKind::Or => old | b,
        AtomicKind::Xor => old ^ b,
        AtomicKind::Exch => b,
        AtomicKind::Arrive => arrived(old, b, 0),
        AtomicKind::ArriveDrop => arrived(old, b, b),
        AtomicKind::Cas => {
            if old == b {
                c
            } else {
                old
            }
        }
        AtomicKind::Add => add(op.ty, global, old, b),
        AtomicKind::Inc => {
            if old >= b {
                0
            } else {
                old + 1
            }
        }
        AtomicKind::Dec => {
            if old == 0 || old > b {
                b
            } else {
                old - 1
            }
        }
        AtomicKind::Min | AtomicKind::Max if op.ty.is_half() => {
            half_extreme(op.ty, old, b, op.kind == AtomicKind::Min)
        }
        AtomicKind::Min => {
            if is_less(op.ty, b, old) {
                b
            } else {
                old
            }
        }
        AtomicKind::Max => {
            if is_less(op.ty, old, b) {
                b
            } else {
                old
            }
        }
    }
}

/// Replaces the value at the address by `change` of it; returns the old value.
///
/// # Safety
/// `address` is valid for `bytes` (2, 4 or 8) and aligned to it.
unsafe fn replace(address: u64, bytes: u32, change: impl Fn(u64) -> u64) -> u64 {
    macro_rules! with {
        ($atomic:ident, $int:ty) => {{
            // SAFETY: promised by the caller.
            let place = unsafe { $atomic::from_ptr(address as *mut $int) };
            let result = place
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |old| Some(change(old.into()) as $int));
            result.unwrap_or_else(|old| old).into()
        }};
    }
    match bytes {
        2 => with!(AtomicU16, u16),
        4 => with!(AtomicU32, u32),
        _ => with!(AtomicU64, u64),
    }
}

impl Warp {
    #[expect(clippy::too_many_arguments, reason = "operands of one instruction")]
    pub(super) fn atomic<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        mask: u32,
        space: MemorySpace,
        op: AtomicOp,
        [d, b, c]: [R; 3],
        address: &Address,
    ) -> Result<(), Box<Fault>> {
        let bytes = op.ty.bytes();
        let mut addresses = L64::ZERO;
        self.addresses(context, address, &mut addresses);
        let intent = Intent { volatile: true, ..Intent::new(AccessKind::Atomic, space, mask, bytes) };
        let mut old = L64::ZERO;
        self.reach(context, block, intent, &addresses, |warp, _, reached| {
            if reached.space == MemorySpace::Local {
                return Err(Fault::at(
                    TrapKind::IllegalAddress,
                    reached.mask.trailing_zeros(),
                    reached.span.min,
                    "atomic on local memory",
                ));
            }
            let global = reached.space != MemorySpace::Shared;
            let value =
                |r: R, lane: usize| if bytes == 8 { warp.r64(r).0[lane] } else { warp.r32(r).0[lane].into() };
            for lane in (0..LANES).filter(|lane| reached.mask >> lane & 1 == 1) {
                let (b, c) = (value(b, lane), value(c, lane));
                // SAFETY: `reach` has checked bounds and alignment.
                old.0[lane] = unsafe {
                    replace(addresses.0[lane].wrapping_add(reached.delta), bytes, |old| {
                        combine(op, global, old, b, c)
                    })
                };
            }
            Ok(())
        })?;
        if bytes == 8 {
            self.write64(context, d, mask, &old);
        } else {
            self.write32(context, d, mask, &L32(old.0.map(|value| value as u32)));
        }
        Ok(())
    }
}
