//! The rank's loop: obey commands, step while there is work, answer.

use super::desk::Desk;
use super::lifecycle::Lifecycle;
use super::pulse::{Link, Pulse};
use super::{RankError, RankLog};
use crate::coordinator::LinkError;
use crate::coordinator::wire::{
    BadMessage, ControlSignal, ErrorClass, FinalReply, RankCommand, RankStats, SamplingParams,
};
use crate::engine::{Backend, Engine, StepSummary, fault};
use crate::metrics::{RankCpuMeter, RankRecord};
use crate::topology::{Fault, RankSpec};

pub(super) struct Server<L: Link> {
    rank: u32,
    device: String,
    num_kv_blocks: usize,
    fault: Option<Fault>,
    engine: Engine,
    desk: Desk,
    pulse: Pulse<L>,
    lifecycle: Lifecycle,
    /// Of the last step; kept for its memory.
    summary: StepSummary,
    num_tokens_generated: u64,
    num_signals: u64,
    log: RankLog,
}

impl<L: Link> Server<L> {
    pub(super) fn new(spec: &RankSpec, backend: Backend, pulse: Pulse<L>, log: RankLog) -> Self {
        let Backend { model, limits, device, num_kv_blocks } = backend;
        Self {
            rank: spec.rank,
            device,
            num_kv_blocks,
            fault: spec.fault,
            engine: Engine::new(model, limits, spec.seed, log.clock),
            desk: Desk::new(spec.eods.clone()),
            pulse,
            lifecycle: Lifecycle::Running,
            summary: StepSummary::default(),
            num_tokens_generated: 0,
            num_signals: 0,
            log,
        }
    }

    /// Serves until STOP, then reports.
    pub(super) fn serve(mut self) -> Result<(), RankError> {
        let cpu = RankCpuMeter::start();
        while self.lifecycle != Lifecycle::Stopped {
            self.obey_commands()?;
            if self.engine.has_work() && self.lifecycle == Lifecycle::Running {
                self.work()?;
            }
        }
        let dropped = self.desk.drop_all(self.log.clock.now_s());
        if !dropped.is_empty() {
            self.log.line(&format!("STOP drops {} unfinished requests", dropped.len()));
        }
        let forward_s = self.engine.statistics().forward_cpu_s;
        let record = RankRecord { cpu: Some(cpu.read(forward_s)), ..self.record() };
        Ok(self.pulse.end(dropped, record)?)
    }

    /// Obeys all commands that have come; sleeps for one if there is nothing else to do.
    fn obey_commands(&mut self) -> Result<(), LinkError> {
        let mut wait = !self.engine.has_work();
        loop {
            match self.pulse.receive(wait) {
                Ok(Some(command)) => {
                    self.obey(command)?;
                    self.report_cache()?;
                }
                Ok(None) => return Ok(()),
                Err(LinkError::Wire(bad)) => self.refuse(&bad)?,
                Err(
                    error @ (LinkError::Socket(_) | LinkError::TooLarge { .. } | LinkError::Refused { .. }),
                ) => return Err(error),
            }
            wait = false;
        }
    }

    fn obey(&mut self, command: RankCommand) -> Result<(), LinkError> {
        let reply = match command {
            RankCommand::Submit(submit) => self.desk.submit(submit, &mut self.engine, self.log.clock.now_s()),
            RankCommand::Abort { request_id } => self.desk.abort(request_id, &mut self.engine),
            RankCommand::Control(signal) => {
                self.control(signal);
                self.num_signals += 1;
                self.pulse.acknowledge(self.stats())?;
                None
            }
            RankCommand::Agreed { version } => {
                self.log.line(&format!("the coordinator takes version {version}"));
                None
            }
            RankCommand::Refusal { reason } => return Err(LinkError::Refused { reason }),
        };
        reply.map_or(Ok(()), |reply| self.reply(reply))
    }

    /// A coordinator of another make passes requests on as they came; whoever sent one waits for an answer.
    fn refuse(&self, bad: &BadMessage) -> Result<(), LinkError> {
        let Some(id) = bad.request else {
            self.log.line(&format!("ignored an unreadable command: {bad}"));
            return Ok(());
        };
        let (sampling, now_s) = (SamplingParams::default(), self.log.clock.now_s());
        self.reply(FinalReply::failed(id, sampling, ErrorClass::Any, &bad.to_string(), now_s))
    }

    /// The coordinator routes by what is cached here.
    fn report_cache(&mut self) -> Result<(), LinkError> {
        let changes = self.engine.take_cache_changes();
        self.pulse.send_cache_changes(changes)
    }

    fn reply(&self, reply: FinalReply) -> Result<(), LinkError> {
        if let Some(reason) = reply.failure() {
            self.log.line(&format!("request {}: {reason}", reply.request_id));
        }
        self.pulse.send(Vec::new(), vec![reply])
    }

    fn control(&mut self, signal: ControlSignal) {
        if let ControlSignal::SetGenerationEpoch(epoch) = signal {
            self.log.line(&format!("generation epoch {epoch}"));
            return self.engine.set_generation_epoch(epoch);
        }
        let Some(next) = self.lifecycle.after(signal) else {
            return self.log.line(&format!("ignored {} while {:?}", signal.header(), self.lifecycle));
        };
        self.log.line(&format!("{}: {:?} -> {next:?}", signal.header(), self.lifecycle));
        self.lifecycle = next;
        match next {
            Lifecycle::Running => self.engine.unpause(),
            Lifecycle::Suspended => {
                if let Err(error) = self.engine.suspend() {
                    self.log.line(&format!("the KV cache stays on the device: {error}"));
                }
            }
            Lifecycle::Paused | Lifecycle::Stopped => self.engine.pause(),
        }
    }

    fn work(&mut self) -> Result<(), LinkError> {
        self.pulse.step_begins();
        let mut summary = std::mem::take(&mut self.summary);
        self.engine.step_into(&mut summary);
        self.note(&summary);
        // Before the answers: who reads them may send the next request at once.
        self.report_cache()?;
        let (partials, finals) = self.desk.answer(&mut summary, &self.engine, self.log.clock.now_s());
        self.summary = summary;
        self.pulse.step_ended(self.stats());
        self.pulse.send(partials, finals)?;
        self.strike();
        Ok(())
    }

    fn note(&mut self, summary: &StepSummary) {
        self.num_tokens_generated += summary.new_tokens.len() as u64;
        if let Some(failed) = summary.failed.first() {
            self.log.line(&format!("{} requests failed: {}", summary.failed.len(), failed.reason));
        }
        for finished in &summary.finished {
            if let Some(asked) = finished.clamped_from {
                let (id, allowed) = (finished.id, finished.num_tokens_to_generate);
                self.log.line(&format!(
                    "request {id}: {asked} tokens asked for, {allowed} generated at most: max_sequence_length"
                ));
            }
        }
    }

    /// The failure that a test ordered, if its step has come.
    fn strike(&self) {
        let num_steps = self.engine.statistics().num_steps;
        match self.fault {
            Some(Fault::DieAfterSteps(after)) if num_steps >= after => fault::die(),
            Some(Fault::PanicAfterSteps(after)) if num_steps >= after => panic!("panics, as ordered"),
            Some(Fault::HangAfterSteps(after)) if num_steps >= after => {
                self.log.line("hangs, as ordered");
                self.pulse.hang()
            }
            Some(Fault::DieAfterSteps(_) | Fault::PanicAfterSteps(_) | Fault::HangAfterSteps(_)) | None => {}
        }
    }

    fn stats(&self) -> RankStats {
        let (num_running, num_waiting) = self.engine.num_running_and_waiting();
        RankStats {
            num_steps: self.engine.statistics().num_steps,
            num_running: num_running as u64,
            num_waiting: num_waiting as u64,
            num_kv_blocks_used: self.engine.num_kv_blocks_used() as u64,
            num_tokens_generated: self.num_tokens_generated,
            num_suspensions: self.engine.statistics().num_suspensions,
            num_signals: self.num_signals,
            generation_epoch: self.engine.statistics().generation_epoch,
        }
    }

    fn record(&self) -> RankRecord {
        let statistics = self.engine.statistics();
        RankRecord {
            rank: self.rank,
            pid: std::process::id(),
            num_requests_finished: statistics.num_requests_finished,
            num_steps: statistics.num_steps,
            sum_batch_size: statistics.sum_batch_size,
            max_batch_size: statistics.max_batch_size,
            max_step_tokens: statistics.max_step_tokens,
            num_prefill_tokens: statistics.num_prefill_tokens,
            num_decode_tokens: statistics.num_decode_tokens,
            num_cached_tokens: statistics.num_cached_tokens,
            num_deferred: statistics.num_deferred,
            num_evictions: statistics.num_evictions,
            num_pauses: statistics.num_pauses,
            num_suspensions: statistics.num_suspensions,
            num_recomputations: statistics.num_recomputations,
            num_offloads: statistics.num_offloads,
            generation_epoch: statistics.generation_epoch,
            num_kv_blocks: self.num_kv_blocks as u64,
            max_kv_blocks_used: statistics.max_kv_blocks_used,
            step_seconds: statistics.step_seconds,
            step_costs: statistics.step_costs.clone(),
            peak_rss_bytes: peak_rss_bytes(),
            cpu: None,
            device: self.device.clone(),
            graphs: self.engine.graph_counts(),
        }
    }
}

/// Peak resident set of this process, shared file pages included; 0 where the system does not tell.
fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
    kibibytes.and_then(|number| number.trim().parse::<u64>().ok()).map_or(0, |number| number * 1024)
}
