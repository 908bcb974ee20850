//! Contexts: what belongs together and fails together, and the stack of them that every thread has.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::device::Device;
use super::error::{Error, Result};
use super::handle::{self, Handle};
use super::stream::{Stream, StreamKind};
use super::{Driver, driver, queue};

thread_local! {
    static STACK: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
    static THREAD: Cell<usize> = const { Cell::new(0) };
}

/// Limits that can be read and set: stack, printf buffer, heap, and so on, by `CU_LIMIT_*`.
const DEFAULT_LIMITS: [u64; 10] = [1024, 1 << 20, 8 << 20, 2, 2048, 64, 0, 0, 0, 0];
/// Limits that the device has; the others are refused.
const SUPPORTED_LIMITS: std::ops::RangeInclusive<u32> = 0..=6;

/// A context.
#[derive(Debug)]
pub struct Context {
    /// Its handle.
    pub handle: Handle,
    /// Its device.
    pub device: Arc<Device>,
    /// Scheduling flags, kept for who asks.
    pub flags: AtomicU32,
    /// Preferred cache configuration, kept for who asks.
    pub cache: AtomicU32,
    /// Contexts to whose memory access was enabled.
    pub peers: Mutex<HashSet<Handle>>,
    limits: Mutex<[u64; 10]>,
    failure: Mutex<Option<Error>>,
    legacy: OnceLock<Arc<Stream>>,
}

/// The primary context of a device.
#[derive(Debug)]
pub struct Primary {
    /// Its handle, the same whenever it is made again.
    pub handle: Handle,
    /// The context, while somebody holds it.
    pub context: Option<Arc<Context>>,
    /// How many hold it.
    pub retained: u32,
    /// Flags for the next time it is made.
    pub flags: u32,
}

impl Default for Primary {
    fn default() -> Self {
        Self { handle: handle::fresh(), context: None, retained: 0, flags: 0 }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// Makes a context and enters it.
    pub fn create(driver: &Driver, device: &Arc<Device>, flags: u32, handle: Handle) -> Arc<Self> {
        let context = Arc::new(Self {
            handle,
            device: Arc::clone(device),
            flags: AtomicU32::new(flags),
            cache: AtomicU32::new(0),
            peers: Mutex::default(),
            limits: Mutex::new(DEFAULT_LIMITS),
            failure: Mutex::default(),
            legacy: OnceLock::new(),
        });
        driver.contexts.insert(context.handle, Arc::clone(&context));
        context
    }

    /// The legacy default stream.
    pub fn legacy_stream(self: &Arc<Self>) -> Arc<Stream> {
        Arc::clone(self.legacy.get_or_init(|| Stream::new(self, StreamKind::Legacy, 0, 0)))
    }

    /// Fails where a kernel of this context has failed before.
    ///
    /// # Errors
    /// The error of the first failure.
    pub fn check(&self) -> Result<()> {
        lock(&self.failure).map_or(Ok(()), Err)
    }

    /// Remembers a failure; the first one stays.
    pub fn fail(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
    }

    /// Reads a limit.
    ///
    /// # Errors
    /// `UnsupportedLimit`
    pub fn limit(&self, limit: u32) -> Result<u64> {
        known_limit(limit).map(|index| lock(&self.limits)[index])
    }

    /// Sets a limit.
    ///
    /// # Errors
    /// `UnsupportedLimit`
    pub fn set_limit(&self, limit: u32, value: u64) -> Result<()> {
        known_limit(limit).map(|index| lock(&self.limits)[index] = value)
    }

    /// Waits for all work, then takes the context and everything in it away.
    ///
    /// # Errors
    /// `InvalidContext` where it is gone already; `NotPermitted` inside a host function.
    pub fn destroy(&self, driver: &Driver) -> Result<()> {
        self.device.queue.drain()?;
        driver.contexts.remove(self.handle).map_err(|_| Error::InvalidContext)?;
        STACK.with_borrow_mut(|stack| stack.pop_if(|top| *top == self.handle));
        driver.forget_context(self.handle);
        Ok(())
    }
}

/// # Errors
/// `UnsupportedLimit` for one the device has not, `InvalidValue` for none at all.
fn known_limit(limit: u32) -> Result<usize> {
    match limit {
        number if SUPPORTED_LIMITS.contains(&number) => Ok(number as usize),
        7..=9 => Err(Error::UnsupportedLimit),
        _ => Err(Error::InvalidValue),
    }
}

/// The context of the calling thread, whether it has failed or not.
///
/// # Errors
/// `InvalidContext` where there is none, `ContextIsDestroyed` where it is gone, `NotInitialized`; `NotPermitted` inside a
/// host function.
pub fn current_even_if_failed() -> Result<Arc<Context>> {
    let driver = driver()?;
    queue::refuse_in_callback()?;
    let top = STACK.with_borrow(|stack| stack.last().copied()).ok_or(Error::InvalidContext)?;
    driver.contexts.find(top).ok_or(Error::ContextIsDestroyed)
}

/// The context of the calling thread.
///
/// # Errors
/// As [`current_even_if_failed`], and the error by which the context has failed.
pub fn current() -> Result<Arc<Context>> {
    let context = current_even_if_failed()?;
    context.check()?;
    Ok(context)
}

/// The handle of the calling thread's context, zero where there is none.
pub fn current_handle() -> Handle {
    STACK.with_borrow(|stack| stack.last().copied().unwrap_or_default())
}

/// Puts a context on the calling thread's stack.
pub fn push(context: &Context) {
    STACK.with_borrow_mut(|stack| stack.push(context.handle));
}

/// Takes the uppermost context off the calling thread's stack.
///
/// # Errors
/// `InvalidContext` where there is none.
pub fn pop() -> Result<Handle> {
    STACK.with_borrow_mut(Vec::pop).ok_or(Error::InvalidContext)
}

/// Replaces the uppermost context of the calling thread; `None` takes it off.
pub fn set_current(context: Option<&Context>) {
    STACK.with_borrow_mut(|stack| {
        stack.pop();
        stack.extend(context.map(|context| context.handle));
    });
}

/// A number for the calling thread, not used twice.
pub fn thread_number() -> usize {
    if THREAD.get() == 0 {
        THREAD.set(handle::fresh());
    }
    THREAD.get()
}

/// Takes a hold on a device's primary context, making it first where nobody holds it.
///
/// # Errors
/// `NotPermitted` inside a host function.
pub fn retain_primary(driver: &Driver, device: &Arc<Device>) -> Result<Arc<Context>> {
    queue::refuse_in_callback()?;
    let mut primary = lock(&device.primary);
    primary.retained += 1;
    let (flags, handle) = (primary.flags, primary.handle);
    Ok(Arc::clone(primary.context.get_or_insert_with(|| Context::create(driver, device, flags, handle))))
}

/// Lets go of a device's primary context; the last one takes it away.
///
/// # Errors
/// `InvalidContext` where nobody holds it; `NotPermitted` inside a host function.
pub fn release_primary(driver: &Driver, device: &Device) -> Result<()> {
    queue::refuse_in_callback()?;
    let mut primary = lock(&device.primary);
    primary.retained = primary.retained.checked_sub(1).ok_or(Error::InvalidContext)?;
    let last = if primary.retained == 0 { primary.context.take() } else { None };
    // Under the lock: whoever takes hold now makes a context with the same handle, and it must not be taken for the old one.
    last.map_or(Ok(()), |context| context.destroy(driver))
}

/// Takes a device's primary context away, whoever holds it.
///
/// # Errors
/// As [`Context::destroy`].
pub fn reset_primary(driver: &Driver, device: &Device) -> Result<()> {
    queue::refuse_in_callback()?;
    let mut primary = lock(&device.primary);
    primary.retained = 0;
    // Under the lock, as above.
    primary.context.take().map_or(Ok(()), |context| context.destroy(driver))
}

/// Flags of a device's primary context and whether it exists.
pub fn primary_state(device: &Device) -> (u32, bool) {
    let primary = lock(&device.primary);
    let live = primary.context.as_ref().map(|context| context.flags.load(Ordering::Relaxed));
    (live.unwrap_or(primary.flags), live.is_some())
}

/// Sets the flags of a device's primary context, at once where it exists.
pub fn set_primary_flags(device: &Device, flags: u32) {
    let mut primary = lock(&device.primary);
    primary.flags = flags;
    if let Some(context) = &primary.context {
        context.flags.store(flags, Ordering::Relaxed);
    }
}

/// Whether a handle is that of a device's primary context.
pub fn is_primary(device: &Device, handle: Handle) -> bool {
    lock(&device.primary).handle == handle
}
