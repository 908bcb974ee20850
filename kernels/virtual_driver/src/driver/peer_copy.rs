//! Copies between the memories of two devices in the legacy stream.
//!
//! The programming guide promises more of them than of other copies: such a copy starts when everything that either device
//! was given before is done, and what either is given afterwards starts when the copy is done. So the other device gets
//! two commands that its whole queue waits for: one tells that it has come so far, the next holds it until the copy is over.

use std::sync::{Arc, Mutex, PoisonError};

use super::Driver;
use super::context::Context;
use super::copying::Copy;
use super::device::Device;
use super::error::Result;
use super::event::Mark;
use super::queue::{Lane, Ordering};
use super::work::Work;
use crate::memory::Kind;

/// Two threads that copy in opposite directions must enter their commands in the same order on both devices, or the
/// devices wait for each other.
static ENTERING: Mutex<()> = Mutex::new(());

/// The devices other than the context's own whose memory a copy touches. Host memory belongs to none.
pub fn other_devices(driver: &Driver, context: &Context, copy: &Copy) -> Vec<Arc<Device>> {
    let own = context.device.ordinal;
    let mut ordinals: Vec<_> = [&copy.to, &copy.from]
        .iter()
        .filter_map(|end| driver.allocations.find(end.address))
        .filter(|(region, owner)| {
            matches!(region.kind, Kind::Device | Kind::Managed | Kind::Mapped) && owner.device != own
        })
        .map(|(_, owner)| owner.device)
        .collect();
    ordinals.dedup();
    ordinals.into_iter().map(|ordinal| Arc::clone(&driver.devices[ordinal])).collect()
}

/// Enters a copy that all of the context's device and all of `others` wait for.
///
/// # Errors
/// As [`super::queue::Queue::submit`].
pub fn submit(context: &Arc<Context>, copy: Copy, others: &[Arc<Device>]) -> Result<()> {
    let stream = context.legacy_stream().handle;
    let lane = Lane { stream, context: context.handle, ordering: Ordering::WholeDevice };
    let _entering = ENTERING.lock().unwrap_or_else(PoisonError::into_inner);
    let done = Arc::new(Mark::default());
    let mut arrived = Vec::new();
    for other in others {
        let (here, over) = (Arc::new(Mark::default()), Arc::clone(&done));
        arrived.push(Arc::clone(&here));
        other.queue.submit(lane, None, move || here.reach())?;
        other.queue.submit(lane, Some(Box::new(move || over.is_reached())), || ())?;
    }
    let owner = Arc::clone(context);
    let all_arrived = move || arrived.iter().all(|mark| mark.is_reached());
    let work = move || {
        owner.carry_out(&Work::Copy(copy));
        done.reach();
    };
    context.device.queue.submit(lane, Some(Box::new(all_arrived)), work).map(drop)
}
