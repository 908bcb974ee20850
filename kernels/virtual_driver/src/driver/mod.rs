//! The driver's objects, in safe Rust: devices, contexts, modules, streams, events, graphs, memory.
//!
//! A program holds handles; [`Driver`] knows the object behind each. Work goes from a [`stream::Stream`] to the
//! [`queue::Queue`] of its device, whose worker does it in order; a failure fails the [`context::Context`] for good, as
//! on hardware. While a stream captures, the same [`work::Work`] becomes the nodes of a [`graph::Graph`].
//!
//! `unsafe` is needed in three places: [`copying`] and [`memory_word`], which touch memory that was checked before, and
//! [`allocation`], which passes a promise of the program on.

pub mod allocation;
pub mod attribute;
pub mod capture;
pub mod code;
pub mod context;
pub mod copying;
pub mod device;
pub mod error;
pub mod event;
pub mod fat_binary;
pub mod function;
pub mod graph;
pub mod graph_exec;
pub mod handle;
pub mod launch;
pub mod ledger;
pub mod memory_word;
pub mod module;
pub mod node;
pub mod peer_copy;
pub mod pointer;
pub mod pool;
pub mod queue;
pub mod report;
pub mod settings;
pub mod stream;
pub mod user_object;
pub mod virtual_memory;
pub mod work;

use std::sync::{Arc, Mutex, OnceLock};

use allocation::Allocations;
use capture::Capture;
use context::Context;
use device::Device;
use error::{Error, Result};
use event::Event;
use function::Function;
use graph::Graph;
use graph_exec::GraphExec;
use handle::{Handle, Handles};
use ledger::Ledger;
use module::{Kernel, Library, Module};
use node::Node;
use pool::Pool;
use settings::Settings;
use stream::Stream;
use user_object::UserObject;
use virtual_memory::VirtualMemory;

use crate::machine;

/// Must be `1`, or the driver finds no device: nobody comes to the virtual device by accident.
pub const SELECT_VARIABLE: &str = "GOLDLAP_VIRTUAL_DRIVER";

/// The version of the API that is spoken: CUDA 13.0. Programs built for an older one are served as well, as by NVIDIA's
/// driver, and those built for a newer one mostly ask for no more.
pub const API_VERSION: i32 = 13000;

/// Everything that lives in this process.
#[derive(Debug)]
pub struct Driver {
    /// The devices.
    pub devices: Vec<Arc<Device>>,
    /// How kernels are executed.
    pub machine: machine::Options,
    /// All memory.
    pub allocations: Allocations,
    /// Reserved addresses and what is mapped to them.
    pub virtual_memory: VirtualMemory,
    /// Physical memory.
    pub physical: Handles<virtual_memory::Memory>,
    /// Contexts.
    pub contexts: Handles<Context>,
    /// Created and per-thread streams.
    pub streams: Handles<Stream>,
    /// Events.
    pub events: Handles<Event>,
    /// Modules.
    pub modules: Handles<Module>,
    /// Functions of modules.
    pub functions: Handles<Function>,
    /// Libraries.
    pub libraries: Handles<Library>,
    /// Kernels of libraries.
    pub kernels: Handles<Kernel>,
    /// Pools.
    pub pools: Handles<Pool>,
    /// Graphs.
    pub graphs: Handles<Graph>,
    /// Nodes of all graphs.
    pub nodes: Handles<Node>,
    /// Instantiated graphs.
    pub graph_execs: Handles<GraphExec>,
    /// Objects of the program that graphs hold.
    pub user_objects: Handles<UserObject>,
    /// Captures that go on.
    pub captures: Mutex<Vec<Arc<Capture>>>,
    /// Who made and freed what, where sanitizers are on.
    pub ledger: Ledger,
}

static DRIVER: OnceLock<Driver> = OnceLock::new();

/// The driver of this process.
///
/// # Errors
/// `NotInitialized` before [`initialise`].
pub fn driver() -> Result<&'static Driver> {
    DRIVER.get().ok_or(Error::NotInitialized)
}

/// Starts the driver, where the environment selects it; later calls find it started.
///
/// # Errors
/// `NoDevice` where it is not selected, `InvalidValue` where a variable is malformed; both are explained to people.
pub fn initialise() -> Result<()> {
    if DRIVER.get().is_some() {
        return Ok(());
    }
    if std::env::var_os(SELECT_VARIABLE).is_none_or(|value| value != "1") {
        report::tell(&format!(
            "this libcuda.so is a virtual driver and {SELECT_VARIABLE}=1 is not set, so it reports no device"
        ));
        return Err(Error::NoDevice);
    }
    let settings = Settings::from_environment().map_err(|what| {
        report::tell(&what);
        Error::InvalidValue
    })?;
    if settings.devices.is_empty() {
        return Err(Error::NoDevice);
    }
    let driver = DRIVER.get_or_init(|| Driver::new(&settings));
    if driver.ledger.is_on() {
        close_at_exit();
    }
    Ok(())
}

/// Has the ledger closed when the process ends.
fn close_at_exit() {
    unsafe extern "C" {
        fn atexit(function: extern "C" fn()) -> i32;
    }
    extern "C" fn close() {
        let close = std::panic::AssertUnwindSafe(|| driver().map(|driver| driver.ledger.close(driver)));
        // A panic has nowhere to go while a process ends.
        drop(std::panic::catch_unwind(close));
    }
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // SAFETY: `atexit` of the C library may be called at any time; `close` lives as long as this library and neither
        // unwinds nor needs anything that is gone by then.
        unsafe { atexit(close) };
    });
}

impl Driver {
    /// A driver with the devices that were asked for.
    pub fn new(settings: &Settings) -> Self {
        let seen = settings.devices.iter().enumerate();
        let devices: Vec<_> =
            seen.map(|(ordinal, number)| Arc::new(Device::new(ordinal, *number, settings.memory))).collect();
        let machine = machine::Options::default();
        let threads = settings.threads.unwrap_or(machine.threads);
        let pools = Handles::default();
        for device in &devices {
            pools.insert(device.default_pool.handle, Arc::clone(&device.default_pool));
        }
        Self {
            allocations: Allocations::new(devices.len(), settings.memory, settings.checks),
            devices,
            machine: machine::Options { threads, ..machine },
            virtual_memory: VirtualMemory::default(),
            physical: Handles::default(),
            contexts: Handles::default(),
            streams: Handles::default(),
            events: Handles::default(),
            modules: Handles::default(),
            functions: Handles::default(),
            libraries: Handles::default(),
            kernels: Handles::default(),
            pools,
            graphs: Handles::default(),
            nodes: Handles::default(),
            graph_execs: Handles::default(),
            user_objects: Handles::default(),
            captures: Mutex::default(),
            ledger: Ledger::new(settings.checks),
        }
    }

    /// The device with a number.
    ///
    /// # Errors
    /// `InvalidDevice`
    pub fn device(&self, ordinal: i32) -> Result<&Arc<Device>> {
        usize::try_from(ordinal).ok().and_then(|n| self.devices.get(n)).ok_or(Error::InvalidDevice)
    }

    /// Tells what a context that is gone still owns.
    fn tell_leaks_of(&self, context: Handle) {
        if !self.ledger.tells_leaks() {
            return;
        }
        let streams = self.streams.all().into_iter().filter(|stream| stream.context == context);
        let events = self.events.all().into_iter().filter(|event| event.context == context);
        let execs = self.graph_execs.all().into_iter().filter(|exec| exec.context().handle == context);
        let modules = self.modules.all().into_iter().filter(|module| module.context == context);
        let handles = streams.map(|stream| stream.handle).chain(events.map(|event| event.handle));
        let handles = handles.chain(execs.map(|exec| exec.handle)).chain(modules.map(|module| module.handle));
        self.ledger.leaked_objects(handles, "its context is destroyed");
        for (address, bytes) in self.allocations.left_by(context) {
            self.ledger.leaked_memory(address, bytes, "its context is destroyed");
        }
    }

    /// Takes away what belongs to a context that is gone.
    fn forget_context(&self, context: Handle) {
        self.tell_leaks_of(context);
        for stream in self.streams.all().iter().filter(|stream| stream.context == context) {
            if let Some(capture) = stream.capture() {
                capture::forget(&capture);
            }
            let _ = self.streams.remove(stream.handle);
        }
        for event in self.events.all().iter().filter(|event| event.context == context) {
            let _ = self.events.remove(event.handle);
        }
        for exec in self.graph_execs.all().iter().filter(|exec| exec.context().handle == context) {
            let _ = self.graph_execs.remove(exec.handle);
        }
        for module in self.modules.all().iter().filter(|module| module.context == context) {
            let _ = module.unload();
        }
        self.allocations.free_all_of(context);
    }
}
