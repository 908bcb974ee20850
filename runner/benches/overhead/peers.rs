//! Cheap peers of a coordinator: a client, and eight ranks that answer at once. They send bytes that were encoded before, and
//! can be connected to each other without a coordinator.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use goldlap::coordinator::wire::{ClientMessage, Header, RankMessage, RankReady, Versions};

use crate::messages::{FIRST_ID, Stamped, list_frame, number};
use crate::peer::Peer;

pub(crate) const RANKS: u32 = 8;
/// Under way at once: what eight ranks may hold.
const WINDOW: usize = 8 * 256;

/// Eight ranks on one thread: whatever has come is answered at once.
pub(crate) struct Ranks {
    links: Vec<Peer>,
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
    pub(crate) fn of_coordinator(endpoint: &str, num_partials: usize) -> Ranks {
        let link = |rank: u32| {
            let mut link = Peer::dealer(endpoint, &format!("mp-coord-{rank}"));
            let ready = RankReady {
                versions: Versions::OURS,
                pid: 1,
                device: "fake".into(),
                num_kv_blocks: 8,
                max_requests: 64,
            };
            link.add(&RankMessage::Register.encode());
            link.add(&RankMessage::Ready(ready).encode());
            link.flush();
            link
        };
        let (answer, partial) = (Stamped::answer(), Stamped::partial());
        let over = Arc::new(AtomicBool::new(false));
        Ranks { links: (0..RANKS).map(link).collect(), num_partials, over, answer, partial }
    }

    /// Serves on a thread of its own.
    pub(crate) fn start(self) -> ServingRanks {
        let over = self.over.clone();
        let thread = std::thread::Builder::new().name("ranks".into()).spawn(move || self.serve());
        ServingRanks { over, thread: thread.expect("a thread") }
    }

    fn serve(mut self) {
        let mut ids = Vec::new();
        while !self.over.load(Ordering::Relaxed) {
            let fds = self.links.iter().map(|link| link.stream.as_raw_fd());
            let mut items: Vec<_> = fds.map(|fd| zmq::PollItem::from_fd(fd, zmq::POLLIN)).collect();
            zmq::poll(&mut items, 100).expect("polled");
            for (rank, _) in items.iter().enumerate().filter(|(_, item)| item.is_readable()) {
                if !self.links[rank].fill() {
                    return;
                }
                ids.clear();
                while let Some(message) = self.links[rank].next() {
                    let is_submit = message[1] == Header::SubmitRequest as u8;
                    ids.extend(is_submit.then(|| number(&message[2..])));
                }
                if !ids.is_empty() {
                    self.answer(rank, &ids);
                }
            }
        }
    }

    /// In one message, as after a step.
    fn answer(&mut self, rank: usize, ids: &[u64]) {
        for _ in 0..self.num_partials {
            self.add_list(rank, Header::EngineReplyPartial, ids);
        }
        self.add_list(rank, Header::EngineReply, ids);
        self.links[rank].flush();
    }

    fn add_list(&mut self, rank: usize, header: Header, ids: &[u64]) {
        let stamped = if header == Header::EngineReply { &mut self.answer } else { &mut self.partial };
        let mut bytes = list_frame(header as u8, ids.len()).to_vec();
        for &id in ids {
            bytes.extend_from_slice(stamped.with(id));
        }
        self.links[rank].add(&bytes);
    }
}

/// A client connected to a rank without a coordinator; the rank sends what it would get from one. It ends with the client.
fn direct() -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let near = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let mut far = Peer::of(listener.accept().expect("accepted").0);
    let serve = move || {
        let (mut reply, mut ids) = (Stamped::reply(), Vec::new());
        while far.fill() {
            while let Some(message) = far.next() {
                ids.push(number(&message[2..]));
            }
            ids.drain(..).for_each(|id| far.add(reply.with(id)));
            far.flush();
        }
    };
    std::thread::Builder::new().name("ranks".into()).spawn(serve).expect("a thread");
    Peer::of(near)
}

/// A client that sends the same request again and again.
pub(crate) struct LoadClient {
    link: Peer,
    submit: Stamped,
}

impl LoadClient {
    /// A client of the coordinator at `endpoint`.
    pub(crate) fn of_coordinator(endpoint: &str) -> LoadClient {
        let mut link = Peer::dealer(endpoint, "");
        link.add(&ClientMessage::Connect.encode());
        link.flush();
        link.receive();
        link.add(&ClientMessage::Hello { versions: Versions::OURS }.encode());
        LoadClient { link, submit: Stamped::submit() }
    }

    /// A client of a rank.
    pub(crate) fn direct() -> LoadClient {
        LoadClient { link: direct(), submit: Stamped::submit() }
    }

    fn add(&mut self, index: usize) {
        self.link.add(self.submit.with(FIRST_ID + index as u64));
    }

    /// Sends `count` requests with a full window all the time; seconds until the last answer.
    pub(crate) fn flood(&mut self, count: usize) -> f64 {
        let start = Instant::now();
        let (mut num_sent, mut num_answered) = (0, 0);
        while num_answered < count {
            while num_sent < count && num_sent < num_answered + WINDOW {
                self.add(num_sent);
                num_sent += 1;
            }
            self.link.flush();
            assert!(self.link.fill(), "the coordinator left");
            while let Some(message) = self.link.next() {
                num_answered += usize::from(answered(message).is_some());
            }
        }
        start.elapsed().as_secs_f64()
    }

    /// Sends `count` requests evenly at `rate`, whatever is answered, from a thread of its own; microseconds from when each
    /// was due to its answer, ascending.
    pub(crate) fn at_rate(&mut self, rate: f64, count: usize) -> Vec<f64> {
        let due = move |index: usize| Duration::from_secs_f64(index as f64 / rate);
        let mut receiver = self.link.twin();
        // Bytes that came with the greeting belong to nobody's request.
        let start = Instant::now();
        let receive = move || {
            let mut latencies = Vec::with_capacity(count);
            while latencies.len() < count && receiver.fill() {
                while let Some(message) = receiver.next() {
                    let index = answered(message);
                    latencies.extend(
                        index.map(|index| 1e6 * (start.elapsed().as_secs_f64() - due(index).as_secs_f64())),
                    );
                }
            }
            latencies
        };
        let receiver = std::thread::Builder::new().name("client".into()).spawn(receive).expect("a thread");
        let mut num_sent = 0;
        while num_sent < count {
            while num_sent < count && start.elapsed() >= due(num_sent) {
                self.add(num_sent);
                num_sent += 1;
            }
            self.link.flush();
            std::thread::sleep(due(num_sent).saturating_sub(start.elapsed()));
        }
        let mut latencies = receiver.join().expect("the receiver");
        latencies.sort_by(f64::total_cmp);
        latencies
    }

    /// Takes leave of the coordinator.
    pub(crate) fn leave(mut self) {
        self.link.add(&ClientMessage::Disconnect.encode());
        self.link.flush();
    }
}

/// Index of the request that a message answers; streamed tokens are no answers.
fn answered(message: &[u8]) -> Option<usize> {
    let is_final = message[1] == Header::EngineReply as u8;
    is_final.then(|| (number(&message[2..]) - FIRST_ID) as usize)
}
