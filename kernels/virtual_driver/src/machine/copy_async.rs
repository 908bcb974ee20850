//! `cp.async` and its groups.

use super::SHARED_WINDOW;
use super::access::Intent;
use super::block::BlockSpace;
use super::context::Context;
use super::lanes::LANES;
use super::observer::{AccessKind, BlockObserver, Synchronisation};
use super::trap::{Fault, TrapKind};
use super::warp::Warp;
use crate::isa::memory::{Address, MemorySpace};
use crate::isa::{Op, R};

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
        let (targets, sources) = (self.addresses(context, to), self.addresses(context, from));
        let intent =
            |kind, space, mask, bytes| Intent { kind, space, mask, bytes, alignment: bytes, volatile: false };
        self.reach(
            context,
            block,
            intent(AccessKind::CopyTarget, MemorySpace::Shared, mask, bytes),
            &targets,
            |_, _, _| Ok(()),
        )?;
        let mut data = self.copies.buffer();
        let lengths: [u32; LANES] =
            if source_bytes.is_some() { self.r32(source_bytes).0 } else { [bytes; LANES] };
        if let Some(lane) = (0..LANES).find(|&lane| mask >> lane & 1 == 1 && lengths[lane] > bytes) {
            return Err(Fault::new(
                TrapKind::IllegalInstruction,
                lane as u32,
                format!("cp.async of {bytes} bytes reads {}", lengths[lane]),
            ));
        }
        // Lanes that read less than all of it are checked for what they read only.
        let whole =
            (0..LANES).filter(|&lane| lengths[lane] == bytes).fold(0, |lanes, lane| lanes | 1 << lane) & mask;
        let result = self.reach(
            context,
            block,
            intent(AccessKind::CopySource, MemorySpace::Global, whole, bytes),
            &sources,
            |_, _, reached| {
                for lane in (0..LANES).filter(|lane| reached.mask >> lane & 1 == 1) {
                    let from = sources.0[lane].wrapping_add(reached.delta) as *const u8;
                    // SAFETY: `reach` has checked the lane's `bytes`; the buffer has 16.
                    unsafe { std::ptr::copy_nonoverlapping(from, data[lane].as_mut_ptr(), bytes as usize) };
                }
                Ok(())
            },
        );
        let result = result.and_then(|()| {
            for lane in (0..LANES).filter(|&lane| (mask & !whole) >> lane & 1 == 1) {
                data[lane] = [0; 16];
                let length = lengths[lane];
                if length == 0 {
                    continue;
                }
                let mut partial = intent(AccessKind::CopySource, MemorySpace::Global, 1 << lane, length);
                partial.alignment = 1;
                self.reach(context, block, partial, &sources, |_, _, reached| {
                    let from = sources.0[lane].wrapping_add(reached.delta) as *const u8;
                    // SAFETY: `reach` has checked the lane's `length` bytes, at most 16.
                    unsafe { std::ptr::copy_nonoverlapping(from, data[lane].as_mut_ptr(), length as usize) };
                    Ok(())
                })?;
            }
            Ok(())
        });
        if let Err(fault) = result {
            self.copies.give_back(data);
            return Err(fault);
        }
        let offsets = targets.0.map(|address| (address & !SHARED_WINDOW) as u32);
        self.copies.issue(mask, bytes, offsets, data);
        Ok(())
    }

    pub(super) fn copy_groups<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        op: &Op,
        lanes: u32,
    ) {
        if let Op::CopyWait { pending, all } = op {
            let (pending, all) = (*pending, *all);
            self.note(context, block, Synchronisation::CopyWait { pending, all });
            let base = block.shared_address();
            self.copies.wait(lanes, pending, all, |offset, data| {
                let to = (base + u64::from(offset)) as *mut u8;
                // SAFETY: the offset and size were checked against the block's shared memory when the copy was issued.
                unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len()) };
            });
        } else {
            self.note(context, block, Synchronisation::CopyCommit);
            self.copies.commit(lanes);
        }
    }
}
