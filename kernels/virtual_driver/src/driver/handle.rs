//! Handles: the numbers that stand for the driver's objects in a program's hands.
//!
//! A handle is never a pointer to the object, so a wild, stale or foreign handle is answered with
//! `CUDA_ERROR_INVALID_HANDLE` instead of being followed. Numbers are not used twice in a process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::error::{Error, Result};

/// What a program holds: an opaque number, zero for none.
pub type Handle = usize;

/// Looks like an address that nobody owns, for programs that print it.
static NEXT: AtomicUsize = AtomicUsize::new(0x0600_0000_0000);

/// A number that no other object has.
pub fn fresh() -> Handle {
    NEXT.fetch_add(0x40, Ordering::Relaxed)
}

/// The live objects of one kind.
#[derive(Debug)]
pub struct Handles<T>(RwLock<HashMap<Handle, Arc<T>>>);

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T> Handles<T> {
    /// Enters an object under a number that it may want to know.
    pub fn insert(&self, handle: Handle, object: Arc<T>) {
        if let Ok(driver) = super::driver() {
            driver.ledger.made(std::any::type_name::<T>(), handle);
        }
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(handle, object);
    }

    /// The object.
    ///
    /// # Errors
    /// `InvalidHandle` where no live object of this kind has the number.
    pub fn get(&self, handle: Handle) -> Result<Arc<T>> {
        self.find(handle).ok_or(Error::InvalidHandle)
    }

    /// The object, where there is one.
    pub fn find(&self, handle: Handle) -> Option<Arc<T>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&handle).cloned()
    }

    /// Takes the object out.
    ///
    /// # Errors
    /// `InvalidHandle` where no live object of this kind has the number.
    pub fn remove(&self, handle: Handle) -> Result<Arc<T>> {
        if let Ok(driver) = super::driver() {
            driver.ledger.destroyed(handle);
        }
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&handle).ok_or(Error::InvalidHandle)
    }

    /// All live objects.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_or_wild_handle_is_refused() {
        let handles = Handles::default();
        let handle = fresh();
        handles.insert(handle, Arc::new(7));
        assert_eq!(handles.get(handle).map(|n| *n), Ok(7));
        assert!(handles.remove(handle).is_ok());
        assert_eq!(handles.get(handle), Err(Error::InvalidHandle));
        assert_eq!(handles.get(fresh()), Err(Error::InvalidHandle));
    }
}
