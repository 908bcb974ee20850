//! The state machine's answers to clients' messages.

use super::lifecycle::Verdict;
use super::requests::Request;
use super::routing::rank_of;
use super::state::{Command, Identity, State, failure};
use super::wire::{
    BadMessage, ClientMessage, ClientReply, ControlSignal, Prompt, RankCommand, SamplingParams, Submit,
    Versions, WireError,
};

impl State {
    pub(super) fn on_client(&mut self, client: Identity, message: ClientMessage) {
        if message == ClientMessage::Connect {
            return self.connect(&client);
        }
        if self.clients.get(&client).is_none() {
            self.counters.out_of_place += 1;
            return;
        }
        match message {
            ClientMessage::Connect => {}
            ClientMessage::Hello { versions } => self.hello(&client, versions),
            ClientMessage::Submit(submit) => self.submit(client, submit),
            ClientMessage::Abort { client_id } => self.abort(&client, client_id),
            ClientMessage::SubmitWithKv { client_id } => {
                let reason = "a request with a KV cache in another engine is not supported here";
                self.refuse(&client, client_id, SamplingParams::default(), reason);
            }
            ClientMessage::ReleaseKv => self.counters.out_of_place += 1,
            ClientMessage::Control(signal) => self.control(&client, signal),
            ClientMessage::Disconnect => self.lose_client(&client),
            ClientMessage::Shutdown => self.shut_down("a client shut the coordinator down"),
        }
    }

    /// A second CONNECT gets no answer, as in the original.
    fn connect(&mut self, client: &Identity) {
        let full = self.clients.len() >= self.settings.max_clients;
        if self.clients.get(client).is_some() || full {
            self.counters.out_of_place += 1;
            return;
        }
        self.clients.connect(client);
        self.tell_client(client, ClientReply::ConnectAck);
    }

    fn hello(&mut self, client: &[u8], versions: Versions) {
        // From here on it is known to understand a refusal, whichever version it speaks.
        let Some(version) = versions.common(Versions::OURS) else {
            let reason = format!("the client speaks {versions}, this coordinator {}", Versions::OURS);
            return self.tell_client(client, ClientReply::Refusal { reason });
        };
        if versions.are_several() {
            self.tell_client(client, ClientReply::Agreed { version });
        }
        if let Some(client) = self.clients.get_mut(client) {
            client.announced = true;
        }
    }

    fn submit(&mut self, client: Identity, mut submit: Submit) {
        let client_id = submit.id;
        if self.clients.get(&client).is_some_and(|client| client.open.contains_key(&client_id)) {
            // A final answer would be taken for that of the request that is open under this id.
            self.counters.out_of_place += 1;
            return self.refuse_message(&client, format!("request id {client_id} is still open"));
        }
        let limit = self.settings.max_requests;
        if self.requests.len() >= limit {
            let reason = format!("the coordinator holds {limit} unfinished requests, its limit");
            return self.refuse(&client, client_id, submit.sampling, &reason);
        }
        if !self.ranks.any_hope() {
            let reason = self.no_rank_left();
            return self.refuse(&client, client_id, submit.sampling, &reason);
        }
        let text = match self.take_text(&mut submit) {
            Ok(text) => text,
            Err(reason) => return self.refuse(&client, client_id, submit.sampling, &reason),
        };
        let id = self.requests.new_id();
        submit.id = id;
        if let Some(client) = self.clients.get_mut(&client) {
            client.open.insert(client_id, id);
        }
        self.counters.accepted += 1;
        let block_names = self.block_names(&submit);
        let mut request = Request::new(client, client_id, submit);
        request.block_names = block_names;
        request.text = text;
        self.requests.insert(request);
    }

    /// Makes tokens of a prompt that is text; returns the text.
    fn take_text(&self, submit: &mut Submit) -> Result<Option<String>, String> {
        let (Some(tokenize), Prompt::Text(text)) = (&self.settings.tokenize, &mut submit.prompt) else {
            return Ok(None);
        };
        let text = std::mem::take(text);
        submit.prompt = Prompt::Tokens(tokenize(&text, submit.sampling.add_bos)?);
        Ok(Some(text))
    }

    /// Answers a request FAILED without taking it in.
    fn refuse(&mut self, client: &[u8], client_id: u64, sampling: SamplingParams, reason: &str) {
        self.counters.refused += 1;
        let id = self.requests.new_id();
        let reply = failure(id, sampling, reason, self.now_s);
        self.answer(client, client_id, reply);
    }

    /// Tells a client of ours that a message came to nothing; others would not understand.
    fn refuse_message(&mut self, client: &[u8], reason: String) {
        if self.clients.is_announced(client) {
            self.tell_client(client, ClientReply::Refusal { reason });
        }
    }

    fn abort(&mut self, client: &[u8], client_id: u64) {
        self.counters.aborts += 1;
        let open = self.clients.get(client).and_then(|client| client.open.get(&client_id).copied());
        let Some(id) = open else {
            self.counters.unknown_ids += 1;
            return;
        };
        let Some(request) = self.requests.get_mut(id) else { return };
        request.aborted = true;
        match request.rank {
            // The rank ends the request and sends its final answer.
            Some(rank) => self.abort_at(rank, id),
            None => self.give_up(id, "aborted by the client before a rank had it"),
        }
    }

    fn control(&mut self, client: &[u8], signal: ControlSignal) {
        let next = match self.lifecycle.judge(signal) {
            Verdict::Forward(next) => next,
            Verdict::Ignore => {
                return self.note(format!("{}: nothing to do while {:?}", signal.header(), self.lifecycle));
            }
            Verdict::Illegal => {
                self.counters.out_of_place += 1;
                let state = self.lifecycle;
                self.note(format!("{}: has no meaning while {state:?}, not passed on", signal.header()));
                return self
                    .refuse_message(client, format!("{} has no meaning while {state:?}", signal.header()));
            }
        };
        let ranks: Vec<u32> = self.ranks.live().map(|(number, _)| number).collect();
        let num_ranks = ranks.len();
        for rank in ranks {
            self.tell_rank(rank, RankCommand::Control(signal));
        }
        let header = signal.header();
        self.acknowledgements.expect(header.to_string(), self.now_s, &mut self.ranks);
        self.note(format!("{header}: {:?} -> {next:?}, passed on to {num_ranks} ranks", self.lifecycle));
        if !self.clients.is_announced(client) {
            self.tell_client(client, ClientReply::ControlAck { signal });
        }
        self.lifecycle = next;
        if signal == ControlSignal::Stop {
            // Ranks drop what they have without a word.
            self.give_up_all("the ranks were stopped before it was finished");
            self.ranks.stop_all();
        }
    }

    /// Drops a client that cannot be reached or leaves, and all it waits for.
    pub(super) fn lose_client(&mut self, client: &[u8]) {
        let Some(gone) = self.clients.remove(client) else { return };
        for &id in gone.open.values() {
            let Some(request) = self.requests.remove(id) else { continue };
            self.counters.abandoned += 1;
            let Some(rank) = request.rank else { continue };
            if let Some(rank) = self.ranks.get_mut(rank) {
                rank.take_back(id, &request.block_names);
            }
            self.abort_at(rank, id);
        }
        if !gone.open.is_empty() {
            self.incident(format!("a client went away with {} unfinished requests", gone.open.len()));
        }
    }

    pub(super) fn on_malformed(&mut self, identity: &[u8], bad: BadMessage) {
        self.counters.malformed += 1;
        if let Some(rank) = rank_of(identity) {
            return self.on_malformed_rank(rank, &bad.error);
        }
        let Some(client) = self.clients.get(identity) else { return };
        if matches!(bad.error, WireError::Frames { .. }) {
            // What is newer than the original's 0.19 may be meant; the client will wait for an answer in vain.
            self.note(format!("a client's message came to nothing: {}", bad.error));
            return self.refuse_message(identity, bad.to_string());
        }
        match bad.request {
            Some(client_id) if !client.open.contains_key(&client_id) => {
                self.refuse(identity, client_id, SamplingParams::default(), &bad.to_string());
            }
            Some(_) | None => self.refuse_message(identity, bad.to_string()),
        }
    }

    /// A rank that cannot be understood may have sent an answer that nobody will see again.
    fn on_malformed_rank(&mut self, rank: u32, error: &WireError) {
        if matches!(error, WireError::UnknownHeader { .. } | WireError::WrongDirection { .. }) {
            // Nothing that answers a request.
            return;
        }
        self.lose_rank(rank, &format!("it sent a message that cannot be read: {error}"), true);
    }

    pub(super) fn shut_down(&mut self, why: &str) {
        self.give_up_all(&format!("{why} before it was finished"));
        // Ranks of ours end in every state; a foreign engine would not survive it.
        let ours = self.ranks.live().filter(|(_, rank)| rank.ready.is_some());
        for rank in ours.map(|(number, _)| number).collect::<Vec<_>>() {
            self.tell_rank(rank, RankCommand::Control(ControlSignal::Stop));
        }
        self.command(Command::End);
    }
}
