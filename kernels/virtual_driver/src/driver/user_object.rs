//! User objects: things of the program whose life graphs can share.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::driver;
use super::error::{Error, Result};
use super::handle::{self, Handle};

/// A counted object of the program.
#[derive(Debug)]
pub struct UserObject {
    /// Its handle.
    pub handle: Handle,
    destroy: extern "C" fn(*mut c_void),
    argument: usize,
    count: AtomicU32,
}

/// Enters an object with so many holds on it.
///
/// # Errors
/// `NotInitialized`
pub fn create(destroy: extern "C" fn(*mut c_void), argument: usize, count: u32) -> Result<Handle> {
    let object = UserObject { handle: handle::fresh(), destroy, argument, count: AtomicU32::new(count) };
    let handle = object.handle;
    driver()?.user_objects.insert(handle, Arc::new(object));
    Ok(handle)
}

impl UserObject {
    /// Adds holds.
    pub fn retain(&self, count: u32) {
        self.count.fetch_add(count, Ordering::Relaxed);
    }
}

/// Takes holds away; with the last one the program's function is called.
///
/// # Errors
/// `InvalidHandle`; `InvalidValue` for more holds than there are.
pub fn release(handle: Handle, count: u32) -> Result<()> {
    let object = driver()?.user_objects.get(handle)?;
    let take = |held: u32| held.checked_sub(count);
    let before = object.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
    let before = before.map_err(|_| Error::InvalidValue)?;
    if before == count {
        driver()?.user_objects.remove(handle)?;
        (object.destroy)(object.argument as *mut c_void);
    }
    Ok(())
}
