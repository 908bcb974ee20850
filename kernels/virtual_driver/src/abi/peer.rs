//! Access between devices: always possible here; enabling it is remembered so that mistakes are answered as on hardware.

use std::sync::PoisonError;

use super::call::Out;
use crate::driver::context;
use crate::driver::driver;
use crate::driver::error::{Error, Result};

fn check_pair(device: i32, peer: i32) -> Result<bool> {
    let driver = driver()?;
    driver.device(device)?;
    driver.device(peer)?;
    Ok(device != peer)
}

api! {
    table TABLE;

    fn cuDeviceCanAccessPeer(can: Out<i32>, device: i32, peer: i32) {
        can.put(i32::from(check_pair(device, peer)?))
    }

    fn cuDeviceGetP2PAttribute(value: Out<i32>, attribute: u32, device: i32, peer: i32) {
        // Performance rank 0; access and native atomics are there, arrays are not.
        let can = check_pair(device, peer)?;
        if !can {
            return Err(Error::InvalidDevice);
        }
        match attribute {
            1 | 4 => value.put(0),
            2 | 3 => value.put(1),
            _ => Err(Error::InvalidValue),
        }
    }

    fn cuCtxEnablePeerAccess(peer: usize, flags: u32) {
        let context = context::current()?;
        let other = driver()?.contexts.find(peer).ok_or(Error::InvalidContext)?;
        if flags != 0 {
            return Err(Error::InvalidValue);
        }
        if other.device.ordinal == context.device.ordinal {
            return Err(Error::InvalidDevice);
        }
        let is_new = context.peers.lock().unwrap_or_else(PoisonError::into_inner).insert(peer);
        if is_new { Ok(()) } else { Err(Error::PeerAccessAlreadyEnabled) }
    }

    fn cuCtxDisablePeerAccess(peer: usize) {
        let context = context::current()?;
        let was_there = context.peers.lock().unwrap_or_else(PoisonError::into_inner).remove(&peer);
        if was_there { Ok(()) } else { Err(Error::PeerAccessNotEnabled) }
    }
}
