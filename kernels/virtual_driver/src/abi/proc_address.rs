//! `cuGetProcAddress`: functions by name, API version and kind of default stream.

use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::sync::LazyLock;

use super::call::{In, Out};
use super::names::VERSIONS;
use super::{SERVED, refused};
use crate::driver::error::{Error, Result};

/// An address of a function; it is never read or written through.
#[derive(Clone, Copy)]
struct Address(*const ());

// SAFETY: the address of a function is a plain number, valid in every thread.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

static EXPORTS: LazyLock<HashMap<&'static str, Address>> = LazyLock::new(|| {
    let all = SERVED.iter().copied().flatten().chain(refused::TABLE);
    all.map(|(name, address)| (*name, Address(*address))).collect()
});

/// `CU_GET_PROC_ADDRESS_*`
const SUCCESS: u32 = 0;
const NOT_FOUND: u32 = 1;
const VERSION_TOO_LOW: u32 = 2;
const PER_THREAD_STREAM: u64 = 2;
const KNOWN_FLAGS: u64 = 3;

/// The name under which a function of an API version is exported, and whether the version is too low for it.
fn exported_name(symbol: &str, version: i32) -> std::result::Result<&str, u32> {
    let Some((_, versions)) = VERSIONS.iter().find(|(name, _)| *name == symbol) else {
        return Ok(symbol);
    };
    let fits = versions.iter().rev().find(|(since, _)| *since <= version);
    fits.map(|(_, name)| *name).ok_or(VERSION_TOO_LOW)
}

/// The address of a function.
///
/// # Errors
/// `NotFound` together with why.
fn find(symbol: &str, version: i32, flags: u64) -> std::result::Result<*const (), u32> {
    let name = exported_name(symbol, version)?;
    if flags & PER_THREAD_STREAM != 0 {
        for suffix in ["_ptsz", "_ptds"] {
            if let Some(address) = EXPORTS.get(format!("{name}{suffix}").as_str()) {
                return Ok(address.0);
            }
        }
    }
    EXPORTS.get(name).map(|address| address.0).ok_or(NOT_FOUND)
}

fn answer(
    symbol: In<c_char>,
    out: Out<*const c_void>,
    version: i32,
    flags: u64,
    status: Out<u32>,
) -> Result<()> {
    out.check()?;
    let symbol = symbol.text()?;
    if flags & !KNOWN_FLAGS != 0 || flags == KNOWN_FLAGS {
        return Err(Error::InvalidValue);
    }
    match find(&symbol, version, flags) {
        Ok(address) => {
            status.put_if_wanted(SUCCESS);
            out.put(address.cast())
        }
        Err(why) => {
            status.put_if_wanted(why);
            out.put(std::ptr::null())?;
            Err(Error::NotFound)
        }
    }
}

fn nowhere() -> Out<u32> {
    super::call::out_pointer_in_structure(0)
}

api! {
    table TABLE;

    fn cuGetProcAddress(symbol: In<c_char>, out: Out<*const c_void>, version: i32, flags: u64) {
        answer(symbol, out, version, flags, nowhere())
    }

    fn cuGetProcAddress_v2(symbol: In<c_char>, out: Out<*const c_void>, version: i32, flags: u64, status: Out<u32>) {
        answer(symbol, out, version, flags, status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_and_both_default_streams_are_found() {
        let address = |name: &str| EXPORTS[name].0;
        assert_eq!(find("cuMemAlloc", 12080, 0), Ok(address("cuMemAlloc_v2")));
        assert_eq!(find("cuMemAlloc", 2000, 0), Err(VERSION_TOO_LOW));
        assert_eq!(find("cuLaunchKernel", 12080, 0), Ok(address("cuLaunchKernel")));
        assert_eq!(find("cuLaunchKernel", 12080, 2), Ok(address("cuLaunchKernel_ptsz")));
        assert_eq!(find("cuMemcpyHtoD", 12080, 2), Ok(address("cuMemcpyHtoD_v2_ptds")));
        assert_eq!(find("cuCtxCreate", 11000, 0), Ok(address("cuCtxCreate_v2")));
        assert_eq!(find("cuCtxCreate", 13000, 0), Ok(address("cuCtxCreate_v4")));
        assert_eq!(find("cuNoSuchThing", 12080, 0), Err(NOT_FOUND));
    }

    #[test]
    fn whatever_the_version_table_names_is_exported() {
        for (symbol, versions) in VERSIONS {
            for (version, name) in *versions {
                assert!(EXPORTS.contains_key(name), "{symbol} {version}: {name}");
            }
            assert!(versions.is_sorted(), "{symbol}");
        }
    }

    #[test]
    fn no_name_is_exported_twice() {
        let count = SERVED.iter().map(|table| table.len()).sum::<usize>() + refused::TABLE.len();
        assert_eq!(EXPORTS.len(), count);
    }
}
