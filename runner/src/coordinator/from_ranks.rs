//! The state machine's answers to ranks: their messages, their silence, their end.

use super::alternatives::name_alternatives;
use super::state::{Command, State};
use super::wire::{
    ClientReply, FinalReply, PartialReply, RankCommand, RankMessage, RankReady, ReplyStatus, Versions,
};
use crate::metrics::RankRecord;

impl State {
    pub(super) fn on_rank(&mut self, rank: u32, message: RankMessage) {
        if message == RankMessage::Register {
            return self.ranks.register(rank, self.now_s);
        }
        let now_s = self.now_s;
        if let Some(live) = self.ranks.get_mut(rank) {
            live.last_heard_s = now_s;
        }
        match message {
            RankMessage::Register => {}
            RankMessage::Finals(replies) => replies.into_iter().for_each(|reply| self.on_final(rank, reply)),
            RankMessage::Partials(partials) => partials.into_iter().for_each(|p| self.on_partial(rank, p)),
            RankMessage::Disconnect => self.on_exit(rank, "it disconnected"),
            RankMessage::Ready(ready) => self.on_ready(rank, ready),
            RankMessage::Heartbeat(stats) => {
                if let Some(live) = self.ranks.get_mut(rank) {
                    live.stats = stats;
                }
                self.on_obeyed(rank, stats.num_signals);
            }
            RankMessage::CachedBlocks(changes) => {
                if let Some(live) = self.ranks.get_mut(rank) {
                    let num_kv_blocks = live.ready.as_ref().map_or(0, |ready| ready.num_kv_blocks);
                    live.held.apply(changes, num_kv_blocks);
                }
            }
            RankMessage::Report(record) => self.on_report(rank, record),
        }
    }

    fn on_ready(&mut self, rank: u32, ready: RankReady) {
        let Some(live) = self.ranks.get_mut(rank) else {
            // Lost already, or never registered.
            self.counters.out_of_place += 1;
            return;
        };
        let Some(version) = ready.versions.common(Versions::OURS) else {
            let theirs = ready.versions;
            let reason = format!("the rank speaks {theirs}, this coordinator {}", Versions::OURS);
            self.tell_rank(rank, RankCommand::Refusal { reason });
            return self.lose_rank(rank, &format!("it speaks {theirs}, not {}", Versions::OURS), true);
        };
        let has_a_choice = ready.versions.are_several();
        live.ready = Some(ready.clone());
        live.held.forget_cached();
        if has_a_choice {
            self.tell_rank(rank, RankCommand::Agreed { version });
        }
        self.command(Command::RankReady { rank, ready });
    }

    /// Also from a rank that has been lost meanwhile: its record is true all the same.
    fn on_report(&mut self, rank: u32, record: Box<RankRecord>) {
        if record.rank == rank {
            // STOP was the last thing it obeyed.
            self.on_obeyed(rank, u64::MAX);
            self.command(Command::RankReport(record));
        } else {
            self.counters.out_of_place += 1;
        }
    }

    /// Whether the rank has the request; if not, counts why.
    fn has(&mut self, rank: u32, id: u64) -> bool {
        let holder = self.requests.get_mut(id).map(|request| request.rank);
        match holder {
            Some(Some(holder)) if holder == rank => return true,
            Some(_) => self.counters.late_replies += 1,
            None if !self.requests.was_given(id) => self.counters.unknown_ids += 1,
            None if self.ranks.get(rank).is_none() => self.counters.late_replies += 1,
            None => self.counters.duplicate_replies += 1,
        }
        false
    }

    fn on_partial(&mut self, rank: u32, partial: PartialReply) {
        let id = partial.request_id;
        if let Some(live) = self.ranks.get_mut(rank) {
            live.is_later = true;
        }
        if !self.has(rank, id) {
            return;
        }
        let Some(request) = self.requests.get_mut(id) else { return };
        match request.advance(partial) {
            Ok(None) => {}
            Ok(Some(partial)) => self.stream(rank, id, partial),
            Err(divergence) => {
                self.abort_at(rank, id);
                self.diverged(rank, id, divergence.at);
            }
        }
    }

    /// Passes new tokens on to the client, as far as no stop word can be in them.
    fn stream(&mut self, rank: u32, id: u64, partial: PartialReply) {
        let Some(request) = self.requests.get_mut(id) else { return };
        let (partial, is_at_its_end) = request.watch(partial, &self.settings.detokenize);
        // A client that did not ask for streamed tokens may not know them.
        let partial = partial.filter(|_| request.submit.sampling.streaming);
        let (client, client_id) = (request.client.clone(), request.client_id);
        if is_at_its_end {
            // The rank ends it and sends its final answer, of which the client gets what is before the word.
            self.abort_at(rank, id);
        }
        if let Some(mut partial) = partial {
            name_alternatives(&mut partial.new_top_n_logprobs, &self.settings.detokenize);
            self.counters.partials += 1;
            self.tell_client(&client, ClientReply::Partial { client_id, partial });
        }
    }

    fn on_final(&mut self, rank: u32, mut reply: FinalReply) {
        let id = reply.request_id;
        if !self.has(rank, id) {
            return;
        }
        let Some(request) = self.requests.get_mut(id) else { return };
        // An aborted request may end before it has caught up with its stream.
        if reply.status == ReplyStatus::Completed
            && !request.aborted
            && let Err(divergence) = request.agrees_with(&reply.generated_tokens)
        {
            return self.diverged(rank, id, divergence.at);
        }
        if reply.status == ReplyStatus::Completed {
            request.conclude(&mut reply, &self.settings.detokenize);
        }
        self.finish(id, reply);
    }

    /// Another dispatch gave other tokens than the client has seen: no answer would be true.
    fn diverged(&mut self, rank: u32, id: u64, at: usize) {
        let reason = format!(
            "rank {rank} served it anew and generated another token {at} than the lost rank had streamed already"
        );
        self.incident(format!("request {id}: {reason}"));
        self.give_up(id, &reason);
    }

    pub(super) fn on_exit(&mut self, rank: u32, why: &str) {
        if self.ranks.leave(rank) {
            // It was told to.
            self.expect_no_obedience(rank);
            self.command(Command::RankLeft { rank });
        } else if self.ranks.give_up(rank) {
            self.note_loss(rank, why);
            self.incident(format!("rank {rank} ended before it was ready: {why}"));
        } else {
            self.lose_rank(rank, why, false);
        }
    }

    /// Of ours the guard of its process, or its silence, will tell more.
    pub(super) fn on_disconnected(&mut self, rank: u32) {
        if self.ranks.get(rank).is_none_or(|rank| rank.ready.is_none()) {
            self.on_exit(rank, "its connection has closed");
        }
    }

    pub(super) fn on_tick(&mut self) {
        for (rank, silence_s) in self.ranks.silent(self.now_s, self.settings.heartbeat_limit_s) {
            let limit_s = self.settings.heartbeat_limit_s;
            self.lose_rank(
                rank,
                &format!("nothing was heard of it for {silence_s:.1} s, the limit is {limit_s} s"),
                true,
            );
        }
    }

    /// Takes a rank out; its requests go to others. `may_live`: it could still be working on them.
    /// Once lost it stays lost: what it sends later cannot be told from answers to a second dispatch.
    /// A new process under the same number registers anew.
    pub(super) fn lose_rank(&mut self, rank: u32, why: &str, may_live: bool) {
        let Some(lost) = self.ranks.remove(rank) else { return };
        self.expect_no_obedience(rank);
        self.note_loss(rank, why);
        let (mut moved, mut failed) = (0, 0);
        for &id in &lost.outstanding {
            if may_live && lost.knows_later() {
                self.tell_rank(rank, RankCommand::Abort { request_id: id });
            }
            match self.reason_to_give_up(id, rank, why) {
                Some(reason) => {
                    self.give_up(id, &reason);
                    failed += 1;
                }
                None => {
                    self.requests.queue(id);
                    moved += 1;
                }
            }
        }
        let fate = format!("{moved} of its requests wait for another rank, {failed} failed");
        self.incident(format!("rank {rank} is lost: {why}; {fate}"));
    }

    fn note_loss(&mut self, rank: u32, why: &str) {
        self.counters.ranks_lost += 1;
        self.ranks.last_loss = Some((rank, why.to_owned()));
        self.command(Command::RankLost { rank, why: why.to_owned() });
    }

    fn reason_to_give_up(&mut self, id: u64, rank: u32, why: &str) -> Option<String> {
        let max_dispatches = self.settings.max_dispatches;
        let request = self.requests.get_mut(id)?;
        if request.aborted {
            Some(format!("aborted by the client; rank {rank}, which had it, is lost: {why}"))
        } else if request.num_dispatches >= max_dispatches {
            Some(format!(
                "given up after {max_dispatches} dispatches to ranks that were lost; the last, rank {rank}: {why}"
            ))
        } else {
            None
        }
    }
}
