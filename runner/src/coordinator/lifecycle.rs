//! The coordinator's own state, moved by control signals.

use super::wire::ControlSignal;

/// What the ranks were last told to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifecycle {
    /// They step.
    #[default]
    Running,
    /// They hold still.
    Paused,
    /// They hold still and have given up device memory.
    Suspended,
}

/// What to do with a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Pass it on to every rank and go over to this state.
    Forward(Lifecycle),
    /// Nothing to do.
    Ignore,
    /// It has no meaning in this state.
    Illegal,
}

impl Lifecycle {
    /// Judges a signal, as the original does.
    pub(super) fn judge(self, signal: ControlSignal) -> Verdict {
        use Lifecycle::{Paused, Running, Suspended};
        match (signal, self) {
            (ControlSignal::Pause, Running) => Verdict::Forward(Paused),
            (ControlSignal::Pause, Paused | Suspended) => Verdict::Ignore,
            (ControlSignal::Unpause, Paused) => Verdict::Forward(Running),
            (ControlSignal::Suspend, Paused) => Verdict::Forward(Suspended),
            (ControlSignal::Resume, Suspended) => Verdict::Forward(Paused),
            // Back to running, so that new ranks can join.
            (ControlSignal::Stop, Paused | Suspended) => Verdict::Forward(Running),
            (
                ControlSignal::SetGenerationEpoch(_)
                | ControlSignal::StartCudaProfiler
                | ControlSignal::StopCudaProfiler,
                state,
            ) => Verdict::Forward(state),
            (ControlSignal::Unpause | ControlSignal::Suspend, Running | Suspended)
            | (ControlSignal::Resume, Running | Paused)
            | (ControlSignal::Stop, Running) => Verdict::Illegal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_move_the_state_as_in_the_original() {
        use ControlSignal::{Pause, Resume, SetGenerationEpoch, Stop, Suspend, Unpause};
        use Lifecycle::{Paused, Running, Suspended};
        let table = [
            (Pause, [Verdict::Forward(Paused), Verdict::Ignore, Verdict::Ignore]),
            (Unpause, [Verdict::Illegal, Verdict::Forward(Running), Verdict::Illegal]),
            (Suspend, [Verdict::Illegal, Verdict::Forward(Suspended), Verdict::Illegal]),
            (Resume, [Verdict::Illegal, Verdict::Illegal, Verdict::Forward(Paused)]),
            (Stop, [Verdict::Illegal, Verdict::Forward(Running), Verdict::Forward(Running)]),
            (
                SetGenerationEpoch(7),
                [Verdict::Forward(Running), Verdict::Forward(Paused), Verdict::Forward(Suspended)],
            ),
        ];
        for (signal, verdicts) in table {
            for (state, verdict) in [Running, Paused, Suspended].into_iter().zip(verdicts) {
                assert_eq!(state.judge(signal), verdict, "{signal:?} in {state:?}");
            }
        }
    }
}
