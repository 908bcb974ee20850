//! Tensor-core operations: matrices spread over the lanes of a warp.

mod fragment;
mod matrix;
mod product;

use super::block::BlockSpace;
use super::context::Context;
use super::observer::BlockObserver;
use super::trap::Fault;
use super::warp::Warp;
use crate::isa::tensor::Tensor;

impl Warp {
    /// All live lanes of the warp are here.
    pub(super) fn tensor<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        lanes: u32,
        tensor: &Tensor,
    ) -> Result<(), Box<Fault>> {
        match tensor {
            Tensor::LoadMatrix { count, transposed, d, address, space } => {
                self.load_matrix(context, block, lanes, (*count, *transposed), d, address, *space)
            }
            Tensor::StoreMatrix { count, transposed, a, address, space } => {
                self.store_matrix(context, block, lanes, (*count, *transposed), a, address, *space)
            }
            Tensor::MoveMatrix { d, a } => {
                let value = matrix::transposed(self.r32(*a));
                self.write32(context, *d, lanes, &value);
                Ok(())
            }
            Tensor::Multiply { shape, a_type, b_type, c_type, sat, d, a, b, c } => {
                self.multiply(context, lanes, *shape, (*a_type, *b_type, *c_type, *sat), [d, a, b, c]);
                Ok(())
            }
            Tensor::LoadFragment { .. } | Tensor::StoreFragment { .. } | Tensor::MultiplyFragments { .. } => {
                self.fragments(context, block, lanes, tensor)
            }
        }
    }
}
