//! The client's connection to the coordinator.

use std::time::Duration;

use crate::coordinator::SocketError;
use crate::coordinator::socket::Dealer;
use crate::coordinator::wire::{ClientMessage, ClientReply, ControlSignal, Versions, WireError, WireLimits};
use crate::metrics::{Clock, Incident};
use crate::plan::Conduct;

/// Why a client cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Nobody answered.
    #[error("no coordinator answered at {endpoint} within {timeout:?}")]
    NoAnswer {
        /// Where it should be.
        endpoint: String,
        /// How long the client waited.
        timeout: Duration,
    },
    /// Somebody answered in another language.
    #[error("what listens at {endpoint} is not a coordinator: {error}")]
    NotACoordinator {
        /// Where.
        endpoint: String,
        /// What was wrong with its answer.
        error: WireError,
    },
}

/// How long the last messages may take to get out.
const LINGER: Duration = Duration::from_millis(500);

/// A connected client. Nothing it does waits without a bound; dropping it takes its leave of the coordinator,
/// which then drops what the client still waits for.
pub struct Client {
    pub(super) dealer: Dealer,
    pub(super) limits: WireLimits,
    pub(super) clock: Clock,
    /// Id of the first request of the next run.
    pub(super) next_id: u64,
    pub(super) incidents: Vec<Incident>,
    pub(super) conduct: Conduct,
    coordinator_ended: bool,
    /// The coordinator is ours: it knows our additions.
    announced: bool,
    /// The coordinator knows ABORT_REQUEST: it is ours, or one that streams. 0.19's does neither, and would end of it.
    pub(super) knows_aborts: bool,
}

impl Client {
    /// Connects to a Goldlap coordinator at `tcp://127.0.0.1:<port>` and waits for its greeting.
    pub fn connect(endpoint: &str, clock: Clock, timeout: Duration) -> Result<Client, ClientError> {
        let mut client = Client::connect_plainly(endpoint, clock, timeout)?;
        client.send(&ClientMessage::Hello { versions: Versions::OURS })?;
        client.announced = true;
        client.knows_aborts = true;
        Ok(client)
    }

    /// Connects to any coordinator at `tcp://HOST:PORT`, and says nothing that the original's does not know: it would
    /// end of an unknown header.
    pub fn connect_plainly(endpoint: &str, clock: Clock, timeout: Duration) -> Result<Client, ClientError> {
        let dealer = Dealer::connect(endpoint, None, LINGER)?;
        dealer.send(ClientMessage::Connect.encode())?;
        let limits = WireLimits::default();
        let deadline_s = clock.now_s() + timeout.as_secs_f64();
        let greeting = loop {
            let left = clock.until(deadline_s);
            if let Some(payload) = dealer.receive(left)? {
                break ClientReply::decode(&payload, &limits);
            }
            if left.is_zero() {
                return Err(ClientError::NoAnswer { endpoint: endpoint.into(), timeout });
            }
        };
        // Nothing but the greeting can be the first message: replies need a request.
        greeting.map_err(|error| ClientError::NotACoordinator { endpoint: endpoint.into(), error })?;
        Ok(Client {
            dealer,
            limits,
            clock,
            next_id: 0,
            incidents: Vec::new(),
            conduct: Conduct::default(),
            coordinator_ended: false,
            announced: false,
            knows_aborts: false,
        })
    }

    /// What the client does between requests, from the next run on.
    pub fn set_conduct(&mut self, conduct: Conduct) {
        self.conduct = conduct;
    }

    /// Ranks hold still after the step they are in.
    pub fn pause(&mut self) -> Result<(), ClientError> {
        self.control(ControlSignal::Pause)
    }

    /// Ranks end; only after [`Client::pause`]. Each then hands its record to the coordinator.
    pub fn stop(&mut self) -> Result<(), ClientError> {
        self.control(ControlSignal::Stop)
    }

    /// Sends any signal to all ranks. The protocol has no acknowledgement.
    pub fn control(&mut self, signal: ControlSignal) -> Result<(), ClientError> {
        Ok(self.send(&ClientMessage::Control(signal))?)
    }

    /// Ends the coordinator, which fails what is unfinished.
    pub fn shutdown(&mut self) -> Result<(), ClientError> {
        self.send(&ClientMessage::Shutdown)?;
        self.coordinator_ended = true;
        Ok(())
    }

    /// What went wrong on the connection and was survived, in time order.
    pub fn incidents(&self) -> &[Incident] {
        &self.incidents
    }

    pub(super) fn send(&self, message: &ClientMessage) -> Result<(), SocketError> {
        self.dealer.send(message.encode())
    }

    pub(super) fn incident(&mut self, what: String) {
        // Enough to see a pattern; a flood must not fill the memory.
        const KEPT: usize = 1000;
        if self.incidents.len() < KEPT {
            self.incidents.push(Incident { at_s: self.clock.now_s(), what });
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // DISCONNECT of a client is ours; the original takes it for a rank's.
        if self.announced && !self.coordinator_ended {
            // Only a courtesy: an unreachable client is noticed too.
            let _ = self.send(&ClientMessage::Disconnect);
        }
    }
}
