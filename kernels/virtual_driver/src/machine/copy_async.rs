//! `cp.async` and its groups.

use super::SHARED_WINDOW;
use super::access::Intent;
use super::block::BlockSpace;
use super::context::Context;
use super::copies::Buffer;
use super::lanes::{L64, LANES};
use super::observer::{Access, AccessKind, BlockObserver, Synchronisation};
use super::trap::{Fault, TrapKind};
use super::warp::Warp;
use crate::isa::R;
use crate::isa::memory::{Address, MemorySpace};

/// Copies 4, 8 or 16 bytes, each by its own instruction.
///
/// # Safety
/// Both ranges are valid and do not overlap.
#[inline(always)]
unsafe fn copy_fixed(from: *const u8, to: *mut u8, bytes: usize) {
    // SAFETY: promised by the caller.
    unsafe {
        match bytes {
            16 => std::ptr::copy_nonoverlapping(from, to, 16),
            8 => std::ptr::copy_nonoverlapping(from, to, 8),
            _ => std::ptr::copy_nonoverlapping(from, to, bytes),
        }
    }
}

impl Warp {
    #[expect(clippy::too_many_arguments, reason = "operands of one instruction")]
    pub(super) fn copy_async<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        mask: u32,
        bytes: u32,
        source_bytes: R,
        to: &Address,
        from: &Address,
    ) -> Result<(), Box<Fault>> {
        let (mut targets, mut sources) = (L64::ZERO, L64::ZERO);
        self.addresses(context, to, &mut targets);
        self.addresses(context, from, &mut sources);
        self.reach(
            context,
            block,
            Intent::new(AccessKind::CopyTarget, MemorySpace::Shared, mask, bytes),
            &targets,
            |_, _, _| Ok(()),
        )?;
        let lengths: [u32; LANES] =
            if source_bytes.is_some() { self.r32(source_bytes).0 } else { [bytes; LANES] };
        let mut data = self.copies.buffer();
        if let Err(fault) = self.copy_sources(context, block, mask, bytes, &lengths, &sources, &mut data) {
            self.copies.give_back(data);
            return Err(fault);
        }
        let offsets = targets.0.map(|address| (address & !SHARED_WINDOW) as u32);
        self.copies.issue(mask, bytes, offsets, data);
        Ok(())
    }

    /// Reads what is copied. Lanes that read less than all of it are checked for what they read only.
    #[expect(clippy::too_many_arguments, reason = "operands of one instruction")]
    fn copy_sources<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        mask: u32,
        bytes: u32,
        lengths: &[u32; LANES],
        sources: &L64,
        data: &mut Buffer,
    ) -> Result<(), Box<Fault>> {
        let whole =
            (0..LANES).filter(|&lane| lengths[lane] == bytes).fold(0, |lanes, lane| lanes | 1 << lane) & mask;
        let all = Intent::new(AccessKind::CopySource, MemorySpace::Global, whole, bytes);
        self.reach(context, block, all, sources, |_, _, reached| {
            for lane in (0..LANES).filter(|lane| reached.mask >> lane & 1 == 1) {
                let from = sources.0[lane].wrapping_add(reached.delta) as *const u8;
                // SAFETY: `reach` has checked the lane's `bytes`; the buffer has 16.
                unsafe { copy_fixed(from, data[lane].as_mut_ptr(), bytes as usize) };
            }
            Ok(())
        })?;
        for lane in (0..LANES).filter(|&lane| (mask & !whole) >> lane & 1 == 1) {
            data[lane] = [0; 16];
            let length = lengths[lane];
            if length > bytes {
                let what = format!("cp.async of {bytes} bytes reads {length}");
                return Err(Fault::new(TrapKind::IllegalInstruction, lane as u32, what));
            }
            if length == 0 {
                continue;
            }
            let mut partial = Intent::new(AccessKind::CopySource, MemorySpace::Global, 1 << lane, length);
            partial.alignment = 1;
            self.reach(context, block, partial, sources, |_, _, reached| {
                let from = sources.0[lane].wrapping_add(reached.delta) as *const u8;
                // SAFETY: `reach` has checked the lane's `length` bytes, at most 16.
                unsafe { std::ptr::copy_nonoverlapping(from, data[lane].as_mut_ptr(), length as usize) };
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Tells the observer which bytes a wait has brought, run by run of one copy.
    fn tell_arrivals<B: BlockObserver>(
        &self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        arrived: &[(usize, u32, usize)],
    ) {
        let site = self.site(context);
        let Some(observer) = &mut block.observer else { return };
        let one_copy = |a: &(usize, u32, usize), b: &(usize, u32, usize)| a.0 < b.0 && a.2 == b.2;
        for copy in arrived.chunk_by(one_copy) {
            let (mut addresses, mut mask) = ([0; LANES], 0);
            for &(lane, offset, _) in copy {
                addresses[lane] = u64::from(offset);
                mask |= 1 << lane;
            }
            let access = Access {
                kind: AccessKind::CopyArrival,
                space: MemorySpace::Shared,
                mask,
                addresses: &addresses,
                bytes: copy[0].2 as u32,
                volatile: false,
                change: None,
            };
            observer.access(&site, &access);
        }
    }

    pub(super) fn close_copies<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        lanes: u32,
    ) {
        self.note(context, block, Synchronisation::CopyCommit);
        self.copies.commit(lanes);
    }

    pub(super) fn await_copies<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        pending: u32,
        all: bool,
        lanes: u32,
    ) {
        self.note(context, block, Synchronisation::CopyWait { pending, all });
        let base = block.shared_address();
        let mut arrived: Vec<(usize, u32, usize)> = Vec::new();
        self.copies.wait(lanes, pending, all, |lane, offset, data| {
            if B::ON {
                arrived.push((lane, offset, data.len()));
            }
            let to = (base + u64::from(offset)) as *mut u8;
            // SAFETY: the offset and size were checked against the block's shared memory when the copy was issued.
            unsafe { copy_fixed(data.as_ptr(), to, data.len()) };
        });
        if B::ON {
            self.tell_arrivals(context, block, &arrived);
        }
    }
}
