//! Devices and their primary contexts.

use std::ffi::c_char;

use super::call::{In, Out};
use super::layout::DeviceProps;
use crate::driver::context;
use crate::driver::device::NAME;
use crate::driver::error::{Error, Result};
use crate::driver::{attribute, driver};

fn put_text(text: &str, out: Out<c_char>, room: i32) -> Result<()> {
    let room = usize::try_from(room).ok().filter(|&room| room > 0).ok_or(Error::InvalidValue)?;
    out.check()?;
    let kept = text.bytes().take(room - 1).map(|byte| byte as c_char);
    out.put_many(kept.chain([0]), room);
    Ok(())
}

fn attribute_of(number: i32) -> i32 {
    attribute::value_of(number).unwrap_or_default()
}

api! {
    table TABLE;

    fn cuDeviceGet(device: Out<i32>, ordinal: i32) {
        driver()?.device(ordinal)?;
        device.put(ordinal)
    }

    fn cuDeviceGetCount(count: Out<i32>) {
        count.put(driver()?.devices.len() as i32)
    }

    fn cuDeviceGetName(name: Out<c_char>, room: i32, device: i32) {
        driver()?.device(device)?;
        put_text(NAME, name, room)
    }

    fn cuDeviceGetUuid(uuid: Out<[u8; 16]>, device: i32) {
        uuid.put(driver()?.device(device)?.uuid())
    }

    fn cuDeviceGetUuid_v2(uuid: Out<[u8; 16]>, device: i32) {
        uuid.put(driver()?.device(device)?.uuid())
    }

    fn cuDeviceTotalMem_v2(bytes: Out<usize>, device: i32) {
        bytes.put(driver()?.device(device)?.total_memory as usize)
    }

    fn cuDeviceGetAttribute(value: Out<i32>, number: i32, device: i32) {
        value.put(driver()?.device(device)?.attribute(number)?)
    }

    fn cuDeviceComputeCapability(major: Out<i32>, minor: Out<i32>, device: i32) {
        driver()?.device(device)?;
        major.put(attribute_of(75))?;
        minor.put(attribute_of(76))
    }

    fn cuDeviceGetProperties(props: Out<DeviceProps>, device: i32) {
        driver()?.device(device)?;
        let numbers = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
        props.put(DeviceProps(numbers.map(attribute_of)))
    }

    fn cuDeviceGetByPCIBusId(device: Out<i32>, id: In<c_char>) {
        let id = id.text()?.to_uppercase();
        let known = |ordinal: &usize| {
            let own = driver().map(|driver| driver.devices[*ordinal].pci_bus_id());
            own.is_ok_and(|own| own == id || own.strip_prefix("0000:") == Some(&id))
        };
        let found = (0..driver()?.devices.len()).find(known).ok_or(Error::InvalidDevice)?;
        device.put(found as i32)
    }

    fn cuDeviceGetPCIBusId(id: Out<c_char>, room: i32, device: i32) {
        put_text(&driver()?.device(device)?.pci_bus_id(), id, room)
    }

    fn cuDeviceGetExecAffinitySupport(supported: Out<i32>, _kind: u32, device: i32) {
        driver()?.device(device)?;
        supported.put(0)
    }

    fn cuDevicePrimaryCtxRetain(context: Out<usize>, device: i32) {
        context.check()?;
        let driver = driver()?;
        context.put(context::retain_primary(driver, driver.device(device)?)?.handle)
    }

    fn cuDevicePrimaryCtxRelease(device: i32) {
        let driver = driver()?;
        context::release_primary(driver, driver.device(device)?)
    }

    fn cuDevicePrimaryCtxRelease_v2(device: i32) {
        let driver = driver()?;
        context::release_primary(driver, driver.device(device)?)
    }

    fn cuDevicePrimaryCtxReset(device: i32) {
        let driver = driver()?;
        context::reset_primary(driver, driver.device(device)?)
    }

    fn cuDevicePrimaryCtxReset_v2(device: i32) {
        let driver = driver()?;
        context::reset_primary(driver, driver.device(device)?)
    }

    fn cuDevicePrimaryCtxSetFlags(device: i32, flags: u32) {
        context::set_primary_flags(driver()?.device(device)?, flags);
        Ok(())
    }

    fn cuDevicePrimaryCtxSetFlags_v2(device: i32, flags: u32) {
        context::set_primary_flags(driver()?.device(device)?, flags);
        Ok(())
    }

    fn cuDevicePrimaryCtxGetState(device: i32, flags: Out<u32>, active: Out<i32>) {
        let (set, is_active) = context::primary_state(driver()?.device(device)?);
        flags.put(set)?;
        active.put(i32::from(is_active))
    }
}
