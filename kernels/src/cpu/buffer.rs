//! Memory of the CPU backend: 64-byte aligned buffers, and a view for tasks that write disjoint parts.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};

use crate::ops::Buffer;

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

// SAFETY: plain bytes without padding; all zeros is a value.
unsafe impl Zeroable for Line {}
// SAFETY: plain bytes without padding, `Copy`, `'static`, any bit pattern is a value.
unsafe impl Pod for Line {}

/// `len` values, zero at first, aligned to a cache line.
pub struct Aligned<T> {
    lines: Vec<Line>,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Pod> Aligned<T> {
    /// Zeros.
    pub fn zeroed(len: usize) -> Self {
        let lines = vec![Line([0; 64]); (len * size_of::<T>()).div_ceil(64)];
        Self { lines, len, element: PhantomData }
    }

    /// A copy of `values`.
    pub fn from_slice(values: &[T]) -> Self {
        let mut buffer = Self::zeroed(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl<T: Pod> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl<T: Pod> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

impl<T: Pod> Buffer for Aligned<T> {
    fn len(&self) -> usize {
        self.len
    }
}

/// A mutable slice that several tasks write at once, each its own part.
#[derive(Clone, Copy)]
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: hands out `&mut [T]` to one thread each, under `part`'s promise.
unsafe impl<T: Send> Send for Disjoint<'_, T> {}
// SAFETY: as above; the view itself is never written.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    /// Takes the slice over.
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// Writes one element.
    ///
    /// # Panics
    /// The element does not lie in the slice.
    ///
    /// # Safety
    /// As for [`Self::part`].
    #[inline(always)]
    pub(crate) unsafe fn set(&self, index: usize, value: T) {
        // SAFETY: passed on.
        let part = unsafe { self.part(index, 1) };
        part[0] = value;
    }

    /// `len` elements from `start`.
    ///
    /// # Panics
    /// The part does not lie in the slice.
    ///
    /// # Safety
    /// No two parts that are in use at the same time overlap.
    #[inline(always)]
    pub(crate) unsafe fn part(&self, start: usize, len: usize) -> &'a mut [T] {
        assert!(start <= self.len && len <= self.len - start, "part {start}+{len} of {}", self.len);
        // SAFETY: in bounds (checked above), and exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
