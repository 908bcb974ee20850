//! What our ranks tell about themselves: ready, and alive.

use rmpv::Value;

use super::reader::Reader;
use super::value::{Dict, FromValue, Mismatch, map, nullable};
use super::version::{PROTOCOL_VERSION, Versions};

/// A rank is warmed up and takes requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankReady {
    /// Of our additions, as the sender speaks them.
    pub versions: Versions,
    /// Process id.
    pub pid: u32,
    /// Instruction set or device that runs the kernels.
    pub device: String,
    /// KV blocks in the pool.
    pub num_kv_blocks: u64,
    /// Requests in one step at most.
    pub max_requests: u64,
}

/// A few numbers of a live rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RankStats {
    /// Steps so far.
    pub num_steps: u64,
    /// Requests in the batch.
    pub num_running: u64,
    /// Requests not yet admitted.
    pub num_waiting: u64,
    /// KV blocks in use.
    pub num_kv_blocks_used: u64,
    /// Tokens generated so far.
    pub num_tokens_generated: u64,
    /// Times it was suspended so far.
    pub num_suspensions: u64,
    /// Control signals obeyed so far.
    pub num_signals: u64,
    /// The generation epoch it was told last.
    pub generation_epoch: Option<i64>,
}

impl FromValue for RankReady {
    fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch> {
        let mut dict = Dict::read(from)?;
        let newest = dict.required("version", "the protocol version")?;
        let oldest = dict.or("oldest_version", newest)?;
        Ok(RankReady {
            versions: Versions { newest, oldest },
            pid: dict.required("pid", "a process id")?,
            device: dict.required("device", "a device name")?,
            num_kv_blocks: dict.required("num_kv_blocks", "a number of KV blocks")?,
            max_requests: dict.required("max_requests", "a number of requests")?,
        })
    }
}

impl RankReady {
    pub(super) fn to_value(&self) -> Value {
        Value::Map(map([
            ("version", self.versions.newest.into()),
            ("oldest_version", self.versions.oldest.into()),
            ("pid", self.pid.into()),
            ("device", self.device.as_str().into()),
            ("num_kv_blocks", self.num_kv_blocks.into()),
            ("max_requests", self.max_requests.into()),
        ]))
    }
}

/// A heartbeat says which version it is written in, so that a rank that does not keep to what was agreed is found out.
fn check_version(version: u32) -> Result<(), Mismatch> {
    let is_spoken = (Versions::OURS.oldest..=Versions::OURS.newest).contains(&version);
    let mismatch =
        || Mismatch { path: ".version".into(), expected: "the version agreed on", got: version.to_string() };
    if is_spoken { Ok(()) } else { Err(mismatch()) }
}

impl FromValue for RankStats {
    fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch> {
        let mut dict = Dict::read(from)?;
        check_version(dict.or("version", PROTOCOL_VERSION)?)?;
        Ok(RankStats {
            num_steps: dict.or("num_steps", 0)?,
            num_running: dict.or("num_running", 0)?,
            num_waiting: dict.or("num_waiting", 0)?,
            num_kv_blocks_used: dict.or("num_kv_blocks_used", 0)?,
            num_tokens_generated: dict.or("num_tokens_generated", 0)?,
            num_suspensions: dict.or("num_suspensions", 0)?,
            num_signals: dict.or("num_signals", 0)?,
            generation_epoch: dict.or("generation_epoch", None)?,
        })
    }
}

impl RankStats {
    pub(super) fn to_value(self) -> Value {
        Value::Map(map([
            ("version", PROTOCOL_VERSION.into()),
            ("num_steps", self.num_steps.into()),
            ("num_running", self.num_running.into()),
            ("num_waiting", self.num_waiting.into()),
            ("num_kv_blocks_used", self.num_kv_blocks_used.into()),
            ("num_tokens_generated", self.num_tokens_generated.into()),
            ("num_suspensions", self.num_suspensions.into()),
            ("num_signals", self.num_signals.into()),
            ("generation_epoch", nullable(&self.generation_epoch, |&epoch| epoch.into())),
        ]))
    }
}
