//! Goldlap: a folder in, a verdict out.
//!
//! Rooms, in the order the data flows; [`harness::run_case`] is the route through them:
//! - [`config`]: what the file said; unknown keys denied, nothing defaulted.
//! - [`plan`]: what will be done: `CasePlan`, resolved, immutable, printable.
//! - [`harness`]: plans become libtest-mimic trials; platform, model preparation, one run of a case.
//! - [`workload`]: prompts, data sets, tokenizers, arrivals: requests with a timetable.
//! - [`topology`]: rank processes: spawn, watch, end, logs; Ctrl-C.
//! - [`coordinator`]: a pure state machine, the wire format, the socket.
//! - [`client`]: submits requests over ZMQ and records what comes back, when.
//! - [`engine`]: one replica's life: `step()` = schedule, forward, postprocess.
//! - [`metrics`]: the record of a run, and the numbers that follow from it.
//! - [`golden`]: load, compare, pend, accept.
//! - [`report`]: texts and files about a run.
//! - [`mod@bench`]: how fast a model steps, beside the machine's limits.
//! - [`command`]: the installed program.
//!
//! What must stay true (`cargo xtask tidy` enforces the first six):
//! - `config` and `plan` start nothing and open no device; `plan` does no I/O.
//! - Only `coordinator/socket.rs` names ZMQ.
//! - Only `topology/guard.rs` kills (and `engine/fault.rs`, a rank killing itself on purpose).
//! - Only `metrics/clock.rs` reads the clock.
//! - Only `command` and the test harness's own library print to standard output.
//! - Only `kernels/src/cuda` names the CUDA driver.
//! - A case ends as exactly one of passed, failed, skipped with a reason, known failure; nothing returns early as passed.
//! - No fixed ports, names or shared temporary paths: two runs can share a machine.

pub mod bench;
pub mod client;
pub mod command;
pub mod config;
pub mod coordinator;
pub mod engine;
pub mod golden;
pub mod harness;
pub mod metrics;
pub mod plan;
pub mod report;
pub mod topology;
pub mod workload;
