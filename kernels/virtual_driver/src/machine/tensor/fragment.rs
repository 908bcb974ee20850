//! `wmma`: whole fragments by the older names.
//!
//! The manual leaves the layout of these fragments open. Here a matrix in row-major order is cut into 32 equal runs, one
//! for each lane, packed into its registers from the first; registers beyond (hardware holds some factors twice) are zero.

use super::super::access::Intent;
use super::super::block::BlockSpace;
use super::super::context::Context;
use super::super::lanes::{L32, L64, LANES};
use super::super::load_store::{load_element, store_element};
use super::super::math::half::{bf16_to_f32, f16_to_f32, f32_to_f16};
use super::super::observer::{AccessKind, BlockObserver};
use super::super::trap::{Fault, TrapKind};
use super::super::warp::Warp;
use crate::isa::memory::{Address, MemorySpace};
use crate::isa::tensor::{Role, Shape, Tensor};
use crate::isa::{Float, R, Scalar};

fn extent(role: Role, shape: Shape) -> (usize, usize) {
    match role {
        Role::A => (shape.m.into(), shape.k.into()),
        Role::B => (shape.k.into(), shape.n.into()),
        Role::C => (shape.m.into(), shape.n.into()),
    }
}

/// One matrix in memory.
struct Place<'a> {
    rows: usize,
    columns: usize,
    row_major: bool,
    ty: Scalar,
    address: &'a Address,
    space: MemorySpace,
    stride: R,
}

impl Place<'_> {
    fn run(&self) -> usize {
        self.rows * self.columns / LANES
    }

    /// Byte offset of the element `index` of a lane's run.
    fn offset(&self, lane: usize, index: usize, stride: u32) -> u64 {
        let element = lane * self.run() + index;
        let (row, column) = (element / self.columns, element % self.columns);
        let (line, at) = if self.row_major { (row, column) } else { (column, row) };
        (line as u64 * u64::from(stride) + at as u64) * u64::from(self.ty.bytes())
    }
}

impl Warp {
    pub(super) fn fragments<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        lanes: u32,
        tensor: &Tensor,
    ) -> Result<(), Box<Fault>> {
        match tensor {
            Tensor::LoadFragment { role, shape, row_major, ty, d, address, space, stride } => {
                let (rows, columns) = extent(*role, *shape);
                let place = Place {
                    rows,
                    columns,
                    row_major: *row_major,
                    ty: *ty,
                    address,
                    space: *space,
                    stride: *stride,
                };
                self.load_fragment(context, block, lanes, &place, d)
            }
            Tensor::StoreFragment { shape, row_major, ty, a, address, space, stride } => {
                let (rows, columns) = extent(Role::C, *shape);
                let place = Place {
                    rows,
                    columns,
                    row_major: *row_major,
                    ty: *ty,
                    address,
                    space: *space,
                    stride: *stride,
                };
                self.store_fragment(context, block, lanes, &place, a)
            }
            Tensor::MultiplyFragments { shape, ty, c_type, d_type, sat, d, a, b, c } => {
                self.multiply_fragments(context, lanes, *shape, (*ty, *c_type, *d_type, *sat), [d, a, b, c]);
                Ok(())
            }
            Tensor::LoadMatrix { .. }
            | Tensor::StoreMatrix { .. }
            | Tensor::MoveMatrix { .. }
            | Tensor::Multiply { .. } => Ok(()),
        }
    }

    fn element_addresses(&self, context: &Context<'_>, place: &Place<'_>, index: usize) -> L64 {
        let mut base = L64::ZERO;
        self.addresses(context, place.address, &mut base);
        let strides = self.r32(place.stride);
        L64(std::array::from_fn(|lane| base.0[lane].wrapping_add(place.offset(lane, index, strides.0[lane]))))
    }

    fn load_fragment<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        lanes: u32,
        place: &Place<'_>,
        d: &[R],
    ) -> Result<(), Box<Fault>> {
        let bytes = place.ty.bytes();
        let each = 4 / bytes as usize;
        let mut values = vec![L32::ZERO; d.len()];
        for index in 0..place.run() {
            let addresses = self.element_addresses(context, place, index);
            let intent = Intent::new(AccessKind::Load, place.space, lanes, bytes);
            self.reach(context, block, intent, &addresses, |_, _, reached| {
                refuse_local(reached.space, reached.mask, reached.span.min)?;
                for lane in (0..LANES).filter(|lane| reached.mask >> lane & 1 == 1) {
                    // SAFETY: `reach` has checked bounds and alignment.
                    let element =
                        unsafe { load_element(addresses.0[lane].wrapping_add(reached.delta), bytes) } as u32;
                    if let Some(register) = values.get_mut(index / each) {
                        register.0[lane] |= element << (8 * bytes as usize * (index % each));
                    }
                }
                Ok(())
            })?;
        }
        for (&d, value) in d.iter().zip(&values) {
            self.write32(context, d, lanes, value);
        }
        Ok(())
    }

    fn store_fragment<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        lanes: u32,
        place: &Place<'_>,
        a: &[R],
    ) -> Result<(), Box<Fault>> {
        let bytes = place.ty.bytes();
        let each = 4 / bytes as usize;
        for index in 0..place.run() {
            let addresses = self.element_addresses(context, place, index);
            let value = *self.r32(a.get(index / each).copied().unwrap_or(R::NONE));
            let intent = Intent::new(AccessKind::Store, place.space, lanes, bytes);
            self.reach(context, block, intent, &addresses, |_, _, reached| {
                refuse_local(reached.space, reached.mask, reached.span.min)?;
                for lane in (0..LANES).filter(|lane| reached.mask >> lane & 1 == 1) {
                    let element = value.0[lane] >> (8 * bytes as usize * (index % each));
                    // SAFETY: `reach` has checked bounds and alignment.
                    unsafe {
                        store_element(addresses.0[lane].wrapping_add(reached.delta), bytes, element.into())
                    };
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The matrix a fragment holds, row-major: as floats, or integers as f64 (which holds 32-bit integers exactly).
    fn matrix(&self, registers: &[R], elements: usize, ty: Scalar) -> Vec<f64> {
        let (run, each) = (elements / LANES, 4 / ty.bytes() as usize);
        (0..elements)
            .map(|element| {
                let (lane, index) = (element / run, element % run);
                let word = self.r32(registers.get(index / each).copied().unwrap_or(R::NONE)).0[lane];
                let bits = word >> (8 * ty.bytes() as usize * (index % each));
                match ty.float() {
                    Some(Float::F16) => f16_to_f32(bits & 0xFFFF).into(),
                    Some(Float::BF16) => bf16_to_f32(bits & 0xFFFF).into(),
                    Some(Float::F32 | Float::TF32 | Float::F64 | Float::F16x2 | Float::BF16x2) => {
                        f32::from_bits(bits).into()
                    }
                    None => {
                        let unused = 32 - ty.bits();
                        let top = bits << unused;
                        if ty.is_signed() {
                            f64::from(top as i32 >> unused)
                        } else {
                            f64::from(top >> unused)
                        }
                    }
                }
            })
            .collect()
    }

    fn multiply_fragments(
        &mut self,
        context: &Context<'_>,
        lanes: u32,
        shape: Shape,
        (ty, c_type, d_type, sat): (Scalar, Scalar, Scalar, bool),
        [d, a, b, c]: [&[R]; 4],
    ) {
        let (m, n, k) = (usize::from(shape.m), usize::from(shape.n), usize::from(shape.k));
        let (left, right) = (self.matrix(a, m * k, ty), self.matrix(b, k * n, ty));
        let sums = self.matrix(c, m * n, c_type);
        let (run, each) = (m * n / LANES, 4 / d_type.bytes() as usize);
        let mut values = vec![L32::ZERO; d.len()];
        for (element, &start) in sums.iter().enumerate() {
            let (row, column) = (element / n, element % n);
            let products = (0..k).map(|i| (left[row * k + i], right[i * n + column]));
            let bits = if d_type == Scalar::S32 {
                let sum = products.fold(start, |sum, (x, y)| sum + x * y);
                if sat { sum as i32 as u32 } else { sum as i64 as u32 }
            } else {
                let sum = products.fold(start as f32, |sum, (x, y)| (x as f32).mul_add(y as f32, sum));
                if d_type == Scalar::F16 {
                    f32_to_f16(sum)
                } else if sum.is_nan() {
                    0x7FFF_FFFF
                } else {
                    sum.to_bits()
                }
            };
            let (lane, index) = (element / run, element % run);
            values[index / each].0[lane] |= bits << (8 * d_type.bytes() as usize * (index % each));
        }
        for (&d, value) in d.iter().zip(&values) {
            self.write32(context, d, lanes, value);
        }
    }
}

fn refuse_local(space: MemorySpace, mask: u32, address: u64) -> Result<(), Box<Fault>> {
    if space != MemorySpace::Local {
        return Ok(());
    }
    Err(Fault::at(TrapKind::IllegalAddress, mask.trailing_zeros(), address, "a fragment in local memory"))
}
