//! Cheap peers of a coordinator: a client, and eight ranks that answer at once. They send bytes that were encoded before, and
//! can be connected to each other without a coordinator.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use goldlap::coordinator::wire::{ClientMessage, Header, PROTOCOL_VERSION, RankMessage, RankReady};

use crate::messages::{FIRST_ID, Stamped, list_frame, number};

pub(crate) const RANKS: u32 = 8;
/// Under way at once: what eight ranks may hold.
const WINDOW: usize = 8 * 256;

fn open(context: &zmq::Context, kind: zmq::SocketType) -> zmq::Socket {
    let socket = context.socket(kind).expect("a socket");
    socket.set_sndhwm(0).and_then(|()| socket.set_rcvhwm(0)).expect("no bounds");
    socket.set_linger(0).expect("no linger");
    socket
}

/// Eight ranks on one thread: whatever has come is answered at once.
pub(crate) struct Ranks {
    links: Vec<zmq::Socket>,
    /// Links are to the client itself.
    is_direct: bool,
    num_partials: usize,
    over: Arc<AtomicBool>,
    answer: Stamped,
    partial: Stamped,
}

/// Ranks that serve. [`Self::end`] ends them.
pub(crate) struct ServingRanks {
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl ServingRanks {
    pub(crate) fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the ranks' thread");
    }
}

impl Ranks {
    /// Ranks of the coordinator at `endpoint`. Every answer is preceded by so many streamed tokens.
    pub(crate) fn of_coordinator(context: &zmq::Context, endpoint: &str, num_partials: usize) -> Ranks {
        let link = |rank: u32| {
            let link = open(context, zmq::DEALER);
            link.set_identity(format!("mp-coord-{rank}").as_bytes()).expect("an identity");
            link.connect(endpoint).expect("connected");
            let ready = RankReady {
                version: PROTOCOL_VERSION,
                pid: 1,
                device: "fake".into(),
                num_kv_blocks: 8,
                max_requests: 64,
            };
            link.send(RankMessage::Register.encode(), 0).expect("sent");
            link.send(RankMessage::Ready(ready).encode(), 0).expect("sent");
            link
        };
        Ranks { num_partials, ..Ranks::new((0..RANKS).map(link).collect(), Stamped::answer()) }
    }

    /// Ranks that a client reaches without a coordinator, at these endpoints; they send what it would get from one.
    pub(crate) fn direct(context: &zmq::Context) -> (Ranks, Vec<String>) {
        let links: Vec<zmq::Socket> = (0..RANKS).map(|_| open(context, zmq::ROUTER)).collect();
        let bind = |link: &zmq::Socket| {
            link.bind("tcp://127.0.0.1:*").expect("bound");
            link.get_last_endpoint().expect("an endpoint").expect("UTF-8")
        };
        let endpoints = links.iter().map(bind).collect();
        (Ranks { is_direct: true, ..Ranks::new(links, Stamped::reply()) }, endpoints)
    }

    fn new(links: Vec<zmq::Socket>, answer: Stamped) -> Ranks {
        let over = Arc::new(AtomicBool::new(false));
        Ranks { links, is_direct: false, num_partials: 0, over, answer, partial: Stamped::partial() }
    }

    /// Serves on a thread of its own.
    pub(crate) fn start(self) -> ServingRanks {
        let over = self.over.clone();
        let thread = std::thread::Builder::new().name("ranks".into()).spawn(move || self.serve());
        ServingRanks { over, thread: thread.expect("a thread") }
    }

    fn serve(mut self) {
        let (mut message, mut ids) = (zmq::Message::new(), Vec::new());
        while !self.over.load(Ordering::Relaxed) {
            let mut items: Vec<_> = self.links.iter().map(|link| link.as_poll_item(zmq::POLLIN)).collect();
            zmq::poll(&mut items, 100).expect("polled");
            for rank in 0..self.links.len() {
                ids.clear();
                while self.links[rank].recv(&mut message, zmq::DONTWAIT).is_ok() {
                    if self.is_direct {
                        self.reply_to(rank, &message);
                    } else if message[1] == Header::SubmitRequest as u8 {
                        ids.push(number(&message[2..]));
                    }
                }
                if !ids.is_empty() {
                    self.answer(rank, &ids);
                }
            }
        }
    }

    /// Takes the rest of a client's message and answers it.
    fn reply_to(&mut self, rank: usize, client: &[u8]) {
        let link = &self.links[rank];
        let request = link.recv_msg(0).expect("the rest of the message");
        link.send(client, zmq::SNDMORE).expect("sent");
        link.send(self.answer.with(number(&request[2..])), 0).expect("sent");
    }

    /// In one message, as after a step.
    fn answer(&mut self, rank: usize, ids: &[u64]) {
        for _ in 0..self.num_partials {
            self.send_list(rank, Header::EngineReplyPartial, ids);
        }
        self.send_list(rank, Header::EngineReply, ids);
    }

    fn send_list(&mut self, rank: usize, header: Header, ids: &[u64]) {
        let stamped = if header == Header::EngineReply { &mut self.answer } else { &mut self.partial };
        let mut bytes = list_frame(header as u8, ids.len()).to_vec();
        for &id in ids {
            bytes.extend_from_slice(stamped.with(id));
        }
        self.links[rank].send(bytes, 0).expect("sent");
    }
}

/// A client that sends the same request again and again.
pub(crate) struct LoadClient {
    link: zmq::Socket,
    submit: Stamped,
    message: zmq::Message,
}

impl LoadClient {
    /// A client of the coordinator at `endpoint`.
    pub(crate) fn of_coordinator(context: &zmq::Context, endpoint: &str) -> LoadClient {
        let client = LoadClient::direct(context, &[endpoint.to_owned()]);
        client.link.send(ClientMessage::Connect.encode(), 0).expect("sent");
        client.link.recv_msg(0).expect("a greeting");
        client.link.send(ClientMessage::Hello { version: PROTOCOL_VERSION }.encode(), 0).expect("sent");
        client
    }

    /// A client that sends to each of these in turn.
    pub(crate) fn direct(context: &zmq::Context, endpoints: &[String]) -> LoadClient {
        let link = open(context, zmq::DEALER);
        for endpoint in endpoints {
            link.connect(endpoint).expect("connected");
        }
        LoadClient { link, submit: Stamped::submit(), message: zmq::Message::new() }
    }

    pub(crate) fn send(&mut self, index: usize) {
        self.link.send(self.submit.with(FIRST_ID + index as u64), 0).expect("sent");
    }

    /// Index of a request that was answered, if an answer is there.
    pub(crate) fn receive(&mut self, flags: i32) -> Option<usize> {
        self.link.recv(&mut self.message, flags).ok()?;
        let is_final = self.message[1] == Header::EngineReply as u8;
        is_final.then(|| (number(&self.message[2..]) - FIRST_ID) as usize)
    }

    /// Sends `count` requests with a full window all the time; seconds until the last answer.
    pub(crate) fn flood(&mut self, count: usize) -> f64 {
        let start = Instant::now();
        let (mut num_sent, mut num_answered) = (0, 0);
        while num_answered < count {
            while num_sent < count && num_sent < num_answered + WINDOW {
                self.send(num_sent);
                num_sent += 1;
            }
            num_answered += usize::from(self.receive(0).is_some());
            // Streamed tokens are no answers; what else is there already is taken too.
            while self.link.get_events().expect("events").contains(zmq::POLLIN) {
                num_answered += usize::from(self.receive(zmq::DONTWAIT).is_some());
            }
        }
        start.elapsed().as_secs_f64()
    }

    pub(crate) fn leave(&self) {
        self.link.send(ClientMessage::Disconnect.encode(), 0).expect("sent");
    }
}
