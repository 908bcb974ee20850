//! One run: requests out by their timetable, records back.

use std::collections::BTreeMap;
use std::time::Duration;

use super::connection::{Client, ClientError};
use super::record::{Pending, submission};
use crate::coordinator::wire::{ClientMessage, ClientReply, ControlSignal};
use crate::metrics::RequestRecord;
use crate::plan::{Arrival, Conduct};
use crate::workload::TimedRequest;

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Requests in all.
    pub num_requests: usize,
    /// Sent so far.
    pub num_sent: usize,
    /// Answered so far, failed ones included.
    pub num_finished: usize,
    /// Tokens that came so far.
    pub num_tokens: u64,
    /// Answered so far, by the rank that did it.
    pub finished_by_rank: BTreeMap<u32, u64>,
}

/// Longest sleep, so that progress is shown even where nothing happens.
const TURN: Duration = Duration::from_millis(100);

/// Replies handled before requests have their turn again.
const BATCH: usize = 256;

impl Client {
    /// Sends `requests` by their timetable and collects what comes back, streamed tokens included, until all are
    /// answered or `deadline_s` (on the client's clock) has passed; what is unanswered then says so in its record,
    /// and is aborted. One record per request, in order. `on_progress` is called after every turn of the loop.
    pub fn run(
        &mut self,
        requests: &[TimedRequest],
        arrival: Arrival,
        deadline_s: f64,
        on_progress: &mut dyn FnMut(&Progress),
    ) -> Vec<RequestRecord> {
        let start_s = self.clock.now_s();
        let first_id = self.next_id;
        self.next_id += requests.len() as u64;
        let schedule = |(i, request): (usize, &TimedRequest)| {
            Pending::new(i, request, start_s + request.arrival_s.max(0.0))
        };
        let mut pending: Vec<Pending> = requests.iter().enumerate().map(schedule).collect();
        let mut run = Run {
            client: self,
            requests,
            pending: &mut pending,
            first_id,
            deadline_s,
            progress: Progress { num_requests: requests.len(), ..Progress::default() },
        };
        if let Err(error) = run.until_all_answered(arrival, on_progress) {
            run.fail_unanswered(&error.to_string());
        }
        run.abort_unanswered();
        pending.into_iter().map(Pending::into_record).collect()
    }
}

struct Run<'a> {
    client: &'a mut Client,
    requests: &'a [TimedRequest],
    pending: &'a mut [Pending],
    first_id: u64,
    deadline_s: f64,
    progress: Progress,
}

impl Run<'_> {
    fn until_all_answered(
        &mut self,
        arrival: Arrival,
        on_progress: &mut dyn FnMut(&Progress),
    ) -> Result<(), ClientError> {
        while self.progress.num_finished < self.requests.len() {
            let now_s = self.client.clock.now_s();
            if now_s >= self.deadline_s {
                break;
            }
            self.submit_due(arrival, now_s)?;
            self.receive(self.sleep(arrival))?;
            on_progress(&self.progress);
        }
        Ok(())
    }

    /// Sends what the timetable wants sent by now.
    fn submit_due(&mut self, arrival: Arrival, now_s: f64) -> Result<(), ClientError> {
        let at_most = match arrival {
            Arrival::PerStep { num_requests } => num_requests.max(1),
            Arrival::AllAtOnce | Arrival::Poisson { .. } => usize::MAX,
        };
        let unsent = self.progress.num_sent..self.requests.len();
        for i in unsent.take(at_most) {
            if self.pending[i].scheduled_s() > now_s || self.waits_for_batch() {
                break;
            }
            let submit = submission(&self.requests[i], self.first_id + i as u64);
            self.pending[i].sent(self.client.clock.now_s());
            self.client.send(&ClientMessage::Submit(submit))?;
            self.progress.num_sent += 1;
            self.suspend_if_due()?;
        }
        Ok(())
    }

    /// The next request begins a batch, and not all before it are answered.
    fn waits_for_batch(&self) -> bool {
        let next = self.progress.num_sent;
        self.progress.num_finished < next && self.client.conduct.batch_starts.binary_search(&next).is_ok()
    }

    /// Suspends all ranks and resumes them, where that is planned after the request just sent.
    fn suspend_if_due(&mut self) -> Result<(), ClientError> {
        let Conduct { suspend_interval, suspend_time, .. } = self.client.conduct;
        let num_sent = self.progress.num_sent;
        if suspend_interval.is_none_or(|interval| !num_sent.is_multiple_of(interval.max(1))) {
            return Ok(());
        }
        self.client.control(ControlSignal::Pause)?;
        self.client.control(ControlSignal::Suspend)?;
        std::thread::sleep(suspend_time.min(self.client.clock.until(self.deadline_s)));
        self.client.control(ControlSignal::Resume)?;
        self.client.control(ControlSignal::Unpause)
    }

    /// How long the loop may wait for replies: until the next request is due, and not past the deadline.
    fn sleep(&self, arrival: Arrival) -> Duration {
        let Some(next) = self.pending.get(self.progress.num_sent) else {
            return TURN.min(self.client.clock.until(self.deadline_s));
        };
        if self.waits_for_batch() {
            return TURN.min(self.client.clock.until(self.deadline_s));
        }
        match arrival {
            // Turns follow each other without waiting for the engine.
            Arrival::PerStep { .. } => Duration::ZERO,
            Arrival::AllAtOnce | Arrival::Poisson { .. } => {
                let wake_s = next.scheduled_s().min(self.deadline_s);
                TURN.min(self.client.clock.until(wake_s))
            }
        }
    }

    /// Handles the replies that are there, waiting for the first one for at most `timeout`.
    fn receive(&mut self, timeout: Duration) -> Result<(), ClientError> {
        let mut timeout = timeout;
        for _ in 0..BATCH {
            let Some(payload) = self.client.dealer.receive(timeout)? else { return Ok(()) };
            timeout = Duration::ZERO;
            let at_s = self.client.clock.now_s();
            match ClientReply::decode(&payload, &self.client.limits) {
                Ok(reply) => self.on_reply(at_s, reply),
                Err(error) => self.client.incident(format!("unreadable reply from the coordinator: {error}")),
            }
        }
        Ok(())
    }

    fn on_reply(&mut self, at_s: f64, reply: ClientReply) {
        match reply {
            ClientReply::ConnectAck | ClientReply::ControlAck { .. } | ClientReply::Agreed { .. } => {}
            ClientReply::Refusal { reason } => {
                self.client.incident(format!("the coordinator refused a message: {reason}"))
            }
            ClientReply::Partial { client_id, partial } => {
                self.client.knows_aborts = true;
                if let Some(pending) = self.unfinished(client_id) {
                    let num_new = pending.on_partial(at_s, partial);
                    self.progress.num_tokens += num_new as u64;
                }
            }
            ClientReply::Final { client_id, reply } => {
                let rank = reply.served_by.map(|served| served.rank);
                if let Some(pending) = self.unfinished(client_id) {
                    let num_new = pending.on_final(at_s, *reply);
                    self.progress.num_tokens += num_new as u64;
                    self.progress.num_finished += 1;
                    rank.into_iter()
                        .for_each(|rank| *self.progress.finished_by_rank.entry(rank).or_default() += 1);
                }
            }
        }
    }

    /// The request with this id, if it still waits for its answer. Ids of an earlier run that ended at its
    /// deadline are stragglers.
    fn unfinished(&mut self, client_id: u64) -> Option<&mut Pending> {
        let index = client_id.checked_sub(self.first_id)?;
        let known = usize::try_from(index)
            .ok()
            .filter(|&i| i < self.progress.num_sent && !self.pending[i].is_finished());
        if known.is_none() {
            self.client.incident(format!("a reply for request {index}, which waits for none"));
        }
        known.map(|i| &mut self.pending[i])
    }

    fn fail_unanswered(&mut self, reason: &str) {
        self.pending
            .iter_mut()
            .filter(|pending| !pending.is_finished())
            .for_each(|pending| pending.fail(reason));
    }

    fn abort_unanswered(&mut self) {
        if !self.client.knows_aborts {
            return;
        }
        for i in 0..self.progress.num_sent {
            let client_id = self.first_id + i as u64;
            if !self.pending[i].is_finished()
                && self.client.send(&ClientMessage::Abort { client_id }).is_err()
            {
                return;
            }
        }
    }
}
