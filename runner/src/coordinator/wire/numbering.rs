//! Header numbers of older clients. Megatron-LM renumbered its headers between releases and has no version field;
//! what a client says first tells: `[0]` since 0.19, `[1]` in 0.16 to 0.18.

use super::header::Header;

/// Whose numbers a client uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbering {
    /// 0.19 and later; the numbers of [`Header`].
    #[default]
    Current,
    /// 0.17 and 0.18.
    V0_17,
    /// 0.16, which greets as 0.17 does and numbers its signals otherwise. It waits for answers to PAUSE and STOP,
    /// and takes a record of requests as a reply.
    V0_16,
}

/// Answers that 0.16 waits for; no later release has them.
pub(super) const PAUSE_ACK: u64 = 6;
/// See [`PAUSE_ACK`].
pub(super) const STOP_ACK: u64 = 11;

const V0_17: [(u64, Header); 12] = [
    (1, Header::Connect),
    (2, Header::ConnectAck),
    (3, Header::SubmitRequest),
    (4, Header::EngineReply),
    (5, Header::Pause),
    (6, Header::Unpause),
    (7, Header::Suspend),
    (8, Header::Resume),
    (9, Header::SetGenerationEpoch),
    (10, Header::Stop),
    (11, Header::Disconnect),
    (12, Header::Shutdown),
];

const V0_16: [(u64, Header); 9] = [
    (1, Header::Connect),
    (2, Header::ConnectAck),
    (3, Header::SubmitRequest),
    (4, Header::EngineReply),
    (5, Header::Pause),
    (7, Header::Unpause),
    (8, Header::Suspend),
    (9, Header::Resume),
    (10, Header::Stop),
];

impl Numbering {
    /// Whether these bytes are the greeting of a client older than 0.19.
    pub(in crate::coordinator) fn is_old_greeting(bytes: &[u8]) -> bool {
        bytes == [0x91, 0x01]
    }

    /// The header with this number.
    pub(super) fn header(self, number: u64) -> Option<Header> {
        match self.table() {
            None => Header::from_number(number),
            Some(table) => table.iter().find(|(known, _)| *known == number).map(|(_, header)| *header),
        }
    }

    /// The number of a header; `None` if these clients do not know it.
    pub(super) fn number(self, header: Header) -> Option<u64> {
        match self.table() {
            None => Some(header.number()),
            Some(table) => table.iter().find(|(_, known)| *known == header).map(|(number, _)| *number),
        }
    }

    fn table(self) -> Option<&'static [(u64, Header)]> {
        match self {
            Numbering::Current => None,
            Numbering::V0_17 => Some(&V0_17),
            Numbering::V0_16 => Some(&V0_16),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClientMessage, ClientReply, ControlSignal, FinalReply, SamplingParams, WireLimits};
    use super::*;

    fn decode(bytes: &[u8], numbering: Numbering) -> Result<ClientMessage, String> {
        ClientMessage::decode_as(bytes, &WireLimits::default(), numbering).map_err(|error| error.to_string())
    }

    #[test]
    fn each_release_has_its_own_numbers() {
        let control = ClientMessage::Control;
        let table = [
            (1, ClientMessage::Connect, ClientMessage::Connect),
            (5, control(ControlSignal::Pause), control(ControlSignal::Pause)),
            (7, control(ControlSignal::Suspend), control(ControlSignal::Unpause)),
            (8, control(ControlSignal::Resume), control(ControlSignal::Suspend)),
            (10, control(ControlSignal::Stop), control(ControlSignal::Stop)),
        ];
        for (number, in_17, in_16) in table {
            assert_eq!(decode(&[0x91, number], Numbering::V0_17), Ok(in_17), "{number}");
            assert_eq!(decode(&[0x91, number], Numbering::V0_16), Ok(in_16), "{number}");
        }
        assert_eq!(decode(&[0x91, 6], Numbering::V0_17), Ok(control(ControlSignal::Unpause)));
        assert_eq!(decode(&[0x91, 9], Numbering::V0_16), Ok(control(ControlSignal::Resume)));
        let epoch = control(ControlSignal::SetGenerationEpoch(3));
        assert_eq!(decode(&[0x92, 9, 3], Numbering::V0_17), Ok(epoch));
        assert_eq!(decode(&[0x91, 12], Numbering::V0_17), Ok(ClientMessage::Shutdown));
        for (number, numbering) in [(20, Numbering::V0_17), (12, Numbering::V0_16), (0, Numbering::V0_17)] {
            let error = decode(&[0x91, number], numbering).unwrap_err();
            assert_eq!(error, format!("unknown header {number}"));
        }
    }

    #[test]
    fn replies_have_the_numbers_and_layout_that_the_client_knows() {
        let reply = FinalReply::completed(3, SamplingParams::default(), vec![5]);
        let last = ClientReply::Final { client_id: 9, reply: Box::new(reply) };
        let paused = ClientReply::ControlAck { signal: ControlSignal::Pause };
        assert_eq!(ClientReply::ConnectAck.encode_as(Numbering::V0_17), Some(vec![0x91, 2]));
        assert_eq!(paused.encode_as(Numbering::V0_17), None);
        assert_eq!(paused.encode_as(Numbering::Current), None);
        assert_eq!(paused.encode_as(Numbering::V0_16), Some(vec![0x91, 6]));
        let newer = last.encode_as(Numbering::V0_17).unwrap();
        assert_eq!(newer[..3], [0x93, 4, 9]);
        assert_eq!(newer[3..], last.encode()[3..], "the same dictionary");
        let record = last.encode_as(Numbering::V0_16).unwrap();
        assert_eq!(record[..5], [0x93, 4, 9, 0x82, 0xa8]);
        assert_eq!(&record[5..13], b"requests");
        for key in ["routing_indices", "ttft"] {
            let has = |bytes: &[u8]| bytes.windows(key.len()).any(|part| part == key.as_bytes());
            assert!(has(&newer) && !has(&record), "{key} would end a client of 0.16");
        }
        let record = rmpv::decode::read_value(&mut &record[..]).expect("as many keys as it says");
        assert_eq!(record.as_array().map(Vec::len), Some(3));
        let refusal = ClientReply::Refusal { reason: String::new() };
        assert_eq!(refusal.encode_as(Numbering::V0_17), None, "an unknown header would end the client");
    }
}
