//! The coordinator's thread: messages become events, commands become messages.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::connections::Connections;
use super::handle::Shared;
use super::routing::{identity_of, rank_of};
use super::socket::{Delivered, Router, Sent, SocketError};
use super::state::{Command, Event, Identity, State};
use super::wire::{ClientMessage, Numbering, RankMessage, WireError, WireLimits};
use crate::metrics::Clock;

/// Longest sleep: how late silence may be noticed.
const TICK: Duration = Duration::from_millis(50);

/// How long ranks may take to read that they are to stop, and to say good-bye.
const FAREWELL_S: f64 = 0.5;

/// Messages handled before the parent's events have their turn.
const BATCH: usize = 512;

/// Full batches in a row after which time passes all the same. Until then a rank whose messages lie unread in our
/// own socket must not be taken for silent.
const MAX_FULL_BATCHES: usize = 64;

pub(super) struct Server {
    pub(super) router: Router,
    pub(super) state: State,
    pub(super) from_parent: Receiver<Event>,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Clock,
    pub(super) limits: WireLimits,
    pub(super) connections: Connections,
    /// Clients with an older release's header numbers.
    pub(super) old_clients: HashMap<Identity, Numbering>,
}

impl Server {
    /// Serves until the state machine commands the end.
    pub(super) fn run(mut self) -> Result<(), SocketError> {
        let mut full_batches = 0;
        loop {
            self.router.wait(TICK)?;
            self.connections.close(self.router.closed());
            if self.take_batch()? {
                full_batches = 0;
            } else {
                full_batches += 1;
            }
            if full_batches == 0 || full_batches >= MAX_FULL_BATCHES {
                for rank in self.connections.all_is_read() {
                    self.apply(Event::RankDisconnected { rank })?;
                }
                // After the messages: what a rank said before its process ended counts.
                while let Ok(event) = self.from_parent.try_recv() {
                    self.apply(event)?;
                }
                self.apply(Event::Tick)?;
            }
            self.shared.publish(self.state.stats());
            if self.shared.has_ended() {
                return self.hear_farewells();
            }
        }
    }

    /// Ranks of ours were told to stop. A socket that closes while something on it is unread, such as a heartbeat, is reset, and
    /// what was sent last may be lost with it: here, STOP.
    fn hear_farewells(&self) -> Result<(), SocketError> {
        let ours = self.state.ranks.live().filter(|(_, rank)| rank.ready.is_some());
        let mut awaited: BTreeSet<u32> = ours.map(|(number, _)| number).collect();
        let deadline_s = self.clock.now_s() + FAREWELL_S;
        while !awaited.is_empty() && self.clock.now_s() < deadline_s {
            self.router.wait(self.clock.until(deadline_s).min(TICK))?;
            while let Some(delivered) = self.router.receive()? {
                let message = RankMessage::decode(delivered.payload(), &self.limits);
                if let (Some(rank), Ok(RankMessage::Disconnect)) = (rank_of(delivered.identity()), message) {
                    awaited.remove(&rank);
                }
            }
        }
        Ok(())
    }

    /// Handles what has come, up to a full batch; true if nothing is left.
    fn take_batch(&mut self) -> Result<bool, SocketError> {
        for _ in 0..BATCH {
            let Some(delivered) = self.router.receive()? else { return Ok(true) };
            self.note_registration(&delivered)?;
            let event = self.event_of(&delivered);
            self.apply(event)?;
        }
        Ok(false)
    }

    /// Where a rank is that registers; and if it is one that was lost and comes again, that it was lost.
    fn note_registration(&mut self, delivered: &Delivered) -> Result<(), SocketError> {
        let Some((connection, rank)) = delivered.connection.zip(rank_of(delivered.identity())) else {
            return Ok(());
        };
        self.connections.close(self.router.closed());
        if self.connections.register(connection, rank) {
            self.apply(Event::RankDisconnected { rank })?;
        }
        Ok(())
    }

    fn event_of(&mut self, delivered: &Delivered) -> Event {
        let (identity, payload) = (delivered.identity(), delivered.payload());
        if delivered.num_frames != 1 {
            let error = WireError::Frames { got: delivered.num_frames }.into();
            return Event::Malformed { identity: identity.to_vec(), error };
        }
        match rank_of(identity) {
            Some(rank) => match RankMessage::decode(payload, &self.limits) {
                Ok(message) => Event::FromRank { rank, message },
                Err(error) => Event::Malformed { identity: identity.to_vec(), error: error.into() },
            },
            None => {
                let client = identity.to_vec();
                let numbering = self.numbering(&client, payload);
                match ClientMessage::decode_as(payload, &self.limits, numbering) {
                    Ok(message) => Event::FromClient { client, message },
                    Err(error) => Event::Malformed { identity: client, error },
                }
            }
        }
    }

    /// Whose header numbers a client uses: its greeting decides.
    fn numbering(&mut self, identity: &Identity, payload: &[u8]) -> Numbering {
        if Numbering::is_old_greeting(payload) && !self.state.clients.contains(identity) {
            // Of clients that have gone, or that were not taken in, nothing is kept.
            self.old_clients.retain(|known, _| self.state.clients.contains(known));
            self.old_clients.insert(identity.clone(), self.state.settings.old_clients);
        }
        self.old_clients.get(identity).copied().unwrap_or_default()
    }

    /// Runs one event through the state machine, and the events that its commands cause.
    fn apply(&mut self, event: Event) -> Result<(), SocketError> {
        let (mut next, mut caused) = (Some(event), VecDeque::new());
        while let Some(event) = next {
            let mut commands = self.state.handle(self.clock.now_s(), event);
            for command in commands.drain(..) {
                caused.extend(self.execute(command)?);
            }
            self.state.reuse(commands);
            next = caused.pop_front();
        }
        Ok(())
    }

    /// Does what was commanded; the event of a message that could not be delivered, if so.
    fn execute(&self, command: Command) -> Result<Option<Event>, SocketError> {
        match command {
            Command::ToClient { client, reply } => {
                let numbering = self.old_clients.get(&client).copied().unwrap_or_default();
                let Some(bytes) = reply.encode_as(numbering) else { return Ok(None) };
                let sent = self.router.send(&client, &bytes)?;
                return Ok((sent != Sent::Queued).then_some(Event::ClientUnreachable { client }));
            }
            Command::ToRank { rank, command } => {
                let why = match self.router.send(identity_of(rank).as_bytes(), &command.encode())? {
                    Sent::Queued => return Ok(None),
                    Sent::Unreachable => "it is no longer connected".into(),
                    Sent::Full => "it does not read its messages".into(),
                };
                return Ok(Some(Event::RankUnreachable { rank, why }));
            }
            Command::RankReady { rank, ready } => self.shared.set_ready(rank, ready),
            Command::RankLost { rank, why } => self.shared.set_lost(rank, why),
            Command::RankLeft { rank } => self.shared.set_left(rank),
            Command::RankReport(record) => self.shared.add_report(*record),
            Command::Note(note) => self.shared.add_note(note),
            Command::Routed(decision) => self.shared.add_decision(decision),
            Command::Report(incident) => self.shared.add_incident(incident),
            Command::End => self.shared.set_ended(Ok(())),
        }
        Ok(None)
    }
}
