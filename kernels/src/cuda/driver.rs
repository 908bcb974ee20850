//! A device behind the CUDA driver API, through cudarc. The only file that launches unsafely.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::{
    CudaContext, CudaFunction, CudaGraph, CudaModule, CudaSlice, CudaStream, DevicePtr, DriverError,
    PinnedHostSlice, result, sys,
};

use super::device::Device;
use super::jit_log::why_refused;
use super::launch::Launch;
use super::probe::devices;
use super::registry::{Kernel, Module};
use crate::ops::error::OpError;

/// Dynamic shared memory that a kernel may use without asking.
const FREE_SHARED: u32 = 48 * 1024;
/// Uploads of at most this many bytes go through pinned memory and do not wait.
const STAGED_BYTES: usize = 1 << 20;
/// Uploads on their way at the same time.
const STAGES: usize = 4;

/// One device of the CUDA driver, one stream.
pub struct Driver {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    modules: HashMap<Module, Arc<CudaModule>>,
    functions: HashMap<Kernel, CudaFunction>,
    /// Pinned memory for uploads, used in turn; each waits for its own last copy.
    uploads: Vec<PinnedHostSlice<u8>>,
    next_upload: usize,
    /// Pinned memory for results.
    results: Option<PinnedHostSlice<u8>>,
    allocations: u64,
}

/// Device memory, freed in stream order.
pub struct DriverMemory {
    slice: CudaSlice<u8>,
    address: u64,
    bytes: usize,
}

/// A captured graph.
pub struct DriverGraph(CudaGraph);

// SAFETY: the driver lets any thread use a graph as long as calls on it do not overlap; this type has no method of its own, and
// the backend that owns it is used by one thread at a time.
unsafe impl Send for DriverGraph {}

fn refused(what: &'static str) -> impl Fn(DriverError) -> OpError {
    move |error| OpError::new(what, format!("the CUDA driver says {error}"))
}

impl Driver {
    /// Opens device `ordinal`.
    ///
    /// # Errors
    /// There is no driver or no such device, it is too old, or the driver refuses.
    pub fn new(ordinal: usize) -> Result<Self, OpError> {
        let open = |message: String| OpError::new("cuda", message);
        // Asked first: cudarc panics without a driver.
        let all = devices().map_err(|error| open(error.to_string()))?;
        let device = all.get(ordinal);
        let device = device
            .ok_or_else(|| open(format!("device {ordinal} of {}: there is no such device", all.len())))?;
        if !device.is_supported() {
            let (major, minor) = device.compute_capability;
            return Err(open(format!(
                "{} has compute capability {major}.{minor}, 8.0 is needed",
                device.name
            )));
        }
        let context = CudaContext::new(ordinal).map_err(refused("cuda"))?;
        // SAFETY: this backend uses one stream, on which everything is in order.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(refused("cuda"))?;
        Ok(Self {
            context,
            stream,
            modules: HashMap::new(),
            functions: HashMap::new(),
            uploads: Vec::new(),
            next_upload: 0,
            results: None,
            allocations: 0,
        })
    }

    /// The kernel's function; loads its module at the first call.
    fn function(&mut self, kernel: Kernel) -> Result<sys::CUfunction, OpError> {
        if let Some(function) = self.functions.get(&kernel) {
            return Ok(function.cu_function());
        }
        let module = match self.modules.get(&kernel.module()) {
            Some(module) => Arc::clone(module),
            None => self.load(kernel.module())?,
        };
        let function = module.load_function(kernel.name()).map_err(refused(kernel.name()))?;
        let shared = kernel.launch_shape().dynamic_shared;
        if shared > FREE_SHARED {
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(attribute, shared as i32).map_err(refused(kernel.name()))?;
        }
        let handle = function.cu_function();
        self.functions.insert(kernel, function);
        Ok(handle)
    }

    fn load(&mut self, module: Module) -> Result<Arc<CudaModule>, OpError> {
        let (name, text) = module.ptx();
        let loaded = self.load_text(name, text)?;
        self.modules.insert(module, Arc::clone(&loaded));
        Ok(loaded)
    }

    /// Loads PTX text; `name` is its file, for the error.
    ///
    /// # Errors
    /// The driver refuses it: its code, and what its compiler says.
    pub fn load_text(&self, name: &'static str, text: &str) -> Result<Arc<CudaModule>, OpError> {
        self.context.load_module(text.into()).map_err(|error| {
            let log = why_refused(text);
            OpError::new(name, format!("this PTX cannot be loaded: the CUDA driver says {error}\n{log}"))
        })
    }

    /// Bytes of device memory that are free now, and all of them.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn memory_info(&self) -> Result<(usize, usize), OpError> {
        self.context.mem_get_info().map_err(refused("memory"))
    }

    fn pinned(&mut self, bytes: usize) -> Result<PinnedHostSlice<u8>, OpError> {
        let flags = 0;
        // SAFETY: the memory is written before it is read.
        let pinned = unsafe { self.context.alloc_pinned_with_flags::<u8>(bytes, flags) };
        let mut pinned = pinned.map_err(refused("pinned memory"))?;
        self.allocations += 1;
        let start = pinned.as_mut_ptr().map_err(refused("pinned memory"))?;
        // SAFETY: `start` is valid for `bytes` bytes, which nothing else refers to.
        unsafe { start.write_bytes(0, bytes) };
        Ok(pinned)
    }

    /// Copies through pinned memory, without waiting for the device.
    fn upload_staged(&mut self, host: &[u8], target: u64) -> Result<(), OpError> {
        if self.uploads.len() < STAGES {
            let pinned = self.pinned(STAGED_BYTES)?;
            self.uploads.push(pinned);
        }
        if self.next_upload >= STAGES {
            // Every piece was used since the last wait.
            self.stream.synchronize().map_err(refused("upload"))?;
            self.next_upload = 0;
        }
        let pinned = &mut self.uploads[self.next_upload];
        self.next_upload += 1;
        let staged = pinned.as_mut_slice().map_err(refused("upload"))?;
        let staged = &mut staged[..host.len()];
        staged.copy_from_slice(host);
        // SAFETY: `target` has room (checked by the caller); the pinned piece is not touched before the stream was waited for.
        unsafe { result::memcpy_htod_async(target, staged, self.stream.cu_stream()) }
            .map_err(refused("upload"))
    }
}

fn check_room(what: &'static str, memory: &DriverMemory, end: Option<usize>) -> Result<(), OpError> {
    match end {
        Some(end) if end <= memory.bytes => Ok(()),
        Some(_) | None => Err(OpError::new(what, format!("leaves an allocation of {} bytes", memory.bytes))),
    }
}

impl Device for Driver {
    type Memory = DriverMemory;
    type Graph = DriverGraph;

    fn allocate(&mut self, bytes: usize) -> Result<DriverMemory, OpError> {
        // An allocation of nothing has no address.
        let slice = self.stream.alloc_zeros::<u8>(bytes.max(1)).map_err(|error| {
            let room = self.memory_info().map_or_else(
                |_| String::new(),
                |(free, total)| format!(" ({free} of the device's {total} bytes are free)"),
            );
            OpError::new("allocate", format!("{bytes} bytes{room}: the CUDA driver says {error}"))
        })?;
        self.allocations += 1;
        let address = slice.device_ptr(&self.stream).0;
        Ok(DriverMemory { slice, address, bytes })
    }

    fn address(memory: &DriverMemory) -> u64 {
        memory.address
    }

    fn upload(&mut self, host: &[u8], memory: &DriverMemory, offset: usize) -> Result<(), OpError> {
        check_room("upload", memory, offset.checked_add(host.len()))?;
        if host.is_empty() {
            return Ok(());
        }
        self.context.bind_to_thread().map_err(refused("upload"))?;
        let target = memory.address + offset as u64;
        if host.len() <= STAGED_BYTES {
            return self.upload_staged(host, target);
        }
        // SAFETY: the room was checked; `host` lives until the stream was waited for.
        unsafe { result::memcpy_htod_async(target, host, self.stream.cu_stream()) }
            .map_err(refused("upload"))?;
        self.synchronize()
    }

    fn download(&mut self, memory: &DriverMemory, offset: usize, host: &mut [u8]) -> Result<(), OpError> {
        check_room("download", memory, offset.checked_add(host.len()))?;
        if host.is_empty() {
            return self.synchronize();
        }
        self.context.bind_to_thread().map_err(refused("download"))?;
        if self.results.as_ref().is_none_or(|results| results.len() < host.len()) {
            self.results = Some(self.pinned(host.len().next_power_of_two())?);
        }
        let (source, stream) = (memory.address + offset as u64, Arc::clone(&self.stream));
        let Some(results) = &mut self.results else {
            return Err(OpError::new("download", "no pinned memory"));
        };
        let staged = results.as_mut_slice().map_err(refused("download"))?;
        let staged = &mut staged[..host.len()];
        // SAFETY: both sides have room, and nobody else touches them until the stream was waited for.
        unsafe { result::memcpy_dtoh_async(staged, source, stream.cu_stream()) }
            .map_err(refused("download"))?;
        stream.synchronize().map_err(refused("download"))?;
        host.copy_from_slice(staged);
        self.next_upload = 0;
        Ok(())
    }

    unsafe fn launch(&mut self, launch: &Launch) -> Result<(), OpError> {
        let (kernel, function) = (launch.kernel, self.function(launch.kernel)?);
        self.context.bind_to_thread().map_err(refused(kernel.name()))?;
        let bytes = launch.argument_bytes();
        let mut arguments = [std::ptr::null_mut::<c_void>(); 16];
        let count = kernel.parameters().len();
        for (argument, offset) in arguments.iter_mut().zip(launch.argument_offsets()) {
            // The driver copies arguments and never writes through these pointers.
            *argument = bytes[offset..].as_ptr().cast_mut().cast();
        }
        let [x, y, z] = launch.grid;
        let shape = kernel.launch_shape();
        // SAFETY: the function is of a module that this device keeps loaded; the arguments match its parameters (checked by
        // `LaunchBuilder` against the registry, and the registry against the PTX by a test); the caller vouches for addresses.
        unsafe {
            result::launch_kernel(
                function,
                (x, y, z),
                (shape.threads, 1, 1),
                shape.dynamic_shared,
                self.stream.cu_stream(),
                &mut arguments[..count],
            )
        }
        .map_err(refused(kernel.name()))
    }

    unsafe fn capture(&mut self, launches: &[Launch]) -> Result<Option<DriverGraph>, OpError> {
        for launch in launches {
            // Modules cannot be loaded while a stream is captured.
            self.function(launch.kernel)?;
        }
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).map_err(refused("begin of graph capture"))?;
        let mut outcome = Ok(());
        for launch in launches {
            // SAFETY: the caller vouches for every launch; nothing runs while the stream is captured.
            outcome = outcome.and_then(|()| unsafe { self.launch(launch) });
        }
        // Ends the capture even after an error, so that the stream is usable again.
        let flags = sys::CUgraphInstantiate_flags(0);
        let graph = self.stream.end_capture(flags).map_err(refused("end of graph capture"));
        outcome?;
        Ok(graph?.map(DriverGraph))
    }

    unsafe fn replay(&mut self, graph: &DriverGraph) -> Result<(), OpError> {
        graph.0.launch().map_err(refused("graph launch"))
    }

    fn allocations(&self) -> u64 {
        self.allocations
    }

    fn synchronize(&mut self) -> Result<(), OpError> {
        self.stream.synchronize().map_err(refused("wait"))?;
        self.next_upload = 0;
        Ok(())
    }
}

impl DriverMemory {
    /// Bytes as they were asked for.
    pub fn bytes(&self) -> usize {
        self.bytes.min(self.slice.len())
    }
}
