//! Addresses: from registers to checked places. Nothing is touched that was not checked here.

use super::block::BlockSpace;
use super::context::Context;
use super::lanes::{L64, LANES, for_each_isa};
use super::observer::{Access, AccessKind, BlockObserver};
use super::trap::{Fault, TrapKind};
use super::warp::Warp;
use super::{LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW};
use crate::isa::memory::{Address, Base, MemorySpace};

/// What is about to be done.
#[derive(Clone, Copy)]
pub(super) struct Intent {
    pub(super) kind: AccessKind,
    pub(super) space: MemorySpace,
    pub(super) mask: u32,
    /// Bytes by lane, a power of two up to 16.
    pub(super) bytes: u32,
    /// What addresses must be multiples of.
    pub(super) alignment: u32,
    pub(super) volatile: bool,
}

/// Lanes whose addresses lie in one space and have been checked.
#[derive(Clone, Copy)]
pub(super) struct Reached {
    pub(super) space: MemorySpace,
    pub(super) mask: u32,
    /// Added to a lane's address it gives the host address; for local memory the offset in it.
    pub(super) delta: u64,
    /// Smallest and largest address.
    pub(super) min: u64,
    pub(super) max: u64,
}

for_each_isa! {
    /// Smallest, largest and union of the addresses in the mask, which is not empty.
    fn span(addresses: &L64, mask: u32) -> (u64, u64, u64) {
        let first = addresses.0[mask.trailing_zeros() as usize & 31];
        let (mut min, mut max, mut or) = (first, first, first);
        for i in 0..LANES {
            let address = if mask >> i & 1 == 1 { addresses.0[i] } else { first };
            min = min.min(address);
            max = max.max(address);
            or |= address;
        }
        (min, max, or)
    }
}

for_each_isa! {
    fn add_offset(d: &mut L64, a: &L64, offset: u64) {
        for i in 0..LANES {
            d.0[i] = a.0[i].wrapping_add(offset);
        }
    }
}

fn window(address: u64) -> u64 {
    const MASK: u64 = 0xFFFF << 48;
    address & MASK
}

fn space_of(address: u64) -> MemorySpace {
    match window(address) {
        SHARED_WINDOW => MemorySpace::Shared,
        LOCAL_WINDOW => MemorySpace::Local,
        PARAM_WINDOW => MemorySpace::Param,
        _ => MemorySpace::Global,
    }
}

fn name(space: MemorySpace) -> &'static str {
    match space {
        MemorySpace::Generic => "generic",
        MemorySpace::Global => "global",
        MemorySpace::Const => "constant",
        MemorySpace::Shared => "shared",
        MemorySpace::Local => "local",
        MemorySpace::Param => "parameter",
    }
}

fn verb(kind: AccessKind) -> &'static str {
    match kind {
        AccessKind::Load => "load",
        AccessKind::Store => "store",
        AccessKind::Atomic => "atomic",
        AccessKind::CopySource => "cp.async read",
        AccessKind::CopyTarget => "cp.async write",
    }
}

impl Warp {
    /// The addresses of an operand, all lanes.
    pub(super) fn addresses(&self, context: &Context<'_>, address: &Address) -> L64 {
        let mut result = L64::ZERO;
        match address.base {
            Base::R64(r) if address.offset == 0 => result = *self.r64(r),
            Base::R64(r) => add_offset(context.isa, &mut result, self.r64(r), address.offset as u64),
            Base::R32(r) => {
                for (to, from) in result.0.iter_mut().zip(self.r32(r).0) {
                    *to = u64::from(from).wrapping_add_signed(address.offset);
                }
            }
            Base::Frame => result = L64([u64::from(self.f.local).wrapping_add_signed(address.offset); LANES]),
        }
        result
    }

    /// Checks the addresses and calls `go` for the lanes of each space they lie in.
    pub(super) fn reach<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        space: &mut BlockSpace<B>,
        intent: Intent,
        addresses: &L64,
        mut go: impl FnMut(&mut Self, &mut BlockSpace<B>, Reached) -> Result<(), Box<Fault>>,
    ) -> Result<(), Box<Fault>> {
        let mut left = intent.mask;
        while left != 0 {
            let mut group = left;
            let mut target = intent.space;
            if target == MemorySpace::Generic {
                let first = addresses.0[left.trailing_zeros() as usize];
                target = space_of(first);
                let alike =
                    addresses.0.iter().enumerate().filter(|(_, address)| space_of(**address) == target);
                group &= alike.fold(0, |mask, (lane, _)| mask | 1 << lane);
            }
            left &= !group;
            let intent = Intent { space: target, mask: group, ..intent };
            let reached = self.check(context, space, intent, addresses)?;
            if B::ON {
                self.tell(context, space, intent, addresses);
            }
            go(self, space, reached)?;
        }
        Ok(())
    }

    fn check<B>(
        &mut self,
        context: &Context<'_>,
        space: &BlockSpace<B>,
        intent: Intent,
        addresses: &L64,
    ) -> Result<Reached, Box<Fault>> {
        let (min, max, or) = span(context.isa, addresses, intent.mask);
        if or & u64::from(intent.alignment - 1) != 0 {
            return Err(misaligned(intent, addresses));
        }
        let last = max.wrapping_add(u64::from(intent.bytes));
        let reached = |delta| Ok(Reached { space: intent.space, mask: intent.mask, delta, min, max });
        let (limit, own_window, base) = match intent.space {
            MemorySpace::Global | MemorySpace::Const | MemorySpace::Generic => {
                if min < self.hit.0 || last > self.hit.1 || last < max {
                    self.check_global(context, intent, addresses, (min, last))?;
                }
                return reached(0);
            }
            MemorySpace::Shared => (context.shared_bytes, SHARED_WINDOW, space.shared_address()),
            MemorySpace::Param => {
                (context.spec.params.len() as u32, PARAM_WINDOW, context.spec.params.as_ptr() as u64)
            }
            MemorySpace::Local => {
                let frame = context.program.functions[self.f.function as usize].frame_bytes;
                (self.f.local + frame, LOCAL_WINDOW, 0)
            }
        };
        let start = if window(min) == own_window { own_window } else { 0 };
        if min < start || last < max || last - start > u64::from(limit) {
            return Err(outside(intent, addresses, start, limit));
        }
        if intent.space == MemorySpace::Param && intent.kind != AccessKind::Load {
            return Err(Fault::at(
                TrapKind::IllegalAddress,
                intent.mask.trailing_zeros(),
                min,
                "kernel parameters cannot be written",
            ));
        }
        reached(base.wrapping_sub(start))
    }

    /// Device memory: all lanes in one live range, or each lane in some.
    #[cold]
    fn check_global(
        &mut self,
        context: &Context<'_>,
        intent: Intent,
        addresses: &L64,
        (min, last): (u64, u64),
    ) -> Result<(), Box<Fault>> {
        if let Some((start, end)) = context.memory.range_of(min)
            && min >= start
            && last <= end
            && last > min
        {
            self.hit = (start, end);
            return Ok(());
        }
        for lane in (0..32).filter(|lane| intent.mask >> lane & 1 == 1) {
            let address = addresses.0[lane as usize];
            if !context.memory.contains(address, u64::from(intent.bytes)) {
                return Err(not_allocated(context, intent, lane, address));
            }
        }
        Ok(())
    }

    #[cold]
    fn tell<B: BlockObserver>(
        &self,
        context: &Context<'_>,
        space: &mut BlockSpace<B>,
        intent: Intent,
        addresses: &L64,
    ) {
        let offsets = match intent.space {
            MemorySpace::Shared | MemorySpace::Local | MemorySpace::Param => {
                addresses.0.map(|address| address & 0xFFFF_FFFF)
            }
            MemorySpace::Global | MemorySpace::Const | MemorySpace::Generic => addresses.0,
        };
        let reached = if intent.space == MemorySpace::Const { MemorySpace::Global } else { intent.space };
        let access = Access {
            kind: intent.kind,
            space: reached,
            mask: intent.mask,
            addresses: &offsets,
            bytes: intent.bytes,
            volatile: intent.volatile,
        };
        let site = self.site(context);
        if let Some(observer) = &mut space.observer {
            observer.access(&site, &access);
        }
    }
}

#[cold]
fn misaligned(intent: Intent, addresses: &L64) -> Box<Fault> {
    let bad = |lane: &u32| {
        intent.mask >> lane & 1 == 1
            && !addresses.0[*lane as usize].is_multiple_of(u64::from(intent.alignment))
    };
    let lane = (0..32).find(bad).unwrap_or(0);
    let what = format!(
        "misaligned {} {}: {} bytes need an address that is a multiple of {}",
        name(intent.space),
        verb(intent.kind),
        intent.bytes,
        intent.alignment
    );
    Fault::at(TrapKind::Misaligned, lane, addresses.0[lane as usize], what)
}

#[cold]
fn outside(intent: Intent, addresses: &L64, start: u64, limit: u32) -> Box<Fault> {
    let bad = |lane: &u32| {
        let offset = addresses.0[*lane as usize].wrapping_sub(start);
        intent.mask >> lane & 1 == 1
            && offset.checked_add(u64::from(intent.bytes)).is_none_or(|end| end > u64::from(limit))
    };
    let lane = (0..32).find(bad).unwrap_or(0);
    let address = addresses.0[lane as usize];
    let what = format!(
        "{} {} of {} bytes at offset {} is outside: there are {limit} bytes",
        name(intent.space),
        verb(intent.kind),
        intent.bytes,
        address.wrapping_sub(start)
    );
    Fault::at(TrapKind::IllegalAddress, lane, address, what)
}

#[cold]
fn not_allocated(context: &Context<'_>, intent: Intent, lane: u32, address: u64) -> Box<Fault> {
    let mut what =
        format!("{} {} of {} bytes outside live memory", name(intent.space), verb(intent.kind), intent.bytes);
    if let Some((start, end)) = context.memory.nearest_below(address) {
        let past = address.wrapping_sub(end);
        if address < end {
            what += &format!(": it crosses the end of the {} bytes at 0x{start:x}", end - start);
        } else if past < 1 << 20 {
            what += &format!(": {past} bytes past the end of the {} bytes at 0x{start:x}", end - start);
        }
    }
    Fault::at(TrapKind::IllegalAddress, lane, address, what)
}
