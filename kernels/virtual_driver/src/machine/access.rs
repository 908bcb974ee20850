//! Addresses: from registers to checked places. Nothing is touched that was not checked here.

use super::block::BlockSpace;
use super::context::Context;
use super::lanes::{L32, L64, LANES, for_each_isa};
use super::load_store::{Elements, held};
use super::observer::{Access, AccessKind, BlockObserver, Change};
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
    /// The registers that a store writes; only observers look.
    pub(super) stored: Option<Elements>,
}

impl Intent {
    /// An access of `bytes` by lane, aligned to them, of which nothing more is known.
    pub(super) fn new(kind: AccessKind, space: MemorySpace, mask: u32, bytes: u32) -> Self {
        Self { kind, space, mask, bytes, alignment: bytes, volatile: false, stored: None }
    }
}

/// Lanes whose addresses lie in one space and have been checked.
#[derive(Clone, Copy)]
pub(super) struct Reached {
    pub(super) space: MemorySpace,
    pub(super) mask: u32,
    /// Added to a lane's address it gives the host address; for local memory the offset in it.
    pub(super) delta: u64,
    pub(super) span: Span,
}

/// How the addresses of the lanes lie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// All 32 lanes run, each one access behind the lane before.
    Row,
    /// All 32 lanes run and name the same address.
    Same,
    /// Anything else.
    Mixed,
}

/// What is known of the addresses together.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) min: u64,
    pub(super) max: u64,
    /// All addresses' bits.
    or: u64,
    pub(super) pattern: Pattern,
}

for_each_isa! {
    /// Looks at the addresses in the mask, which is not empty; `bytes` is a power of two.
    ///
    /// Eight running values a quantity: one vector register each, put together only at the end.
    fn span(addresses: &L64, mask: u32, bytes: u32) -> Span {
        let first = addresses.0[mask.trailing_zeros() as usize & 31];
        let shift = bytes.trailing_zeros();
        let (mut no_row, mut not_same) = ([0_u64; 8], [0_u64; 8]);
        for chunk in 0..4 {
            for i in 0..8 {
                let lane = 8 * chunk + i;
                no_row[i] |= addresses.0[lane] ^ first.wrapping_add((lane as u64) << shift);
                not_same[i] |= addresses.0[lane] ^ first;
            }
        }
        let any = |bits: [u64; 8]| bits.iter().fold(0, |all, bits| all | bits);
        if mask == u32::MAX && any(no_row) == 0 && addresses.0[LANES - 1] >= first {
            let or = first | u64::from(bytes);
            return Span { min: first, max: addresses.0[LANES - 1], or, pattern: Pattern::Row };
        }
        if mask == u32::MAX && any(not_same) == 0 {
            return Span { min: first, max: first, or: first, pattern: Pattern::Same };
        }
        let (mut min, mut max, mut or) = ([first; 8], [first; 8], [0_u64; 8]);
        for chunk in 0..4 {
            for i in 0..8 {
                let lane = 8 * chunk + i;
                let runs = 0_u64.wrapping_sub(u64::from(mask >> lane & 1));
                let address = (addresses.0[lane] & runs) | (first & !runs);
                min[i] = min[i].min(address);
                max[i] = max[i].max(address);
                or[i] |= address;
            }
        }
        let min = min.iter().fold(first, |least, address| least.min(*address));
        let max = max.iter().fold(first, |most, address| most.max(*address));
        Span { min, max, or: any(or), pattern: Pattern::Mixed }
    }
}

for_each_isa! {
    fn add_offset(d: &mut L64, a: &L64, offset: u64) {
        for i in 0..LANES {
            d.0[i] = a.0[i].wrapping_add(offset);
        }
    }
}

for_each_isa! {
    fn widen_offset(d: &mut L64, a: &L32, offset: u64) {
        for i in 0..LANES {
            d.0[i] = u64::from(a.0[i]).wrapping_add(offset);
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
        AccessKind::CopyTarget | AccessKind::CopyArrival => "cp.async write",
    }
}

impl Warp {
    /// The addresses of an operand, all lanes.
    #[inline(always)]
    pub(super) fn addresses(&self, context: &Context<'_>, address: &Address, out: &mut L64) {
        match address.base {
            Base::R64(r) => add_offset(context.isa, out, self.r64(r), address.offset as u64),
            Base::R32(r) => widen_offset(context.isa, out, self.r32(r), address.offset as u64),
            Base::Frame => *out = L64([u64::from(self.f.local).wrapping_add_signed(address.offset); LANES]),
        }
    }

    /// Checks the addresses and calls `go` for the lanes of each space they lie in.
    #[inline(always)]
    pub(super) fn reach<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        space: &mut BlockSpace<B>,
        intent: Intent,
        addresses: &L64,
        mut go: impl FnMut(&mut Self, &mut BlockSpace<B>, Reached) -> Result<(), Box<Fault>>,
    ) -> Result<(), Box<Fault>> {
        if intent.mask == 0 {
            return Ok(());
        }
        let mut intent = intent;
        let mut span = span(context.isa, addresses, intent.mask, intent.bytes);
        let mut left = 0;
        if intent.space == MemorySpace::Generic {
            let all = intent.mask;
            intent.space = space_of(span.min);
            if space_of(span.max) != intent.space {
                (intent, span) = first_space(context, intent, addresses, all);
                left = all & !intent.mask;
            }
        }
        loop {
            let reached = self.check(context, space, intent, addresses, span)?;
            if B::ON {
                self.tell(context, space, intent, addresses, reached);
            }
            go(self, space, reached)?;
            if left == 0 {
                return Ok(());
            }
            (intent, span) = first_space(context, intent, addresses, left);
            left &= !intent.mask;
        }
    }

    #[inline(always)]
    fn check<B>(
        &mut self,
        context: &Context<'_>,
        space: &BlockSpace<B>,
        intent: Intent,
        addresses: &L64,
        span: Span,
    ) -> Result<Reached, Box<Fault>> {
        let Span { min, max, or, .. } = span;
        if or & u64::from(intent.alignment - 1) != 0 {
            return Err(misaligned(intent, addresses));
        }
        let last = max.wrapping_add(u64::from(intent.bytes));
        let reached = |delta| Ok(Reached { space: intent.space, mask: intent.mask, delta, span });
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
        if let Some((start, end)) = context.memory.reach_of(min)
            && min >= start
            && last <= end
            && last > min
        {
            self.hit = (start, end);
            return Ok(());
        }
        for lane in (0..32).filter(|lane| intent.mask >> lane & 1 == 1) {
            let address = addresses.0[lane as usize];
            if !context.memory.reaches(address, u64::from(intent.bytes)) {
                return Err(not_allocated(context, intent, lane, address));
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn tell<B: BlockObserver>(
        &self,
        context: &Context<'_>,
        space: &mut BlockSpace<B>,
        intent: Intent,
        addresses: &L64,
        at: Reached,
    ) {
        let offsets = match intent.space {
            MemorySpace::Shared | MemorySpace::Local | MemorySpace::Param => {
                addresses.0.map(|address| address & 0xFFFF_FFFF)
            }
            MemorySpace::Global | MemorySpace::Const | MemorySpace::Generic => addresses.0,
        };
        let reached = if intent.space == MemorySpace::Const { MemorySpace::Global } else { intent.space };
        let change = |lane: u32| {
            let address = addresses.0[lane as usize].wrapping_add(at.delta);
            // SAFETY: `check` has found the lane's bytes inside live or shared memory and aligned.
            let old = unsafe { held(address, intent.bytes) };
            (old, intent.stored.map_or(0, |elements| self.stored(elements, lane as usize)))
        };
        let is_known =
            intent.stored.is_some() && matches!(reached, MemorySpace::Global | MemorySpace::Shared);
        let access = Access {
            change: is_known.then_some(Change(&change)),
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

/// The lanes of `left` that lie in the same space as the first of them.
#[cold]
fn first_space(context: &Context<'_>, intent: Intent, addresses: &L64, left: u32) -> (Intent, Span) {
    let space = space_of(addresses.0[left.trailing_zeros() as usize & 31]);
    let alike = addresses.0.iter().enumerate().filter(|(_, address)| space_of(**address) == space);
    let mask = alike.fold(0, |mask, (lane, _)| mask | 1 << lane) & left;
    (Intent { space, mask, ..intent }, span(context.isa, addresses, mask, intent.bytes))
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
