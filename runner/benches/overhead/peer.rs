//! One end of a ZMTP 3.0 connection (<https://rfc.zeromq.org/spec/23/>) on the thread that uses it. libzmq gives each peer a
//! thread for its sockets, which on two cores costs more than the coordinator that is to be measured.

use std::io::{Read, Write};
use std::net::TcpStream;

/// Flags of a frame.
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// A connected peer, which blocks.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    /// What came and is not taken yet is `received[taken..]`.
    received: Vec<u8>,
    taken: usize,
    to_send: Vec<u8>,
}

impl Peer {
    /// A DEALER of the socket bound to `endpoint`.
    pub(crate) fn dealer(endpoint: &str, identity: &str) -> Peer {
        let address = endpoint.strip_prefix("tcp://").expect("an endpoint");
        let mut peer = Peer::of(TcpStream::connect(address).expect("connected"));
        let mut greeting = [0; 64];
        (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
        greeting[12..16].copy_from_slice(b"NULL");
        peer.stream.write_all(&greeting).expect("sent");
        peer.stream.read_exact(&mut greeting).expect("a greeting");
        assert_eq!((greeting[0], greeting[10]), (0xff, 3), "ZMTP 3");
        let mut ready = b"\x05READY".to_vec();
        for (name, value) in [("Socket-Type", "DEALER"), ("Identity", identity)] {
            ready.push(name.len() as u8);
            ready.extend_from_slice(name.as_bytes());
            ready.extend_from_slice(&(value.len() as u32).to_be_bytes());
            ready.extend_from_slice(value.as_bytes());
        }
        peer.add_frame(COMMAND, &ready);
        peer.flush();
        peer
    }

    /// An end of a connection that has no handshake.
    pub(crate) fn of(stream: TcpStream) -> Peer {
        stream.set_nodelay(true).expect("no delay");
        Peer { stream, received: Vec::new(), taken: 0, to_send: Vec::new() }
    }

    /// The same connection, for another thread.
    pub(crate) fn twin(&self) -> Peer {
        Peer::of(self.stream.try_clone().expect("a file descriptor"))
    }

    fn add_frame(&mut self, flags: u8, body: &[u8]) {
        match u8::try_from(body.len()) {
            Ok(size) => self.to_send.extend_from_slice(&[flags, size]),
            Err(_) => {
                self.to_send.push(flags | LONG);
                self.to_send.extend_from_slice(&(body.len() as u64).to_be_bytes());
            }
        }
        self.to_send.extend_from_slice(body);
    }

    /// A message of one frame, for the next [`Self::flush`].
    pub(crate) fn add(&mut self, message: &[u8]) {
        self.add_frame(0, message);
    }

    pub(crate) fn flush(&mut self) {
        self.stream.write_all(&self.to_send).expect("sent");
        self.to_send.clear();
    }

    /// Waits for bytes and takes those that are there; false at the end of the connection.
    pub(crate) fn fill(&mut self) -> bool {
        self.received.drain(..self.taken);
        self.taken = 0;
        let len = self.received.len();
        self.received.resize(len + (64 << 10), 0);
        let count = self.stream.read(&mut self.received[len..]).expect("bytes");
        self.received.truncate(len + count);
        count > 0
    }

    /// The next whole message of what was taken.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        loop {
            let (&[flags, size], _) = self.received.get(self.taken..)?.split_first_chunk()?;
            let (start, size) = if flags & LONG == 0 {
                (self.taken + 2, usize::from(size))
            } else {
                let size = self.received.get(self.taken + 1..)?.first_chunk()?;
                (self.taken + 9, u64::from_be_bytes(*size) as usize)
            };
            self.received.get(start..start + size)?;
            self.taken = start + size;
            if flags & COMMAND == 0 {
                return Some(&self.received[start..start + size]);
            }
        }
    }

    /// Waits for the next message.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        loop {
            if let Some(message) = self.next() {
                return message.to_vec();
            }
            assert!(self.fill(), "the connection ended");
        }
    }
}
