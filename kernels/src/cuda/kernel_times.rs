//! How long each kernel of a step takes, beside the floor that its bytes and products set on this device.
//!
//! A step is run once by the model; its launches are remembered and then repeated, kernel by kernel, without anything in
//! between. Launches of one kernel and shape are repeated together, all layers in turn, so that weights come from memory and not
//! from a cache that one layer would fit. Results of repeated launches are of no use (sums accumulate), times are.

use std::sync::{Arc, Mutex, PoisonError};

use super::backend::CudaBackend;
use super::device::Device;
use super::graph_shapes::GraphShapes;
use super::launch::Launch;
use super::launch_work::{LaunchWork, UniformStep, launch_work};
use super::registry::Kernel;
use crate::cpu::limits::Limits;
use crate::model::gpt::Gpt;
use crate::model::packed::PackedModel;
use crate::model::step::{KvCacheShape, LanguageModel, SampleArgs, SequenceSlice};
use crate::model::weights::CheckpointError;
use crate::ops::error::OpError;

/// A repetition should be long against the time that the first launch takes to arrive.
const LONG_S: f64 = 0.002;
const MAX_REPEATS: f64 = 200.0;

/// One kernel in one shape, in one step.
#[derive(Clone, Debug)]
pub struct KernelTime {
    /// Which.
    pub kernel: Kernel,
    /// Blocks.
    pub grid: [u32; 3],
    /// Launches of a step.
    pub launches: usize,
    /// Seconds of one launch: the median of the passes.
    pub seconds: f64,
    /// Work of one launch.
    pub work: LaunchWork,
    /// Seconds that the device needs for this work at the least.
    pub floor_s: f64,
}

/// A device that several own, and that remembers launches.
struct Remembering<D> {
    device: D,
    launches: Vec<Launch>,
}

/// Shared access to it.
pub struct SharedDevice<D>(Arc<Mutex<Remembering<D>>>);

impl<D: Device> SharedDevice<D> {
    fn with<T>(&self, act: impl FnOnce(&mut Remembering<D>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<D: Device> Device for SharedDevice<D> {
    type Memory = D::Memory;
    type Graph = D::Graph;

    fn allocate(&mut self, bytes: usize) -> Result<D::Memory, OpError> {
        self.with(|it| it.device.allocate(bytes))
    }
    fn address(memory: &D::Memory) -> u64 {
        D::address(memory)
    }
    fn upload(&mut self, host: &[u8], memory: &D::Memory, offset: usize) -> Result<(), OpError> {
        self.with(|it| it.device.upload(host, memory, offset))
    }
    fn download(&mut self, memory: &D::Memory, offset: usize, host: &mut [u8]) -> Result<(), OpError> {
        self.with(|it| it.device.download(memory, offset, host))
    }
    unsafe fn launch(&mut self, launch: &Launch) -> Result<(), OpError> {
        self.with(|it| {
            it.launches.push(*launch);
            // SAFETY: the caller vouches for the launch.
            unsafe { it.device.launch(launch) }
        })
    }
    unsafe fn capture(&mut self, launches: &[Launch]) -> Result<Option<D::Graph>, OpError> {
        // SAFETY: the caller vouches for every launch.
        self.with(|it| unsafe { it.device.capture(launches) })
    }
    unsafe fn replay(&mut self, graph: &D::Graph) -> Result<(), OpError> {
        // SAFETY: the caller vouches for every launch of the graph.
        self.with(|it| unsafe { it.device.replay(graph) })
    }
    fn allocations(&self) -> u64 {
        self.with(|it| it.device.allocations())
    }
    fn synchronize(&mut self) -> Result<(), OpError> {
        self.with(|it| it.device.synchronize())
    }
}

/// A model whose kernels are timed.
pub struct KernelTimer<'a, D: Device> {
    device: SharedDevice<D>,
    model: Gpt<CudaBackend<SharedDevice<D>>>,
    limits: Limits,
    /// Passes of which the median counts.
    passes: usize,
    now_s: &'a dyn Fn() -> f64,
}

impl<'a, D: Device> KernelTimer<'a, D> {
    /// Brings a model to `device`. `limits` are the device's ([`super::limits::measure_limits`]), `now_s` is a monotonic clock in seconds.
    ///
    /// # Errors
    /// Model and cache do not fit.
    pub fn new(
        device: D,
        packed: &PackedModel,
        kv_shape: KvCacheShape,
        limits: Limits,
        passes: usize,
        now_s: &'a dyn Fn() -> f64,
    ) -> Result<Self, CheckpointError> {
        let device = Arc::new(Mutex::new(Remembering { device, launches: Vec::new() }));
        let backend = CudaBackend::on(SharedDevice(Arc::clone(&device)), GraphShapes::none());
        let model = Gpt::new(backend, packed, kv_shape)?;
        Ok(Self { device: SharedDevice(device), model, limits, passes: passes.max(1), now_s })
    }

    /// Times the kernels of a step, in the order in which they first run.
    ///
    /// # Errors
    /// The KV cache is too small for the step, or the device fails.
    pub fn time(&mut self, step: &UniformStep) -> Result<Vec<KernelTime>, OpError> {
        // The first step makes room, the second one is remembered with the addresses that stay.
        self.run(step)?;
        self.device.with(|it| it.launches.clear());
        self.run(step)?;
        let launches = self.device.with(|it| std::mem::take(&mut it.launches));
        let mut groups: Vec<Vec<Launch>> = Vec::new();
        for launch in launches {
            match groups.iter_mut().find(|group| is_alike(&group[0], &launch)) {
                Some(group) => group.push(launch),
                None => groups.push(vec![launch]),
            }
        }
        groups.iter().map(|group| self.time_group(group, step)).collect()
    }

    fn run(&mut self, step: &UniformStep) -> Result<(), OpError> {
        let block_size = self.model.kv_cache().block_size;
        let blocks = (step.start + step.rows).div_ceil(block_size);
        let vocab_size = self.model.vocab_size();
        let tokens: Vec<u32> = (0..step.rows).map(|row| (row * 37 % vocab_size) as u32).collect();
        let tables: Vec<Vec<u32>> = (0..step.sequences)
            .map(|sequence| (0..blocks).map(|block| (sequence * blocks + block) as u32).collect())
            .collect();
        let (top_k, top_p) = if step.draws { (0, 0.9) } else { (1, 0.0) };
        let sample = SampleArgs { temperature: 1.0, top_k, top_p, seed: 1, request_key: 0, position: 0 };
        let slices: Vec<SequenceSlice<'_>> = tables
            .iter()
            .map(|block_table| SequenceSlice {
                tokens: &tokens,
                start: step.start,
                block_table,
                targets: &[],
                sample: Some(sample),
            })
            .collect();
        self.model.step(&slices).map(|_| ()).map_err(|error| OpError::new("step", error.to_string()))
    }

    fn time_group(&self, group: &[Launch], step: &UniformStep) -> Result<KernelTime, OpError> {
        let pass = |repeats: usize| -> Result<f64, OpError> {
            self.device.with(|it| {
                it.device.synchronize()?;
                let start = (self.now_s)();
                for launch in (0..repeats).flat_map(|_| group) {
                    // SAFETY: the model that made these launches keeps their memory, and has run no other step since.
                    unsafe { it.device.launch(launch) }?;
                }
                it.device.synchronize()?;
                Ok(((self.now_s)() - start) / (repeats * group.len()) as f64)
            })
        };
        let once = pass(1)? * group.len() as f64;
        let repeats = (LONG_S / once.max(1e-9)).clamp(1.0, MAX_REPEATS) as usize;
        let mut seconds = (0..self.passes).map(|_| pass(repeats)).collect::<Result<Vec<f64>, _>>()?;
        seconds.sort_by(f64::total_cmp);
        let work = launch_work(&group[0], step);
        let read = work.bytes as f64 / self.limits.read_bytes_per_s;
        let multiply = work.flops as f64 / self.limits.flops_per_s;
        Ok(KernelTime {
            kernel: group[0].kernel,
            grid: group[0].grid,
            launches: group.len(),
            seconds: seconds[seconds.len() / 2],
            work,
            floor_s: read.max(multiply),
        })
    }
}

/// The same kernel in the same shape: only addresses and the number of the layer differ.
fn is_alike(a: &Launch, b: &Launch) -> bool {
    let shape = |launch: &Launch| -> Vec<u32> {
        let is_layered = launch.layout().is_some();
        launch.words().skip(usize::from(is_layered)).collect()
    };
    a.kernel == b.kernel && a.grid == b.grid && shape(a) == shape(b)
}
