//! Overhead: the share of all processor time of a run that did not go into the model. Seconds of a core, not of a wall clock,
//! so that waiting for a core that somebody else has is nobody's overhead.

use serde::{Deserialize, Serialize};

use super::clock::CpuTime;
use super::measured::Measured;
use super::record::RunRecord;

/// Threads of the CPU backend, which compute a model's steps beside the thread that asks for them.
const MODEL_THREADS: [&str; 1] = ["goldlap-cpu-"];
/// Name of the coordinator's thread.
pub const COORDINATOR_THREAD: &str = "coordinator";

/// Processor time of a rank while it served (starting and warming up are before that).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RankCpu {
    /// All of its threads.
    pub total_s: f64,
    /// Everything but the model's steps and the threads that compute them: scheduling, messages (libzmq's threads included),
    /// heartbeats.
    pub overhead_s: f64,
}

/// Processor time of the process that serves a run, from the first request to the last answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ParentCpu {
    /// Coordinator, client, progress, and libzmq's threads of both.
    pub total_s: f64,
    /// Of that, the coordinator's own thread.
    pub coordinator_s: f64,
}

/// Measures a rank.
pub struct RankCpuMeter {
    process_s: f64,
    model_threads_s: f64,
}

impl RankCpuMeter {
    /// The rank serves from now on.
    pub fn start() -> Self {
        Self { process_s: CpuTime::of_process_s(), model_threads_s: CpuTime::of_threads_s(&MODEL_THREADS) }
    }

    /// Until now; the thread that steps the engine had `forward_s` inside the model.
    pub fn read(&self, forward_s: f64) -> RankCpu {
        let total_s = CpuTime::of_process_s() - self.process_s;
        let model_threads_s = CpuTime::of_threads_s(&MODEL_THREADS) - self.model_threads_s;
        RankCpu { total_s, overhead_s: (total_s - forward_s - model_threads_s).max(0.0) }
    }
}

/// Measures this process while it serves a run.
pub struct ParentCpuMeter(ParentCpu);

impl ParentCpuMeter {
    /// The run begins.
    pub fn start() -> Self {
        Self(Self::now())
    }

    /// The run has ended; its threads still live.
    pub fn read(&self) -> ParentCpu {
        let (start, now) = (&self.0, Self::now());
        ParentCpu {
            total_s: now.total_s - start.total_s,
            coordinator_s: now.coordinator_s - start.coordinator_s,
        }
    }

    fn now() -> ParentCpu {
        ParentCpu {
            total_s: CpuTime::of_process_s(),
            coordinator_s: CpuTime::of_threads_s(&[COORDINATOR_THREAD]),
        }
    }
}

/// Processor time outside the model over all processor time, both of all ranks and of the parent.
pub fn overhead(record: &RunRecord) -> Measured {
    if record.platform != "cpu" {
        return Measured::not("the model ran on a device, not on the processor");
    }
    let Some(parent) = record.parent_cpu else {
        return Measured::not("the processor time of coordinator and client was not measured");
    };
    let ranks: Option<Vec<RankCpu>> = record.ranks.iter().map(|rank| rank.cpu).collect();
    let Some(ranks) = ranks else {
        return Measured::not("a rank did not report its processor time");
    };
    let overhead_s = parent.total_s + ranks.iter().map(|rank| rank.overhead_s).sum::<f64>();
    Measured::rate(overhead_s, parent.total_s + ranks.iter().map(|rank| rank.total_s).sum::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::test_run::record;

    #[test]
    fn overhead_is_what_did_not_go_into_the_model() {
        let mut run = record("cpu");
        assert_eq!(overhead(&run).value(), None);
        run.parent_cpu = Some(ParentCpu { total_s: 1.0, coordinator_s: 0.25 });
        assert_eq!(overhead(&run).value(), None, "a lost rank reports nothing");
        run.ranks[0].cpu = Some(RankCpu { total_s: 99.0, overhead_s: 1.5 });
        assert_eq!(overhead(&run).value(), Some(0.025));
    }
}
