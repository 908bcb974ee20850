//! Messages as real peers send them, encoded once and stamped with ids, so that the load costs little beside what it loads.

use goldlap::coordinator::wire::{
    ClientMessage, ClientReply, FinalReply, PartialReply, Prompt, RankMessage, SamplingParams, Submit,
};

/// Ids from here on take nine bytes on the wire, so that one can be written over another.
pub(crate) const FIRST_ID: u64 = 1 << 32;

/// Tokens of every prompt.
const PROMPT_TOKENS: u32 = 32;
/// Tokens of every answer.
const GENERATED_TOKENS: u32 = 16;

/// Sampling as our client asks for it.
pub(crate) fn sampling(streaming: bool) -> SamplingParams {
    SamplingParams {
        top_k: 1,
        num_tokens_to_generate: Some(u64::from(GENERATED_TOKENS)),
        termination_id: Some(-1),
        streaming,
        ..SamplingParams::default()
    }
}

/// A request under an id.
pub(crate) fn submit(id: u64) -> Submit {
    let prompt = Prompt::Tokens((0..PROMPT_TOKENS).map(|i| i * 997).collect());
    Submit { id, prompt, sampling: sampling(false), multi_modal: None }
}

/// Its answer.
pub(crate) fn answer(id: u64) -> FinalReply {
    let tokens = (0..GENERATED_TOKENS).map(|i| i * 1009).collect();
    FinalReply { ttft: Some(0.25), ..FinalReply::completed(id, sampling(false), tokens) }
}

/// One token of it.
pub(crate) fn partial(id: u64) -> PartialReply {
    PartialReply { request_id: id, new_tokens: vec![70_000], ..PartialReply::default() }
}

/// Bytes in which one id can be replaced.
pub(crate) struct Stamped {
    bytes: Vec<u8>,
    at: usize,
}

impl Stamped {
    fn new(bytes: Vec<u8>) -> Stamped {
        let mark = FIRST_ID.to_be_bytes();
        let at = bytes.windows(mark.len()).position(|window| window == mark).expect("the id is in it");
        Stamped { bytes, at }
    }

    /// SUBMIT_REQUEST of a client.
    pub(crate) fn submit() -> Stamped {
        Stamped::new(ClientMessage::Submit(submit(FIRST_ID)).encode())
    }

    /// ENGINE_REPLY as the coordinator sends it to a client.
    pub(crate) fn reply() -> Stamped {
        let reply = ClientReply::Final { client_id: FIRST_ID, reply: Box::new(answer(0)) };
        Stamped::new(reply.encode())
    }

    /// One answer, without the frame of ENGINE_REPLY.
    pub(crate) fn answer() -> Stamped {
        let message = RankMessage::Finals(vec![answer(FIRST_ID)]).encode();
        Stamped::new(message[3..].to_vec())
    }

    /// One streamed token, without the frame of ENGINE_REPLY_PARTIAL.
    pub(crate) fn partial() -> Stamped {
        let message = RankMessage::Partials(vec![partial(FIRST_ID)]).encode();
        Stamped::new(message[3..].to_vec())
    }

    /// With this id in it.
    pub(crate) fn with(&mut self, id: u64) -> &[u8] {
        self.bytes[self.at..self.at + 8].copy_from_slice(&id.to_be_bytes());
        &self.bytes
    }
}

/// Frame of a rank's list: the header number and how many follow.
pub(crate) fn list_frame(header: u8, count: usize) -> [u8; 5] {
    let count = u16::try_from(count).expect("a list of one step").to_be_bytes();
    [0x92, header, 0xdc, count[0], count[1]]
}

/// The unsigned number that a msgpack value begins with.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    let wide = |width: usize| bytes[1..=width].iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
    match bytes[0] {
        small @ 0..=0x7f => u64::from(small),
        0xcc => wide(1),
        0xcd => wide(2),
        0xce => wide(4),
        0xcf => wide(8),
        other => panic!("{other:#x} begins no unsigned number"),
    }
}
