//! Memory pools.

use std::sync::{Arc, PoisonError};

use super::call::{AnyOut, In, Out};
use super::layout::{Access, Location, PoolProps};
use crate::driver::device::Device;
use crate::driver::driver;
use crate::driver::error::{Error, Result};
use crate::driver::pool::{Pool, PoolValue, is_flag};
use crate::driver::stream::Stream;
use crate::driver::work::Work;
use crate::memory::Kind;

/// `CU_MEM_LOCATION_TYPE_DEVICE`
const ON_DEVICE: u32 = 1;
/// `CU_MEM_ALLOCATION_TYPE_PINNED`
const PINNED: u32 = 1;

/// The pool that a device's asynchronous allocations take.
pub(super) fn current(device: &Device) -> Arc<Pool> {
    Arc::clone(&device.current_pool.lock().unwrap_or_else(PoisonError::into_inner))
}

fn set_current(device: &Device, pool: usize) -> Result<()> {
    let pool = driver()?.pools.get(pool)?;
    if pool.device != device.ordinal {
        return Err(Error::InvalidValue);
    }
    *device.current_pool.lock().unwrap_or_else(PoisonError::into_inner) = pool;
    Ok(())
}

/// The device of a place; pools of host memory and of managed memory are not there.
fn device_at(location: Location, kind: u32) -> Result<&'static Arc<Device>> {
    if kind != PINNED || location.kind != ON_DEVICE {
        return Err(Error::NotSupported);
    }
    driver()?.device(location.id)
}

/// Allocates from a pool, in stream order. The memory can be used at once; a captured allocation lives until it is freed.
pub(super) fn allocate(address: Out<u64>, bytes: usize, pool: Arc<Pool>, stream: &Stream) -> Result<()> {
    address.check()?;
    let context = stream.owner()?;
    let at = driver()?.allocations.allocate(&context, bytes as u64, Kind::Device, 0, Some(pool))?;
    stream.enqueue(Work::Allocated(at, bytes as u64))?;
    address.put(at)
}

api! {
    table TABLE;

    fn cuDeviceGetDefaultMemPool(pool: Out<usize>, device: i32) {
        pool.put(driver()?.device(device)?.default_pool.handle)
    }

    fn cuDeviceGetMemPool(pool: Out<usize>, device: i32) {
        pool.put(current(driver()?.device(device)?).handle)
    }

    fn cuDeviceSetMemPool(device: i32, pool: usize) {
        set_current(driver()?.device(device)?, pool)
    }

    fn cuMemGetDefaultMemPool(pool: Out<usize>, location: In<Location>, kind: u32) {
        pool.put(device_at(location.get()?, kind)?.default_pool.handle)
    }

    fn cuMemGetMemPool(pool: Out<usize>, location: In<Location>, kind: u32) {
        pool.put(current(device_at(location.get()?, kind)?).handle)
    }

    fn cuMemSetMemPool(location: In<Location>, kind: u32, pool: usize) {
        set_current(device_at(location.get()?, kind)?, pool)
    }

    fn cuMemPoolCreate(out: Out<usize>, props: In<PoolProps>) {
        let (driver, props) = (driver()?, props.get()?);
        if props.allocation_type != PINNED || props.location.kind != ON_DEVICE {
            return Err(Error::InvalidValue);
        }
        if props.handle_types != 0 {
            return Err(Error::NotSupported);
        }
        let device = driver.device(props.location.id)?;
        let pool = Arc::new(Pool::new(device.ordinal));
        driver.pools.insert(pool.handle, Arc::clone(&pool));
        out.put(pool.handle)
    }

    fn cuMemPoolDestroy(handle: usize) {
        let driver = driver()?;
        let pool = driver.pools.get(handle)?;
        let device = &driver.devices[pool.device];
        if device.default_pool.handle == handle {
            return Err(Error::InvalidValue);
        }
        let mut current = device.current_pool.lock().unwrap_or_else(PoisonError::into_inner);
        if current.handle == handle {
            *current = Arc::clone(&device.default_pool);
        }
        drop(current);
        driver.pools.remove(handle).map(drop)
    }

    fn cuMemPoolTrimTo(pool: usize, _keep: usize) {
        driver()?.pools.get(pool).map(drop)
    }

    fn cuMemPoolGetAttribute(pool: usize, attribute: u32, value: AnyOut) {
        match driver()?.pools.get(pool)?.attribute(attribute)? {
            PoolValue::Flag(flag) => value.as_element().put(flag),
            PoolValue::Bytes(bytes) => value.as_element().put(bytes),
        }
    }

    fn cuMemPoolSetAttribute(pool: usize, attribute: u32, value: AnyOut) {
        let pool = driver()?.pools.get(pool)?;
        let value = if is_flag(attribute) {
            PoolValue::Flag(value.as_element().current()?)
        } else {
            PoolValue::Bytes(value.as_element().current()?)
        };
        pool.set_attribute(attribute, value)
    }

    fn cuMemPoolSetAccess(pool: usize, accesses: In<Access>, count: usize) {
        let driver = driver()?;
        driver.pools.get(pool)?;
        for access in accesses.many(count)? {
            if access.location.kind != ON_DEVICE {
                return Err(Error::InvalidValue);
            }
            driver.device(access.location.id)?;
        }
        Ok(())
    }

    fn cuMemPoolGetAccess(flags: Out<u32>, pool: usize, location: In<Location>) {
        const READ_AND_WRITE: u32 = 3;
        let driver = driver()?;
        driver.pools.get(pool)?;
        driver.device(location.get()?.id)?;
        flags.put(READ_AND_WRITE)
    }
}
