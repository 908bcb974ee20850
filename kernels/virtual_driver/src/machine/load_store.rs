//! Loads and stores of registers.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::access::{Intent, Pattern, Reached};
use super::block::BlockSpace;
use super::context::Context;
use super::lanes::{L32, L64, LANES};
use super::observer::{AccessKind, BlockObserver};
use super::trap::{Fault, TrapKind};
use super::warp::Warp;
use crate::isa::R;
use crate::isa::memory::{Address, Base, MemorySpace};

/// Elements of an access and the registers they go to or come from.
#[derive(Clone, Copy)]
pub(super) struct Elements {
    pub(super) bytes: u8,
    pub(super) signed: bool,
    pub(super) count: u8,
    pub(super) registers: [R; 4],
}

impl Elements {
    fn total(self) -> u32 {
        u32::from(self.bytes) * u32::from(self.count)
    }
}

// Device memory may be shared with other blocks on other host threads: single elements are moved by relaxed atomic
// operations, which compile to plain ones.

/// # Safety
/// `address` is valid for `bytes` and aligned to it, `bytes` is 1, 2, 4 or 8.
#[inline(always)]
pub(super) unsafe fn load_element(address: u64, bytes: u32) -> u64 {
    // SAFETY: promised by the caller.
    unsafe {
        match bytes {
            1 => AtomicU8::from_ptr(address as *mut u8).load(Ordering::Relaxed).into(),
            2 => AtomicU16::from_ptr(address as *mut u16).load(Ordering::Relaxed).into(),
            4 => AtomicU32::from_ptr(address as *mut u32).load(Ordering::Relaxed).into(),
            _ => AtomicU64::from_ptr(address as *mut u64).load(Ordering::Relaxed),
        }
    }
}

/// # Safety
/// As [`load_element`].
#[inline(always)]
pub(super) unsafe fn store_element(address: u64, bytes: u32, value: u64) {
    // SAFETY: promised by the caller.
    unsafe {
        match bytes {
            1 => AtomicU8::from_ptr(address as *mut u8).store(value as u8, Ordering::Relaxed),
            2 => AtomicU16::from_ptr(address as *mut u16).store(value as u16, Ordering::Relaxed),
            4 => AtomicU32::from_ptr(address as *mut u32).store(value as u32, Ordering::Relaxed),
            _ => AtomicU64::from_ptr(address as *mut u64).store(value, Ordering::Relaxed),
        }
    }
}

/// Words of all 32 lanes; where all addresses are the same, one word.
///
/// # Safety
/// Every address plus `delta` is valid for four bytes and aligned.
#[inline(always)]
unsafe fn gather(to: &mut L32, addresses: &L64, delta: u64, is_uniform: bool) {
    if is_uniform {
        // SAFETY: promised by the caller.
        to.0 = [unsafe { load_element(addresses.0[0].wrapping_add(delta), 4) } as u32; LANES];
        return;
    }
    for (to, address) in to.0.iter_mut().zip(&addresses.0) {
        // SAFETY: promised by the caller.
        *to = unsafe { load_element(address.wrapping_add(delta), 4) } as u32;
    }
}

/// The bytes at an address, in the low bytes.
///
/// # Safety
/// `address` is valid for `bytes` and aligned to it, `bytes` is 1, 2, 4, 8 or 16.
pub(super) unsafe fn held(address: u64, bytes: u32) -> u128 {
    // SAFETY: promised by the caller; the halves of an aligned 16 bytes are aligned.
    unsafe {
        if bytes == 16 {
            u128::from(load_element(address, 8)) | u128::from(load_element(address + 8, 8)) << 64
        } else {
            load_element(address, bytes).into()
        }
    }
}

fn sign_extend(value: u64, bytes: u8) -> u64 {
    let shift = 64 - 8 * u32::from(bytes);
    (((value << shift) as i64) >> shift) as u64
}

impl Warp {
    #[expect(clippy::too_many_arguments, reason = "an access is all of these")]
    #[inline(always)]
    pub(super) fn load<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        mask: u32,
        space: MemorySpace,
        volatile: bool,
        elements: Elements,
        address: &Address,
    ) -> Result<(), Box<Fault>> {
        let mut addresses = L64::ZERO;
        self.addresses(context, address, &mut addresses);
        let intent = Intent { volatile, ..Intent::new(AccessKind::Load, space, mask, elements.total()) };
        self.reach(context, block, intent, &addresses, |warp, _, reached| {
            if reached.space == MemorySpace::Local {
                warp.load_local(reached, &addresses, elements, address.base == Base::Frame);
            } else {
                // SAFETY: `reach` has checked that every lane's bytes lie in live memory and are aligned.
                unsafe { warp.load_host(reached, &addresses, elements) };
            }
            Ok(())
        })
    }

    /// # Safety
    /// The addresses have been checked.
    #[inline(always)]
    unsafe fn load_host(&mut self, reached: Reached, addresses: &L64, elements: Elements) {
        let Elements { bytes, signed, count, registers } = elements;
        if bytes == 4 && count == 1 && registers[0].is_some() && reached.span.pattern == Pattern::Row {
            let from = reached.span.min.wrapping_add(reached.delta) as *const u32;
            let to = self.r32_mut(registers[0]).0.as_mut_ptr();
            // SAFETY: 128 bytes from the first lane's address are the 32 lanes' elements, all of them checked.
            unsafe { std::ptr::copy_nonoverlapping(from, to, LANES) };
            return;
        }
        let (parts, part_bytes) = if bytes == 16 { (2, 8) } else { (count, bytes) };
        for part in 0..parts {
            let r = if bytes == 16 {
                R(registers[0].0 + 2 * u32::from(part))
            } else {
                registers[usize::from(part)]
            };
            if !registers[0].is_some() && bytes == 16 || !r.is_some() {
                continue;
            }
            let delta = reached.delta.wrapping_add(u64::from(part) * u64::from(part_bytes));
            let size = u32::from(part_bytes);
            if part_bytes == 8 {
                let to = self.r64_mut(r);
                for lane in (0..LANES).filter(|lane| reached.mask >> lane & 1 == 1) {
                    // SAFETY: checked; an aligned access has aligned parts.
                    to.0[lane] = unsafe { load_element(addresses.0[lane].wrapping_add(delta), 8) };
                }
            } else if part_bytes == 4 && reached.mask == u32::MAX {
                // SAFETY: all lanes are checked.
                unsafe { gather(self.r32_mut(r), addresses, delta, reached.span.pattern == Pattern::Same) };
            } else if part_bytes == 4 {
                let to = self.r32_mut(r);
                for lane in (0..LANES).filter(|lane| reached.mask >> lane & 1 == 1) {
                    // SAFETY: checked; an aligned access has aligned parts.
                    to.0[lane] = unsafe { load_element(addresses.0[lane].wrapping_add(delta), 4) } as u32;
                }
            } else {
                let to = self.r32_mut(r);
                for lane in (0..LANES).filter(|lane| reached.mask >> lane & 1 == 1) {
                    // SAFETY: checked; an aligned access has aligned parts.
                    let value = unsafe { load_element(addresses.0[lane].wrapping_add(delta), size) };
                    to.0[lane] = if signed { sign_extend(value, part_bytes) as u32 } else { value as u32 };
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "an access is all of these")]
    #[inline(always)]
    pub(super) fn store<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        mask: u32,
        space: MemorySpace,
        volatile: bool,
        elements: Elements,
        address: &Address,
    ) -> Result<(), Box<Fault>> {
        let mut addresses = L64::ZERO;
        self.addresses(context, address, &mut addresses);
        let intent = Intent {
            volatile,
            stored: Some(elements),
            ..Intent::new(AccessKind::Store, space, mask, elements.total())
        };
        self.reach(context, block, intent, &addresses, |warp, _, reached| {
            if reached.space == MemorySpace::Local {
                warp.store_local(reached, &addresses, elements, address.base == Base::Frame);
            } else {
                // SAFETY: `reach` has checked that every lane's bytes lie in live memory and are aligned.
                unsafe { warp.store_host(reached, &addresses, elements) };
            }
            Ok(())
        })
    }

    /// # Safety
    /// The addresses have been checked.
    #[inline(always)]
    unsafe fn store_host(&self, reached: Reached, addresses: &L64, elements: Elements) {
        let Elements { bytes, count, registers, .. } = elements;
        if bytes == 4 && count == 1 && reached.span.pattern == Pattern::Row {
            let to = reached.span.min.wrapping_add(reached.delta) as *mut u32;
            // SAFETY: 128 bytes from the first lane's address are the 32 lanes' elements, all of them checked.
            unsafe { std::ptr::copy_nonoverlapping(self.r32(registers[0]).0.as_ptr(), to, LANES) };
            return;
        }
        let (parts, part_bytes) = if bytes == 16 { (2, 8) } else { (count, bytes) };
        for part in 0..parts {
            let r = if bytes == 16 {
                R(registers[0].0 + 2 * u32::from(part))
            } else {
                registers[usize::from(part)]
            };
            let delta = reached.delta.wrapping_add(u64::from(part) * u64::from(part_bytes));
            for lane in (0..LANES).filter(|lane| reached.mask >> lane & 1 == 1) {
                let value = if part_bytes == 8 { self.r64(r).0[lane] } else { self.r32(r).0[lane].into() };
                // SAFETY: checked; an aligned access has aligned parts.
                unsafe { store_element(addresses.0[lane].wrapping_add(delta), part_bytes.into(), value) };
            }
        }
    }

    /// What a store of the elements writes in a lane, in the low bytes.
    pub(super) fn stored(&self, elements: Elements, lane: usize) -> u128 {
        let Elements { bytes, count, registers, .. } = elements;
        let words = if bytes < 4 { 1 } else { usize::from(bytes / 4) };
        let mut value = 0_u128;
        for part in (0..usize::from(count)).rev() {
            for word in (0..words).rev() {
                let bits = self.word(registers[part], bytes, word, lane);
                let width = 8 * u32::from(bytes.min(4));
                value = value << width | u128::from(bits & (u32::MAX >> (32 - width)));
            }
        }
        value
    }

    /// Local memory is kept word by word, the 32 lanes of a word together.
    fn load_local(&mut self, reached: Reached, addresses: &L64, elements: Elements, uniform: bool) {
        let Elements { bytes, signed, count, registers } = elements;
        let words = if bytes < 4 { 1 } else { bytes / 4 };
        for part in 0..count {
            let r = registers[usize::from(part)];
            if !r.is_some() {
                continue;
            }
            let delta = reached.delta.wrapping_add(u64::from(part) * u64::from(bytes));
            if uniform && reached.mask == u32::MAX && bytes == 4 {
                let word = addresses.0[0].wrapping_add(delta) as usize / 4;
                *self.r32_mut(r) = self.local[word];
                continue;
            }
            for lane in (0..LANES).filter(|lane| reached.mask >> lane & 1 == 1) {
                let at = addresses.0[lane].wrapping_add(delta);
                for word in 0..usize::from(words) {
                    let mut value = self.local[at as usize / 4 + word].0[lane];
                    if bytes < 4 {
                        let raw = u64::from(value >> (at % 4 * 8)) & ((1 << (8 * bytes)) - 1);
                        value = if signed { sign_extend(raw, bytes) as u32 } else { raw as u32 };
                    }
                    self.put_word(r, bytes, word, lane, value);
                }
            }
        }
    }

    fn store_local(&mut self, reached: Reached, addresses: &L64, elements: Elements, uniform: bool) {
        let Elements { bytes, count, registers, .. } = elements;
        let words = if bytes < 4 { 1 } else { bytes / 4 };
        for part in 0..count {
            let r = registers[usize::from(part)];
            let delta = reached.delta.wrapping_add(u64::from(part) * u64::from(bytes));
            if uniform && reached.mask == u32::MAX && bytes == 4 {
                let word = addresses.0[0].wrapping_add(delta) as usize / 4;
                self.local[word] = *self.r32(r);
                continue;
            }
            for lane in (0..LANES).filter(|lane| reached.mask >> lane & 1 == 1) {
                let at = addresses.0[lane].wrapping_add(delta);
                for word in 0..usize::from(words) {
                    let value = self.word(r, bytes, word, lane);
                    let place = &mut self.local[at as usize / 4 + word].0[lane];
                    if bytes < 4 {
                        let (shift, mask) = (at % 4 * 8, (1_u32 << (8 * bytes)) - 1);
                        *place = (*place & !(mask << shift)) | (value & mask) << shift;
                    } else {
                        *place = value;
                    }
                }
            }
        }
    }

    /// Word `word` of a register that holds elements of `bytes`.
    fn word(&self, r: R, bytes: u8, word: usize, lane: usize) -> u32 {
        if bytes <= 4 {
            return self.r32(r).0[lane];
        }
        let half = self.r64(R(r.0 + 2 * (word as u32 / 2))).0[lane];
        (half >> (32 * (word % 2))) as u32
    }

    fn put_word(&mut self, r: R, bytes: u8, word: usize, lane: usize, value: u32) {
        if bytes <= 4 {
            self.r32_mut(r).0[lane] = value;
            return;
        }
        let half = &mut self.r64_mut(R(r.0 + 2 * (word as u32 / 2))).0[lane];
        let shift = 32 * (word % 2);
        *half = (*half & !(0xFFFF_FFFF << shift)) | u64::from(value) << shift;
    }

    /// A kernel parameter, the same for all lanes.
    pub(super) fn load_param(
        &mut self,
        context: &Context<'_>,
        mask: u32,
        elements: Elements,
        offset: u32,
    ) -> Result<(), Box<Fault>> {
        let Elements { bytes, signed, count, registers } = elements;
        let start = offset as usize;
        let Some(params) = context.spec.params.get(start..start + elements.total() as usize) else {
            let what = format!(
                "parameter load of {} bytes at offset {offset} is outside: there are {} bytes",
                elements.total(),
                context.spec.params.len()
            );
            return Err(Fault::new(TrapKind::IllegalAddress, mask.trailing_zeros(), what));
        };
        for part in 0..usize::from(count) {
            let r = registers[part];
            let mut raw = [0; 16];
            raw[..usize::from(bytes)]
                .copy_from_slice(&params[part * usize::from(bytes)..(part + 1) * usize::from(bytes)]);
            let value = u128::from_le_bytes(raw);
            match bytes {
                16 if r.is_some() => {
                    self.write64(context, r, mask, &L64([value as u64; LANES]));
                    self.write64(context, R(r.0 + 2), mask, &L64([(value >> 64) as u64; LANES]));
                }
                16 => {}
                8 => self.write64(context, r, mask, &L64([value as u64; LANES])),
                _ => {
                    let value = if signed { sign_extend(value as u64, bytes) as u32 } else { value as u32 };
                    self.write32(context, r, mask, &L32([value; LANES]));
                }
            }
        }
        Ok(())
    }
}
