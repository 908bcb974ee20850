//! The operator contract on a CUDA device.

use std::sync::Arc;

use super::batch::{CudaBatch, encode};
use super::buffer::{CudaBuffer, CudaFloats, CudaHalves};
use super::device::Device;
use super::driver::Driver;
use super::graph_shapes::GraphShapes;
use super::kv_cache::CudaKvCache;
use super::matrix::CudaMatrix;
use super::operators;
use super::tape::Tape;
use crate::ops::batch::RaggedBatch;
use crate::ops::error::{OpError, require_len};
use crate::ops::graph_counts::GraphCounts;
use crate::ops::kv_cache::KvGeometry;
use crate::ops::matrix::PackedMatrix;
use crate::ops::rotary::RotaryFrequencies;
use crate::ops::sampling::SampleRow;
use crate::ops::{Backend, Buffer, attention, embedding, lm_head, matmul, norm, rotary, sampling, top_n};

/// Memory that grows to the largest need seen.
pub(super) struct Grown<D: Device> {
    memory: Option<Arc<D::Memory>>,
    bytes: usize,
}

impl<D: Device> Grown<D> {
    fn new() -> Self {
        Self { memory: None, bytes: 0 }
    }

    /// At least `bytes` bytes; what was in them may be lost.
    pub(super) fn reserve(&mut self, device: &mut D, bytes: usize) -> Result<Arc<D::Memory>, OpError> {
        match &self.memory {
            Some(memory) if self.bytes >= bytes => Ok(Arc::clone(memory)),
            Some(_) | None => {
                let bytes = bytes.next_power_of_two().max(256);
                let memory = Arc::new(device.allocate(bytes)?);
                (self.memory, self.bytes) = (Some(Arc::clone(&memory)), bytes);
                Ok(memory)
            }
        }
    }
}

/// What the step's end will ask to be drawn, and the logits that it was drawn from once the LM head has run.
pub(super) struct SamplingPlan<D: Device> {
    pub(super) rows: Vec<SampleRow>,
    pub(super) drawn_from: Option<Arc<D::Memory>>,
}

/// A device, the step's launches, and scratch memory.
pub struct CudaBackend<D: Device = Driver> {
    pub(super) device: D,
    pub(super) tape: Tape<D>,
    /// Steps that run as graphs.
    shapes: GraphShapes,
    /// Query heads per key/value head, as the last attention had it.
    pub(super) group: usize,
    /// The batch loaded last, where its number of rows stands, and that number.
    pub(super) live: Option<(Arc<D::Memory>, usize, usize)>,
    pub(super) frequencies: Option<(RotaryFrequencies, Arc<D::Memory>)>,
    /// Attention: values and states of splits that wait to be combined.
    pub(super) partial: [Grown<D>; 2],
    /// LM head: parts, target logits, statistics.
    pub(super) head: [Grown<D>; 3],
    /// Sampling: requests, drawn tokens.
    pub(super) sampling: [Grown<D>; 2],
    /// Likeliest tokens: requests, what was found.
    pub(super) top_n: [Grown<D>; 2],
    pub(super) plan: SamplingPlan<D>,
    /// Scratch on the host.
    pub(super) words: Vec<u32>,
}

impl CudaBackend<Driver> {
    /// The backend on device `ordinal` of the CUDA driver; `graphs`: which steps run as CUDA graphs.
    ///
    /// # Errors
    /// There is no driver or no such device, it is older than compute capability 8.0, or the driver refuses.
    pub fn new(ordinal: usize, graphs: GraphShapes) -> Result<Self, OpError> {
        Ok(Self::on(Driver::new(ordinal)?, graphs))
    }

    /// The device.
    pub fn driver(&self) -> &Driver {
        &self.device
    }
}

impl<D: Device> CudaBackend<D> {
    /// The backend on a device.
    pub fn on(device: D, graphs: GraphShapes) -> Self {
        Self {
            device,
            tape: Tape::new(),
            shapes: graphs,
            group: 1,
            live: None,
            frequencies: None,
            partial: [Grown::new(), Grown::new()],
            head: [Grown::new(), Grown::new(), Grown::new()],
            sampling: [Grown::new(), Grown::new()],
            top_n: [Grown::new(), Grown::new()],
            plan: SamplingPlan { rows: Vec::new(), drawn_from: None },
            words: Vec::new(),
        }
    }

    /// The first `len` elements of a buffer, after all operators that were called before.
    ///
    /// # Errors
    /// The buffer is shorter, or an operator failed on the device.
    pub fn read<T: bytemuck::Pod>(
        &mut self,
        buffer: &CudaBuffer<D, T>,
        len: usize,
    ) -> Result<Vec<T>, OpError> {
        require_len("read", "buffer", buffer.len(), len)?;
        let mut values = vec![T::zeroed(); len];
        self.tape.run(&mut self.device)?;
        self.device.download(buffer.memory(), 0, bytemuck::cast_slice_mut(&mut values))?;
        Ok(values)
    }

    /// Brings bf16 operands to the device (activations are made there; this is for tests and measurements).
    ///
    /// # Errors
    /// The device has no room.
    pub fn halves_from(&mut self, values: &[u16]) -> Result<CudaHalves<D>, OpError> {
        self.buffer_from(values)
    }

    fn buffer<T>(&mut self, len: usize) -> Result<CudaBuffer<D, T>, OpError> {
        self.tape.forget_graphs();
        let bytes = len.checked_mul(size_of::<T>());
        let bytes = bytes.ok_or_else(|| OpError::new("buffer", format!("{len} elements overflow memory")))?;
        Ok(CudaBuffer::new(self.device.allocate(bytes)?, len))
    }

    fn buffer_from<T: bytemuck::Pod>(&mut self, values: &[T]) -> Result<CudaBuffer<D, T>, OpError> {
        let buffer = self.buffer(values.len())?;
        self.device.upload(bytemuck::cast_slice(values), buffer.memory(), 0)?;
        Ok(buffer)
    }

    /// Writes and uploads the batch's tables for the current `group`.
    pub(super) fn upload_batch(&mut self, batch: &CudaBatch<D>) -> Result<(), OpError> {
        {
            let mut encoded = batch.encoded.borrow_mut();
            encoded.group = self.group;
            encoded.room = self.shapes.room_for(&batch.host);
            encoded.tasks = encode(&batch.host, self.group, &mut self.words);
            let bytes: &[u8] = bytemuck::cast_slice(&self.words);
            if encoded.memory.is_none() || encoded.capacity < bytes.len() {
                encoded.capacity = (bytes.len() * 2).next_power_of_two();
                encoded.memory = Some(Arc::new(self.device.allocate(encoded.capacity)?));
            }
            if let Some(memory) = &encoded.memory {
                self.device.upload(bytes, memory, 0)?;
            }
        }
        let rows = batch.host.rows();
        self.live = Some((batch.memory()?, rows, batch.covered(rows)));
        Ok(())
    }
}

impl<D: Device> Backend for CudaBackend<D> {
    type Matrix = CudaMatrix<D>;
    type Floats = CudaFloats<D>;
    type Halves = CudaHalves<D>;
    type KvCache = CudaKvCache<D>;
    type Batch = CudaBatch<D>;

    fn matrix(&mut self, host: &PackedMatrix) -> Result<CudaMatrix<D>, OpError> {
        CudaMatrix::upload(&mut self.device, host)
    }
    fn floats_from(&mut self, values: &[f32]) -> Result<CudaFloats<D>, OpError> {
        self.buffer_from(values)
    }
    fn floats(&mut self, len: usize) -> Result<CudaFloats<D>, OpError> {
        self.buffer(len)
    }
    fn halves(&mut self, len: usize) -> Result<CudaHalves<D>, OpError> {
        self.buffer(len)
    }
    fn kv_cache(&mut self, geometry: KvGeometry) -> Result<CudaKvCache<D>, OpError> {
        CudaKvCache::new(&mut self.device, geometry)
    }
    fn release_kv_cache(&mut self, cache: &mut CudaKvCache<D>, is_kept: bool) -> Result<bool, OpError> {
        self.tape.run(&mut self.device)?;
        // Graphs hold the cache's memory, and its addresses.
        self.tape.forget_graphs();
        cache.release(&mut self.device, is_kept)
    }
    fn restore_kv_cache(&mut self, cache: &mut CudaKvCache<D>) -> Result<(), OpError> {
        cache.restore(&mut self.device)
    }
    fn batch(&mut self) -> Result<CudaBatch<D>, OpError> {
        Ok(CudaBatch::default())
    }
    fn floats_to_host(
        &mut self,
        buffer: &CudaFloats<D>,
        len: usize,
        into: &mut Vec<f32>,
    ) -> Result<(), OpError> {
        *into = self.read(buffer, len)?;
        Ok(())
    }
    fn load_batch(&mut self, host: &RaggedBatch, device: &mut CudaBatch<D>) -> Result<(), OpError> {
        self.tape.run(&mut self.device)?;
        self.tape.begin_step(&self.device);
        self.plan.rows.clear();
        self.plan.drawn_from = None;
        device.host.clone_from(host);
        self.upload_batch(device)?;
        self.tape.room = device.encoded.borrow().room;
        Ok(())
    }

    fn graph_counts(&self) -> Option<GraphCounts> {
        (!self.shapes.is_none()).then(|| self.tape.counts(&self.device))
    }
    fn reset_graph_counts(&mut self) {
        self.tape.reset_counts(&self.device);
    }

    fn plan_sampling(&mut self, rows: &[SampleRow]) -> Result<(), OpError> {
        operators::plan_sampling(self, rows)
    }
    fn embed(&mut self, args: embedding::Embedding<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        operators::embed(self, args)
    }
    fn norm(&mut self, args: norm::Norm<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        operators::norm(self, args)
    }
    fn matmul(&mut self, args: matmul::Matmul<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        operators::matmul(self, args)
    }
    fn rotary_angles(&mut self, args: rotary::RotaryAngles<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        operators::rotary_angles(self, args)
    }
    fn rotate_and_append(&mut self, args: rotary::RotateAndAppend<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        operators::rotate_and_append(self, args)
    }
    fn attention(&mut self, args: attention::Attention<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        operators::attention(self, args)
    }
    fn lm_head(&mut self, args: lm_head::LmHead<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        operators::lm_head(self, args)
    }
    fn sample(&mut self, args: sampling::Sampling<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        operators::sample(self, args)
    }
    fn top_n(&mut self, args: top_n::TopN<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        operators::top_n(self, args)
    }
}
