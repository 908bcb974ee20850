//! Virtual memory management.

use std::os::fd::{BorrowedFd, IntoRawFd as _};

use super::call::{AnyOut, In, Out};
use super::layout::{Access, AllocationProps, Location};
use crate::driver::error::{Error, Result};
use crate::driver::{Driver, context, driver, virtual_memory};
use crate::memory::GRANULARITY;

/// `CU_MEM_LOCATION_TYPE_DEVICE`
const ON_DEVICE: u32 = 1;
/// `CU_MEM_ALLOCATION_TYPE_PINNED`
const PINNED: u32 = 1;
/// `CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR`
const FILE_DESCRIPTOR: u32 = 1;

fn device_of(driver: &Driver, location: Location) -> Result<usize> {
    if location.kind != ON_DEVICE {
        return Err(Error::InvalidValue);
    }
    Ok(driver.device(location.id)?.ordinal)
}

fn check_props(driver: &Driver, props: &AllocationProps) -> Result<usize> {
    if props.kind != PINNED {
        return Err(Error::InvalidValue);
    }
    if props.handle_types & !FILE_DESCRIPTOR != 0 {
        return Err(Error::NotSupported);
    }
    device_of(driver, props.location)
}

api! {
    table TABLE;

    fn cuMemGetAllocationGranularity(bytes: Out<usize>, props: In<AllocationProps>, which: u32) {
        check_props(driver()?, &props.get()?)?;
        if which > 1 {
            return Err(Error::InvalidValue);
        }
        bytes.put(GRANULARITY as usize)
    }

    fn cuMemCreate(out: Out<usize>, bytes: usize, props: In<AllocationProps>, flags: u64) {
        let (driver, props) = (driver()?, props.get()?);
        out.check()?;
        let device = check_props(driver, &props)?;
        if flags != 0 {
            return Err(Error::InvalidValue);
        }
        out.put(virtual_memory::create(driver, device, bytes as u64, props.handle_types != 0)?)
    }

    fn cuMemRelease(handle: usize) {
        virtual_memory::release(driver()?, handle)
    }

    fn cuMemAddressReserve(out: Out<u64>, bytes: usize, alignment: usize, _hint: u64, flags: u64) {
        out.check()?;
        if flags != 0 {
            return Err(Error::InvalidValue);
        }
        out.put(driver()?.virtual_memory.reserve(bytes as u64, alignment as u64)?)
    }

    fn cuMemAddressFree(address: u64, bytes: usize) {
        driver()?.virtual_memory.free(address, bytes as u64)
    }

    fn cuMemMap(address: u64, bytes: usize, offset: usize, handle: usize, flags: u64) {
        let driver = driver()?;
        let memory = driver.physical.get(handle).map_err(|_| Error::InvalidValue)?;
        if offset != 0 || flags != 0 {
            return Err(Error::InvalidValue);
        }
        driver.virtual_memory.map(address, bytes as u64, &memory)
    }

    fn cuMemUnmap(address: u64, bytes: usize) {
        let driver = driver()?;
        driver.virtual_memory.unmap(driver, address, bytes as u64)
    }

    fn cuMemSetAccess(address: u64, bytes: usize, accesses: In<Access>, count: usize) {
        let driver = driver()?;
        let wanted = accesses.many(count)?.into_iter().map(|access| {
            let device = device_of(driver, access.location)?;
            if matches!(access.flags, 0 | 1 | 3) { Ok((device, access.flags)) } else { Err(Error::InvalidValue) }
        });
        let wanted = wanted.collect::<Result<Vec<_>>>()?;
        if wanted.is_empty() {
            return Err(Error::InvalidValue);
        }
        driver.virtual_memory.set_access(driver, address, bytes as u64, &wanted)
    }

    fn cuMemGetAccess(flags: Out<u64>, location: In<Location>, address: u64) {
        let driver = driver()?;
        let device = device_of(driver, location.get()?)?;
        flags.put(u64::from(driver.virtual_memory.access(device, address)?))
    }

    fn cuMemRetainAllocationHandle(out: Out<usize>, address: u64) {
        let driver = driver()?;
        out.check()?;
        out.put(driver.virtual_memory.retain(driver, address)?)
    }

    fn cuMemGetAllocationPropertiesFromHandle(props: Out<AllocationProps>, handle: usize) {
        let memory = driver()?.physical.get(handle).map_err(|_| Error::InvalidValue)?;
        props.put(AllocationProps {
            kind: PINNED,
            handle_types: if memory.is_shareable { FILE_DESCRIPTOR } else { 0 },
            location: Location { kind: ON_DEVICE, id: memory.device as i32 },
            metadata: 0,
            flags: [0; 8],
        })
    }

    fn cuMemExportToShareableHandle(out: AnyOut, handle: usize, kind: u32, flags: u64) {
        let memory = driver()?.physical.get(handle).map_err(|_| Error::InvalidValue)?;
        let out = out.as_element::<i32>();
        out.check()?;
        if flags != 0 || kind != FILE_DESCRIPTOR || !memory.is_shareable {
            return Err(Error::InvalidValue);
        }
        let file = memory.physical.share().ok_or(Error::OperatingSystem)?;
        out.put(file.into_raw_fd())
    }

    fn cuMemImportFromShareableHandle(out: Out<usize>, file: usize, kind: u32) {
        let driver = driver()?;
        out.check()?;
        let number = i32::try_from(file).ok().filter(|_| kind == FILE_DESCRIPTOR).ok_or(Error::InvalidValue)?;
        let device = context::current()?.device.ordinal;
        // SAFETY: the API obliges the program to pass an open file descriptor; a closed one fails to be copied.
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        let file = file.try_clone_to_owned().map_err(|_| Error::InvalidValue)?;
        out.put(virtual_memory::import(driver, device, file)?)
    }
}
