//! The border: arguments come in as checked types, results go out as codes, panics stay inside.
//!
//! The types here are what a pointer argument of the API becomes. They have no public constructor and the layout of the
//! pointer they hold, so a value of them can only come from a caller of an exported function, who owes us that it is null
//! or valid (see [`super`]). That is the ground on which every `unsafe` block of this file stands.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::driver::driver;
use crate::driver::error::{Error, Result, name_of};
use crate::driver::report;
use crate::driver::stream::{self, Stream};

thread_local! {
    static THREAD_STREAM: Cell<bool> = const { Cell::new(false) };
}

/// Runs the body of an exported function.
pub(super) fn guard(name: &'static str, body: impl FnOnce() -> Result<()>) -> u32 {
    let ledger = driver().ok().map(|driver| &driver.ledger).filter(|ledger| ledger.is_on());
    if let Some(ledger) = ledger {
        ledger.begin(name);
    }
    let code = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => error.code(),
        Err(_) => {
            report::tell(&format!("{name} has panicked; this is a defect of the virtual driver"));
            Error::Unknown.code()
        }
    };
    if let Some(ledger) = ledger {
        ledger.end();
    }
    if report::is_tracing() {
        let result = name_of(code).map_or("", |name| name.to_str().unwrap_or_default());
        report::tell(&format!("{name} -> {result}"));
    }
    code
}

/// Runs a function for which stream 0 is the calling thread's own default stream.
pub(super) fn with_thread_stream(run: impl FnOnce() -> u32) -> u32 {
    let before = THREAD_STREAM.replace(true);
    let code = run();
    THREAD_STREAM.set(before);
    code
}

/// The stream that a handle stands for in this call.
pub(super) fn stream_of(handle: usize) -> Result<Arc<Stream>> {
    stream::resolve(handle, THREAD_STREAM.get())
}

/// Where a result is to be written.
#[repr(transparent)]
pub(super) struct Out<T>(*mut T);

impl<T> Clone for Out<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Out<T> {}

impl<T> Out<T> {
    /// Whether the caller does not want the result.
    pub(super) fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Fails where the result could not be written.
    pub(super) fn check(self) -> Result<()> {
        if self.0.is_null() { Err(Error::InvalidValue) } else { Ok(()) }
    }

    /// Writes the result, where it is wanted.
    pub(super) fn put_if_wanted(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: not null, so valid for a write of `T` by the rules of the API.
            unsafe { self.0.write_unaligned(value) };
        }
    }

    /// Writes the result.
    pub(super) fn put(self, value: T) -> Result<()> {
        self.check()?;
        self.put_if_wanted(value);
        Ok(())
    }

    /// Writes up to `room` results, one behind the other.
    pub(super) fn put_many(self, values: impl IntoIterator<Item = T>, room: usize) {
        if self.0.is_null() {
            return;
        }
        for (n, value) in values.into_iter().take(room).enumerate() {
            // SAFETY: not null, so valid for `room` elements by the rules of the API, and `n < room`.
            unsafe { self.0.add(n).write_unaligned(value) };
        }
    }

    /// What the caller left there.
    pub(super) fn current(self) -> Result<T>
    where
        T: Copy,
    {
        In(self.0.cast_const()).get()
    }
}

/// Where an argument can be read.
#[repr(transparent)]
pub(super) struct In<T>(*const T);

impl<T> Clone for In<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for In<T> {}

impl<T> In<T> {
    /// Whether there is none.
    pub(super) fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The address.
    pub(super) fn address(self) -> u64 {
        self.0 as u64
    }
}

impl<T: Copy> In<T> {
    /// Reads it.
    pub(super) fn get(self) -> Result<T> {
        if self.0.is_null() {
            return Err(Error::InvalidValue);
        }
        // SAFETY: not null, so valid for a read of `T` by the rules of the API.
        Ok(unsafe { self.0.read_unaligned() })
    }

    /// Reads `count` of them; none may be at null.
    pub(super) fn many(self, count: usize) -> Result<Vec<T>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        self.get()?;
        // SAFETY: not null, so valid for `count` elements by the rules of the API.
        Ok((0..count).map(|n| unsafe { self.0.add(n).read_unaligned() }).collect())
    }
}

impl In<c_char> {
    /// Reads a text that ends with a zero byte.
    pub(super) fn text(self) -> Result<String> {
        if self.0.is_null() {
            return Err(Error::InvalidValue);
        }
        // SAFETY: not null, so a text with a zero byte at its end by the rules of the API.
        let text = unsafe { CStr::from_ptr(self.0) };
        text.to_str().map(str::to_owned).map_err(|_| Error::InvalidValue)
    }
}

/// Bytes of any type.
pub(super) type Bytes = In<c_void>;

impl Bytes {
    /// Reads `count` bytes.
    pub(super) fn bytes(self, count: usize) -> Result<Vec<u8>> {
        In(self.0.cast::<u8>()).many(count)
    }

    /// The same memory seen as elements of a type.
    pub(super) fn as_elements<T: Copy>(self) -> In<T> {
        In(self.0.cast())
    }
}

/// Where a result of any type is to be written.
pub(super) type AnyOut = Out<c_void>;

impl AnyOut {
    /// The same memory seen as an element of a type.
    pub(super) fn as_element<T>(self) -> Out<T> {
        Out(self.0.cast())
    }
}

/// A pointer that a caller put into a structure, seen as what it points to.
pub(super) fn pointer_in_structure<T>(address: usize) -> In<T> {
    In(address as *const T)
}

/// As [`pointer_in_structure`], for results.
pub(super) fn out_pointer_in_structure<T>(address: usize) -> Out<T> {
    Out(address as *mut T)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_code() {
        assert_eq!(guard("cuPlanted", || panic!("planted")), 999);
        assert_eq!(guard("cuPlanted", || Err(Error::NotFound)), 500);
    }

    #[test]
    fn null_is_refused_and_values_pass() {
        let mut place = 0_u32;
        assert_eq!(Out(&raw mut place).put(7), Ok(()));
        assert_eq!(place, 7);
        assert_eq!(Out::<u32>(std::ptr::null_mut()).put(7), Err(Error::InvalidValue));
        assert_eq!(In([1_u16, 2, 3].as_ptr()).many(3), Ok(vec![1, 2, 3]));
        assert_eq!(In::<u16>(std::ptr::null()).many(0), Ok(vec![]));
        assert_eq!(In(c"name".as_ptr()).text(), Ok("name".into()));
    }
}
