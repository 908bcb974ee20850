//! Signals that clients send and the coordinator passes on to every rank, unchanged.

use super::error::WireError;
use super::header::Header;
use super::message::{Message, encode};

/// A signal for all ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlSignal {
    /// Stop stepping; in-flight requests freeze, new ones queue.
    Pause,
    /// Go on.
    Unpause,
    /// Give up device memory.
    Suspend,
    /// Take it back; paused afterwards.
    Resume,
    /// End; in-flight requests are dropped.
    Stop,
    /// Stamp later tokens with this epoch.
    SetGenerationEpoch(i64),
    /// Start a device profile.
    StartCudaProfiler,
    /// End it.
    StopCudaProfiler,
}

impl ControlSignal {
    /// Its header.
    pub fn header(self) -> Header {
        match self {
            ControlSignal::Pause => Header::Pause,
            ControlSignal::Unpause => Header::Unpause,
            ControlSignal::Suspend => Header::Suspend,
            ControlSignal::Resume => Header::Resume,
            ControlSignal::Stop => Header::Stop,
            ControlSignal::SetGenerationEpoch(_) => Header::SetGenerationEpoch,
            ControlSignal::StartCudaProfiler => Header::StartCudaProfiler,
            ControlSignal::StopCudaProfiler => Header::StopCudaProfiler,
        }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let epoch = match self {
            ControlSignal::SetGenerationEpoch(epoch) => Some(epoch.into()),
            ControlSignal::Pause
            | ControlSignal::Unpause
            | ControlSignal::Suspend
            | ControlSignal::Resume
            | ControlSignal::Stop
            | ControlSignal::StartCudaProfiler
            | ControlSignal::StopCudaProfiler => None,
        };
        encode(self.header(), epoch)
    }

    /// Reads a control signal; `None` if the header is another kind of message.
    pub(super) fn read(message: &mut Message<'_>) -> Option<Result<ControlSignal, WireError>> {
        let plain = [
            ControlSignal::Pause,
            ControlSignal::Unpause,
            ControlSignal::Suspend,
            ControlSignal::Resume,
            ControlSignal::Stop,
            ControlSignal::StartCudaProfiler,
            ControlSignal::StopCudaProfiler,
        ];
        if message.header == Header::SetGenerationEpoch {
            let epoch = message.arity(2..=2, "2").and_then(|()| message.next());
            return Some(epoch.map(ControlSignal::SetGenerationEpoch));
        }
        let signal = plain.into_iter().find(|signal| signal.header() == message.header)?;
        Some(message.bare().map(|()| signal))
    }
}
