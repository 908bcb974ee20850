//! `ldmatrix`, `stmatrix`, `movmatrix`: 8 by 8 matrices of 16-bit elements.
//!
//! In a register, lane l holds row l / 4, columns 2 * (l % 4) and the next. A register's 32 words in lane order are
//! therefore the matrix in row-major order.

use super::super::access::Intent;
use super::super::block::BlockSpace;
use super::super::context::Context;
use super::super::lanes::{L32, L64, LANES};
use super::super::observer::{AccessKind, BlockObserver};
use super::super::trap::Fault;
use super::super::warp::Warp;
use crate::isa::R;
use crate::isa::memory::{Address, MemorySpace};

/// The element at a row and column.
fn element(matrix: &L32, row: usize, column: usize) -> u32 {
    matrix.0[row * 4 + column / 2] >> (16 * (column % 2)) & 0xFFFF
}

/// Rows become columns.
pub(super) fn transposed(matrix: &L32) -> L32 {
    L32(std::array::from_fn(|lane| {
        let (row, column) = (lane / 4, lane % 4 * 2);
        element(matrix, column, row) | element(matrix, column + 1, row) << 16
    }))
}

fn rows_mask(count: u8) -> u32 {
    if count >= 4 { u32::MAX } else { (1 << (8 * u32::from(count))) - 1 }
}

impl Warp {
    #[expect(clippy::too_many_arguments, reason = "operands of one instruction")]
    pub(super) fn load_matrix<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        lanes: u32,
        (count, is_transposed): (u8, bool),
        d: &[R],
        address: &Address,
        space: MemorySpace,
    ) -> Result<(), Box<Fault>> {
        let mut addresses = L64::ZERO;
        self.addresses(context, address, &mut addresses);
        let mask = rows_mask(count) & lanes;
        let intent = Intent::new(AccessKind::Load, space, mask, 16);
        let mut matrices = [L32::ZERO; 4];
        self.reach(context, block, intent, &addresses, |_, _, reached| {
            if reached.space == MemorySpace::Local {
                return Err(local_matrix(reached.mask, reached.span.min));
            }
            for lane in (0..LANES).filter(|lane| reached.mask >> lane & 1 == 1) {
                let from = addresses.0[lane].wrapping_add(reached.delta) as *const u32;
                let row = &mut matrices[lane / 8].0[lane % 8 * 4..lane % 8 * 4 + 4];
                // SAFETY: `reach` has checked the lane's 16 bytes; the row has four words.
                unsafe { std::ptr::copy_nonoverlapping(from, row.as_mut_ptr(), 4) };
            }
            Ok(())
        })?;
        for (&d, matrix) in d.iter().zip(&matrices) {
            if is_transposed {
                self.write32(context, d, lanes, &transposed(matrix));
            } else {
                self.write32(context, d, lanes, matrix);
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "operands of one instruction")]
    pub(super) fn store_matrix<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        lanes: u32,
        (count, is_transposed): (u8, bool),
        a: &[R],
        address: &Address,
        space: MemorySpace,
    ) -> Result<(), Box<Fault>> {
        let mut addresses = L64::ZERO;
        self.addresses(context, address, &mut addresses);
        let mask = rows_mask(count) & lanes;
        let intent = Intent::new(AccessKind::Store, space, mask, 16);
        let matrices: Vec<L32> =
            a.iter().map(|&r| if is_transposed { transposed(self.r32(r)) } else { *self.r32(r) }).collect();
        self.reach(context, block, intent, &addresses, |_, _, reached| {
            if reached.space == MemorySpace::Local {
                return Err(local_matrix(reached.mask, reached.span.min));
            }
            for lane in (0..LANES).filter(|lane| reached.mask >> lane & 1 == 1) {
                let to = addresses.0[lane].wrapping_add(reached.delta) as *mut u32;
                let row = &matrices[lane / 8].0[lane % 8 * 4..lane % 8 * 4 + 4];
                // SAFETY: `reach` has checked the lane's 16 bytes; the row has four words.
                unsafe { std::ptr::copy_nonoverlapping(row.as_ptr(), to, 4) };
            }
            Ok(())
        })
    }
}

fn local_matrix(mask: u32, address: u64) -> Box<Fault> {
    Fault::at(
        super::super::trap::TrapKind::IllegalAddress,
        mask.trailing_zeros(),
        address,
        "a matrix in local memory",
    )
}
