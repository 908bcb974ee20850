//! The only file that names ZMQ: the coordinator's ROUTER, and the DEALER of its peers.
//!
//! Nothing here waits without a bound: every receive polls with a timeout, sends do not wait (ROUTER) or wait a
//! bounded time (DEALER), and every socket lingers a bounded time, since ZMQ's default is to wait for ever.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A socket that could not be opened or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct SocketError {
    what: String,
    why: String,
}

impl SocketError {
    pub(crate) fn new(what: impl Into<String>, why: impl ToString) -> SocketError {
        SocketError { what: what.into(), why: why.to_string() }
    }
}

fn failed(what: impl Into<String>) -> impl FnOnce(zmq::Error) -> SocketError {
    move |error| SocketError::new(what, error)
}

fn milliseconds(timeout: Duration) -> i64 {
    // Rounded up: a wait of less than a millisecond must not become a busy loop.
    timeout.as_micros().div_ceil(1000).try_into().unwrap_or(i64::MAX)
}

/// Messages that a peer may leave unread before it counts as gone.
const SEND_QUEUE: i32 = 100_000;

/// What came from a peer, where the library has it.
pub(crate) struct Delivered {
    identity: zmq::Message,
    payload: zmq::Message,
    /// Frames after the identity; 1 in a well-formed message.
    pub(crate) num_frames: usize,
    /// Which connection an empty message came on, by which ranks register.
    pub(crate) connection: Option<Connection>,
}

/// A connection of a peer: its file descriptor, which a later one may have again.
pub(crate) type Connection = i32;

impl Delivered {
    /// ZMQ identity of the sender.
    pub(crate) fn identity(&self) -> &[u8] {
        &self.identity
    }

    /// First frame after the identity; empty if there was none.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// How a send ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Handed over to the connection.
    Queued,
    /// Nobody with that identity is connected.
    Unreachable,
    /// The peer does not read; its queue is full.
    Full,
}

/// The coordinator's socket.
pub(crate) struct Router {
    socket: zmq::Socket,
    wake: zmq::Socket,
    /// Tells which connections have closed; the protocol itself says nothing of it.
    monitor: zmq::Socket,
    endpoint: String,
}

/// Wakes a [`Router`] that waits, from another thread.
pub(crate) struct Waker(Mutex<zmq::Socket>);

impl Waker {
    pub(crate) fn wake(&self) {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A full queue means that the router will wake anyway; a closed one that it has ended.
        let _ = socket.send(&b""[..], zmq::DONTWAIT);
    }
}

impl Router {
    /// Binds to an endpoint such as `tcp://127.0.0.1:*`, a free port on loopback.
    pub(crate) fn bind(
        endpoint: &str,
        max_message_bytes: usize,
        linger: Duration,
    ) -> Result<(Router, Waker), SocketError> {
        let context = zmq::Context::new();
        let open =
            |kind, name: &str| context.socket(kind).map_err(failed(format!("cannot open a {name} socket")));
        let pair = || open(zmq::PAIR, "PAIR");
        let (socket, wake, waker, monitor) = (open(zmq::ROUTER, "ROUTER")?, pair()?, pair()?, pair()?);
        let configure = || {
            socket.set_router_mandatory(true)?;
            socket.set_linger(milliseconds(linger) as i32)?;
            socket.set_maxmsgsize(max_message_bytes as i64)?;
            socket.set_sndhwm(SEND_QUEUE)?;
            wake.set_linger(0)?;
            waker.set_linger(0)?;
            // The context is this router's own, so that the name cannot collide.
            wake.bind("inproc://wake")?;
            waker.connect("inproc://wake")?;
            monitor.set_linger(0)?;
            socket.monitor("inproc://monitor", zmq::SocketEvent::DISCONNECTED as i32)?;
            monitor.connect("inproc://monitor")
        };
        configure().map_err(failed("cannot set up the coordinator's sockets"))?;
        socket.bind(endpoint).map_err(failed(format!("cannot bind the coordinator to {endpoint}")))?;
        let endpoint =
            socket.get_last_endpoint().map_err(failed("cannot read the coordinator's endpoint"))?;
        let endpoint = endpoint
            .map_err(|_| SocketError::new("cannot read the coordinator's endpoint", "it is not UTF-8"))?;
        Ok((Router { socket, wake, monitor, endpoint }, Waker(Mutex::new(waker))))
    }

    /// `tcp://127.0.0.1:<port>`.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Waits until a message or a wake-up comes, or `timeout` has passed.
    pub(crate) fn wait(&self, timeout: Duration) -> Result<(), SocketError> {
        let mut items =
            [&self.socket, &self.wake, &self.monitor].map(|socket| socket.as_poll_item(zmq::POLLIN));
        match zmq::poll(&mut items, milliseconds(timeout)) {
            Ok(_) | Err(zmq::Error::EINTR) => {}
            Err(error) => return Err(failed("cannot wait for messages")(error)),
        }
        while self.wake.recv_bytes(zmq::DONTWAIT).is_ok() {}
        Ok(())
    }

    /// Connections that have closed since the last time, in that order.
    pub(crate) fn closed(&self) -> Vec<Connection> {
        let mut closed = Vec::new();
        // Two frames: the event's number and value in native order, and the address.
        while let Ok(frames) = self.monitor.recv_multipart(zmq::DONTWAIT) {
            if let Some([_, _, value @ ..]) = frames.first().and_then(|event| event.first_chunk::<6>()) {
                closed.push(Connection::from_ne_bytes(*value));
            }
        }
        closed
    }

    /// Takes a message that has come already.
    pub(crate) fn receive(&self) -> Result<Option<Delivered>, SocketError> {
        let mut identity = zmq::Message::new();
        match self.socket.recv(&mut identity, zmq::DONTWAIT) {
            Ok(()) => {}
            Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => return Ok(None),
            Err(error) => return Err(failed("cannot receive")(error)),
        };
        let mut has_more = identity.get_more();
        let mut delivered =
            Delivered { identity, payload: zmq::Message::new(), num_frames: 0, connection: None };
        while has_more {
            let mut frame = zmq::Message::new();
            // The later frames of a message are there once the first is.
            self.socket.recv(&mut frame, 0).map_err(failed("cannot receive"))?;
            has_more = frame.get_more();
            if delivered.num_frames == 0 {
                if frame.is_empty() {
                    // The library's own name for what it offers as ZMQ_SRCFD to C alone.
                    delivered.connection = frame.gets("__fd").and_then(|number| number.parse().ok());
                }
                delivered.payload = frame;
            }
            delivered.num_frames += 1;
        }
        Ok(Some(delivered))
    }

    /// Sends one message of several frames.
    #[cfg(test)]
    pub(crate) fn send_frames(&self, identity: &[u8], frames: &[&[u8]]) {
        let frames: Vec<&[u8]> = std::iter::once(identity).chain(frames.iter().copied()).collect();
        self.socket.send_multipart(frames, 0).expect("sent");
    }

    /// Sends without waiting.
    pub(crate) fn send(&self, identity: &[u8], payload: &[u8]) -> Result<Sent, SocketError> {
        match self.socket.send(identity, zmq::SNDMORE | zmq::DONTWAIT) {
            Ok(()) => {}
            Err(zmq::Error::EHOSTUNREACH) => return Ok(Sent::Unreachable),
            Err(zmq::Error::EAGAIN) => return Ok(Sent::Full),
            Err(error) => return Err(failed("cannot send")(error)),
        }
        match self.socket.send(payload, zmq::DONTWAIT) {
            Ok(()) => Ok(Sent::Queued),
            Err(zmq::Error::EHOSTUNREACH) => Ok(Sent::Unreachable),
            Err(zmq::Error::EAGAIN) => Ok(Sent::Full),
            Err(error) => Err(failed("cannot send")(error)),
        }
    }
}

/// A peer's end: a rank, or a client.
pub(crate) struct Dealer {
    socket: zmq::Socket,
}

impl Dealer {
    /// Starts to connect; a coordinator that is not there shows only when nothing is answered.
    /// A send blocks for two seconds at most; the last messages have `linger` to get out when the socket closes.
    pub(crate) fn connect(
        endpoint: &str,
        identity: Option<&str>,
        linger: Duration,
    ) -> Result<Dealer, SocketError> {
        let open = || {
            let socket = zmq::Context::new().socket(zmq::DEALER)?;
            if let Some(identity) = identity {
                socket.set_identity(identity.as_bytes())?;
            }
            socket.set_linger(milliseconds(linger) as i32)?;
            socket.set_sndtimeo(2000)?;
            socket.set_sndhwm(SEND_QUEUE)?;
            // As the original: replies wait in the receiver's memory, not in the coordinator's.
            socket.set_rcvhwm(0)?;
            socket.connect(endpoint)?;
            Ok(Dealer { socket })
        };
        open().map_err(failed(format!("cannot connect to the coordinator at {endpoint:?}")))
    }

    /// A peer that takes no more than a message at a time, if it reads at all.
    #[cfg(test)]
    pub(crate) fn connect_idle(endpoint: &str, identity: &str) -> Result<Dealer, zmq::Error> {
        let socket = zmq::Context::new().socket(zmq::DEALER)?;
        socket.set_identity(identity.as_bytes())?;
        socket.set_linger(0)?;
        socket.set_rcvhwm(1)?;
        socket.set_rcvbuf(1 << 12)?;
        socket.connect(endpoint)?;
        Ok(Dealer { socket })
    }

    /// Sends one message of several frames.
    #[cfg(test)]
    pub(crate) fn send_frames(&self, frames: &[&[u8]]) {
        self.socket.send_multipart(frames, 0).expect("sent");
    }

    /// Sends one message of one frame.
    pub(crate) fn send(&self, payload: Vec<u8>) -> Result<(), SocketError> {
        self.socket.send(payload, 0).map_err(failed("cannot send to the coordinator"))
    }

    /// Takes the next message, waiting for at most `timeout`. A signal ends the wait early.
    ///
    /// A message of several frames is an error: the sender speaks another protocol, and what is in the later frames
    /// must not be taken for messages.
    pub(crate) fn receive(&self, timeout: Duration) -> Result<Option<Vec<u8>>, SocketError> {
        let payload = self.next(timeout)?;
        if payload.is_some() && self.socket.get_rcvmore().map_err(failed("cannot receive"))? {
            let why = "it splits messages into frames; Megatron-LM up to 0.19 and Goldlap do not";
            return Err(SocketError::new("cannot understand the coordinator", why));
        }
        Ok(payload)
    }

    /// The first frame of the next message.
    fn next(&self, timeout: Duration) -> Result<Option<Vec<u8>>, SocketError> {
        let error = match self.socket.recv_bytes(zmq::DONTWAIT) {
            Ok(payload) => return Ok(Some(payload)),
            Err(zmq::Error::EAGAIN) if !timeout.is_zero() => {
                match self.socket.poll(zmq::POLLIN, milliseconds(timeout)) {
                    Ok(0) => return Ok(None),
                    Ok(_) => match self.socket.recv_bytes(zmq::DONTWAIT) {
                        Ok(payload) => return Ok(Some(payload)),
                        Err(error) => error,
                    },
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        if matches!(error, zmq::Error::EAGAIN | zmq::Error::EINTR) {
            return Ok(None);
        }
        Err(failed("cannot receive from the coordinator")(error))
    }
}
