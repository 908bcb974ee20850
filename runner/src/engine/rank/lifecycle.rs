//! The states of a rank, and which signals lead where (the original's, without its transitional states: one process
//! per replica has nobody to agree with).

use crate::coordinator::wire::ControlSignal;

/// State of a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifecycle {
    /// Steps whenever there is work.
    Running,
    /// In-flight requests are frozen, new ones queue.
    Paused,
    /// As paused; the KV cache is kept or given up, as the plan says.
    Suspended,
    /// The process ends; in-flight requests are dropped.
    Stopped,
}

impl Lifecycle {
    /// The state after `signal`; `None` if it means nothing in this state and is ignored.
    /// (The original's engine dies of such a signal; STOP ends ours in every state.)
    pub(super) fn after(self, signal: ControlSignal) -> Option<Self> {
        match (self, signal) {
            (_, ControlSignal::Stop) => Some(Self::Stopped),
            (Self::Running, ControlSignal::Pause) => Some(Self::Paused),
            (Self::Paused, ControlSignal::Unpause) => Some(Self::Running),
            (Self::Paused, ControlSignal::Suspend) => Some(Self::Suspended),
            (Self::Suspended, ControlSignal::Resume) => Some(Self::Paused),
            (
                _,
                ControlSignal::Pause
                | ControlSignal::Unpause
                | ControlSignal::Suspend
                | ControlSignal::Resume
                | ControlSignal::SetGenerationEpoch(_)
                | ControlSignal::StartCudaProfiler
                | ControlSignal::StopCudaProfiler,
            ) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_lead_through_the_original_states() {
        use ControlSignal::{Pause, Resume, Stop, Suspend, Unpause};
        use Lifecycle::{Paused, Running, Stopped, Suspended};
        let route = [(Pause, Paused), (Suspend, Suspended), (Resume, Paused), (Unpause, Running)];
        let mut state = Running;
        for (signal, expected) in route {
            state = state.after(signal).unwrap();
            assert_eq!(state, expected);
        }
        for (state, ignored) in [
            (Running, vec![Unpause, Suspend, Resume]),
            (Paused, vec![Pause, Resume]),
            (Suspended, vec![Pause, Unpause, Suspend]),
        ] {
            assert_eq!(state.after(Stop), Some(Stopped));
            for signal in ignored {
                assert_eq!(state.after(signal), None, "{state:?} {signal:?}");
            }
        }
    }
}
