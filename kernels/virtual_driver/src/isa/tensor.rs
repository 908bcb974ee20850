//! Tensor-core operations: fragments spread over the 32 lanes of a warp.

use super::Scalar;
use super::memory::{Address, MemorySpace};
use super::op::R;

/// m by n by k
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows of a and d.
    pub m: u8,
    /// Columns of b and d.
    pub n: u8,
    /// Columns of a, rows of b.
    pub k: u8,
}

/// Which matrix of a product a fragment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Left factor.
    A,
    /// Right factor.
    B,
    /// Summand or result.
    C,
}

/// A tensor-core operation.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "fields are the operands the manual calls by the same letters")]
pub enum Tensor {
    /// `ldmatrix`: row addresses come from lanes 0..8*count
    LoadMatrix { count: u8, transposed: bool, d: Vec<R>, address: Address, space: MemorySpace },
    /// `stmatrix`
    StoreMatrix { count: u8, transposed: bool, a: Vec<R>, address: Address, space: MemorySpace },
    /// `movmatrix`
    MoveMatrix { d: R, a: R },
    /// `mma.sync`: a row-major, b column-major
    Multiply {
        shape: Shape,
        a_type: Scalar,
        b_type: Scalar,
        c_type: Scalar,
        sat: bool,
        d: Vec<R>,
        a: Vec<R>,
        b: Vec<R>,
        c: Vec<R>,
    },
    /// `wmma.load`
    LoadFragment {
        role: Role,
        shape: Shape,
        row_major: bool,
        ty: Scalar,
        d: Vec<R>,
        address: Address,
        space: MemorySpace,
        stride: R,
    },
    /// `wmma.store`
    StoreFragment {
        shape: Shape,
        row_major: bool,
        ty: Scalar,
        a: Vec<R>,
        address: Address,
        space: MemorySpace,
        stride: R,
    },
    /// `wmma.mma`: the layout of the register fragments does not depend on that of memory
    MultiplyFragments {
        shape: Shape,
        ty: Scalar,
        c_type: Scalar,
        d_type: Scalar,
        sat: bool,
        d: Vec<R>,
        a: Vec<R>,
        b: Vec<R>,
        c: Vec<R>,
    },
}
