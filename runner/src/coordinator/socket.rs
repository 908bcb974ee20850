//! The only file that names ZMQ: the coordinator's ROUTER, and the DEALER of its peers.
//!
//! Nothing here waits without a bound: every receive polls with a timeout, sends do not wait (ROUTER) or wait a
//! bounded time (DEALER), and every socket lingers a bounded time, since ZMQ's default is to wait for ever.

use std::time::Duration;

/// A socket that could not be opened or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct SocketError {
    what: String,
    why: String,
}

fn failed(what: impl Into<String>) -> impl FnOnce(zmq::Error) -> SocketError {
    move |error| SocketError { what: what.into(), why: error.to_string() }
}

fn milliseconds(timeout: Duration) -> i64 {
    // Rounded up: a wait of less than a millisecond must not become a busy loop.
    timeout.as_micros().div_ceil(1000).try_into().unwrap_or(i64::MAX)
}

/// Messages that a peer may leave unread before it counts as gone.
const SEND_QUEUE: i32 = 100_000;

/// A peer's end: a rank, or a client.
pub(crate) struct Dealer {
    socket: zmq::Socket,
}

impl Dealer {
    /// Starts to connect; a coordinator that is not there shows only when nothing is answered.
    /// `patience` bounds one send, and how long the last messages may take when the socket closes.
    pub(crate) fn connect(
        endpoint: &str,
        identity: Option<&str>,
        patience: Duration,
    ) -> Result<Dealer, SocketError> {
        let open = || {
            let socket = zmq::Context::new().socket(zmq::DEALER)?;
            if let Some(identity) = identity {
                socket.set_identity(identity.as_bytes())?;
            }
            socket.set_linger(milliseconds(patience) as i32)?;
            socket.set_sndtimeo(milliseconds(patience) as i32)?;
            socket.set_sndhwm(SEND_QUEUE)?;
            // As the original: replies wait in the receiver's memory, not in the coordinator's.
            socket.set_rcvhwm(0)?;
            socket.connect(endpoint)?;
            Ok(Dealer { socket })
        };
        open().map_err(failed(format!("cannot connect to the coordinator at {endpoint:?}")))
    }

    /// Sends one message of one frame.
    pub(crate) fn send(&self, payload: Vec<u8>) -> Result<(), SocketError> {
        self.socket.send(payload, 0).map_err(failed("cannot send to the coordinator"))
    }

    /// Takes the next message, waiting for at most `timeout`. A signal ends the wait early.
    pub(crate) fn receive(&self, timeout: Duration) -> Result<Option<Vec<u8>>, SocketError> {
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
        match error {
            zmq::Error::EAGAIN | zmq::Error::EINTR => Ok(None),
            other => Err(failed("cannot receive from the coordinator")(other)),
        }
    }
}
