//! Typed device memory that captured launches keep alive.

use std::marker::PhantomData;
use std::sync::Arc;

use super::device::Device;
use crate::ops::Buffer;

/// `len` elements of `T` in device memory.
pub struct CudaBuffer<D: Device, T> {
    memory: Arc<D::Memory>,
    len: usize,
    element: PhantomData<T>,
}

/// f32 values.
pub type CudaFloats<D> = CudaBuffer<D, f32>;
/// bf16 operands.
pub type CudaHalves<D> = CudaBuffer<D, u16>;

impl<D: Device, T> CudaBuffer<D, T> {
    pub(super) fn new(memory: D::Memory, len: usize) -> Self {
        Self { memory: Arc::new(memory), len, element: PhantomData }
    }

    pub(super) fn memory(&self) -> &Arc<D::Memory> {
        &self.memory
    }
}

impl<D: Device, T> Buffer for CudaBuffer<D, T> {
    fn len(&self) -> usize {
        self.len
    }
}
