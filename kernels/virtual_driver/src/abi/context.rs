//! Contexts and the stack of them.

use std::sync::atomic::Ordering;

use super::call::{Bytes, In, Out};
use crate::driver::error::{Error, Result};
use crate::driver::stream::GREATEST_PRIORITY;
use crate::driver::{capture, context, driver};

/// Number of the limit.
const MALLOC_HEAP_SIZE: u32 = 2;

fn create(out: Out<usize>, flags: u32, device: i32) -> Result<()> {
    out.check()?;
    let driver = driver()?;
    let device = driver.device(device)?;
    let made = context::Context::create(driver, device, flags, crate::driver::handle::fresh());
    context::push(&made);
    out.put(made.handle)
}

fn destroy(handle: usize) -> Result<()> {
    let driver = driver()?;
    let context = driver.contexts.find(handle).ok_or(Error::InvalidContext)?;
    if driver.devices.iter().any(|device| context::is_primary(device, handle)) {
        return Err(Error::InvalidContext);
    }
    context.destroy(driver)
}

fn synchronize(context: &context::Context) -> Result<()> {
    context.check()?;
    capture::check_unsafe_call()?;
    context.device.queue.drain()?;
    context.check()
}

api! {
    table TABLE;

    fn cuCtxCreate_v2(out: Out<usize>, flags: u32, device: i32) {
        create(out, flags, device)
    }

    fn cuCtxCreate_v3(out: Out<usize>, _affinity: Bytes, count: i32, flags: u32, device: i32) {
        if count != 0 {
            return Err(Error::UnsupportedExecAffinity);
        }
        create(out, flags, device)
    }

    fn cuCtxCreate_v4(out: Out<usize>, params: In<[usize; 3]>, flags: u32, device: i32) {
        if !params.is_null() && params.get()? != [0; 3] {
            return Err(Error::NotSupported);
        }
        create(out, flags, device)
    }

    fn cuCtxDestroy_v2(handle: usize) {
        destroy(handle)
    }

    fn cuCtxPushCurrent_v2(handle: usize) {
        context::push(&*driver()?.contexts.find(handle).ok_or(Error::InvalidContext)?);
        Ok(())
    }

    fn cuCtxPopCurrent_v2(out: Out<usize>) {
        driver()?;
        out.put_if_wanted(context::pop()?);
        Ok(())
    }

    fn cuCtxDestroy(handle: usize) {
        destroy(handle)
    }

    fn cuCtxPushCurrent(handle: usize) {
        context::push(&*driver()?.contexts.find(handle).ok_or(Error::InvalidContext)?);
        Ok(())
    }

    fn cuCtxPopCurrent(out: Out<usize>) {
        driver()?;
        out.put_if_wanted(context::pop()?);
        Ok(())
    }

    fn cuCtxSetCurrent(handle: usize) {
        let driver = driver()?;
        if handle == 0 {
            context::set_current(None);
        } else {
            context::set_current(Some(&*driver.contexts.find(handle).ok_or(Error::InvalidContext)?));
        }
        Ok(())
    }

    fn cuCtxGetCurrent(out: Out<usize>) {
        driver()?;
        out.put(context::current_handle())
    }

    fn cuCtxGetDevice(device: Out<i32>) {
        device.put(context::current_even_if_failed()?.device.ordinal as i32)
    }

    fn cuCtxGetFlags(flags: Out<u32>) {
        flags.put(context::current_even_if_failed()?.flags.load(Ordering::Relaxed))
    }

    fn cuCtxSetFlags(flags: u32) {
        context::current()?.flags.store(flags, Ordering::Relaxed);
        Ok(())
    }

    fn cuCtxGetId(handle: usize, id: Out<u64>) {
        let handle = if handle == 0 { context::current_even_if_failed()?.handle } else { handle };
        driver()?.contexts.find(handle).ok_or(Error::ContextIsDestroyed)?;
        id.put(handle as u64)
    }

    fn cuCtxSynchronize() {
        synchronize(&*context::current()?)
    }

    fn cuCtxSynchronize_v2(handle: usize) {
        synchronize(&*driver()?.contexts.find(handle).ok_or(Error::InvalidContext)?)
    }

    fn cuCtxGetDevice_v2(device: Out<i32>, handle: usize) {
        let context = driver()?.contexts.find(handle).ok_or(Error::InvalidContext)?;
        device.put(context.device.ordinal as i32)
    }

    fn cuCtxSetLimit(limit: u32, value: usize) {
        context::current()?.set_limit(limit, value as u64)?;
        if limit == MALLOC_HEAP_SIZE {
            driver()?.allocations.memory().set_heap_bytes(value as u64);
        }
        Ok(())
    }

    fn cuCtxGetLimit(value: Out<usize>, limit: u32) {
        value.put(context::current()?.limit(limit)? as usize)
    }

    fn cuCtxGetCacheConfig(config: Out<u32>) {
        config.put(context::current()?.cache.load(Ordering::Relaxed))
    }

    fn cuCtxSetCacheConfig(config: u32) {
        context::current()?.cache.store(config, Ordering::Relaxed);
        Ok(())
    }

    fn cuCtxGetSharedMemConfig(config: Out<u32>) {
        context::current()?;
        config.put(1)
    }

    fn cuCtxSetSharedMemConfig(_config: u32) {
        context::current().map(drop)
    }

    fn cuCtxGetApiVersion(handle: usize, version: Out<u32>) {
        if handle != 0 {
            driver()?.contexts.find(handle).ok_or(Error::InvalidContext)?;
        }
        version.put(3020)
    }

    fn cuCtxGetStreamPriorityRange(least: Out<i32>, greatest: Out<i32>) {
        context::current()?;
        least.put_if_wanted(0);
        greatest.put_if_wanted(GREATEST_PRIORITY);
        Ok(())
    }

    fn cuCtxResetPersistingL2Cache() {
        context::current().map(drop)
    }
}
