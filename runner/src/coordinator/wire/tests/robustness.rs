//! Round trips, and bytes that nobody would send.

use proptest::prelude::*;

use super::arbitrary::{client_message, client_reply, rank_command, rank_message};
use crate::coordinator::wire::*;

fn limits() -> WireLimits {
    WireLimits::default()
}

/// Decodes as every kind of message; must not panic, and what is read must be writable and readable again.
/// Compared as bytes: a damaged float may be one that is not equal to itself.
fn decode_all(bytes: &[u8]) {
    if let Ok(message) = ClientMessage::decode(bytes, &limits()) {
        let again = message.encode();
        assert_eq!(ClientMessage::decode(&again, &limits()).map(|m| m.encode()).as_ref(), Ok(&again));
    }
    if let Ok(message) = ClientReply::decode(bytes, &limits()) {
        let again = message.encode();
        assert_eq!(ClientReply::decode(&again, &limits()).map(|m| m.encode()).as_ref(), Ok(&again));
    }
    if let Ok(command) = RankCommand::decode(bytes, &limits()) {
        let again = command.encode();
        assert_eq!(RankCommand::decode(&again, &limits()).map(|m| m.encode()).as_ref(), Ok(&again));
    }
    if let Ok(message) = RankMessage::decode(bytes, &limits()) {
        let again = message.encode();
        assert_eq!(RankMessage::decode(&again, &limits()).map(|m| m.encode()).as_ref(), Ok(&again));
    }
}

/// A few bytes changed, removed or doubled.
fn damaged(bytes: Vec<u8>, hits: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = bytes;
    for &(at, kind, with) in hits {
        if bytes.is_empty() {
            break;
        }
        let at = at % bytes.len();
        match kind % 4 {
            0 => bytes[at] = with,
            1 => bytes.truncate(at),
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, with),
        }
    }
    bytes
}

fn hits() -> impl Strategy<Value = Vec<(usize, u8, u8)>> {
    prop::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..4)
}

proptest! {
    #[test]
    fn client_messages_come_back(message in client_message(), hits in hits()) {
        let bytes = message.encode();
        prop_assert_eq!(ClientMessage::decode(&bytes, &limits()), Ok(message));
        decode_all(&damaged(bytes, &hits));
    }

    #[test]
    fn client_replies_come_back(reply in client_reply(), hits in hits()) {
        let bytes = reply.encode();
        prop_assert_eq!(ClientReply::decode(&bytes, &limits()), Ok(reply));
        decode_all(&damaged(bytes, &hits));
    }

    #[test]
    fn rank_commands_come_back(command in rank_command(), hits in hits()) {
        let bytes = command.encode();
        prop_assert_eq!(RankCommand::decode(&bytes, &limits()), Ok(command));
        decode_all(&damaged(bytes, &hits));
    }

    #[test]
    fn rank_messages_come_back(message in rank_message(), hits in hits()) {
        let bytes = message.encode();
        prop_assert_eq!(RankMessage::decode(&bytes, &limits()), Ok(message));
        decode_all(&damaged(bytes, &hits));
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        decode_all(&bytes);
    }
}

#[test]
fn errors_name_header_element_expected_and_got() {
    let client = |bytes: &[u8]| ClientMessage::decode(bytes, &limits()).unwrap_err();
    let table: [(&[u8], &str); 10] = [
        (b"\xa2hi", "expected an array that starts with a header number, got string \"hi\""),
        (b"\x90", "expected an array that starts with a header number, got an empty array"),
        (b"\x91\xc0", "expected an array that starts with a header number, got nil"),
        (b"\x91\x63", "unknown header 99"),
        (b"\x91\x01", "CONNECT_ACK (1) is not taken by the coordinator from a client"),
        (b"\x92\x00\x00", "CONNECT: expected 1 elements, got 2"),
        (b"\x92\x17\xff", "ABORT_REQUEST: element 1: expected an integer of at least 0, got -1"),
        (
            b"\x94\x14\x01\x92\x01\xa1x\x80",
            "SUBMIT_REQUEST: element 2[1]: expected an integer from 0 to 4294967295, got string \"x\"",
        ),
        (
            b"\x94\x14\x01\xa0\x81\xa5top_k\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00",
            "SUBMIT_REQUEST: element 3.top_k: expected an integer from 0 to 4294967295, got 1",
        ),
        (
            b"\x94\x14\x01\xa2\xff\xff\x80",
            "SUBMIT_REQUEST: element 2: expected a UTF-8 string, got a string that is not UTF-8",
        ),
    ];
    for (bytes, expected) in table {
        assert_eq!(client(bytes).to_string(), expected);
    }
    assert_eq!(client(b"\x94\x14\x07\xc0\x80").request, Some(7), "the request can be answered");
    assert_eq!(client(b"\x92\x14\x07").request, Some(7));
    let reply = ClientReply::decode(b"\x93\x15\x01\x81\xaarequest_id\x01", &limits()).unwrap_err();
    let expected = "ENGINE_REPLY: element 2.status: expected \"COMPLETED\" or \"FAILED\", got no such key";
    assert_eq!(reply.to_string(), expected);
    let report = RankMessage::decode(b"\x92\x67\xc4\x01\xc0", &limits()).unwrap_err();
    assert!(
        report.to_string().starts_with("RANK_REPORT: element 1: expected a serialised rank record"),
        "{report}"
    );
}

#[test]
fn a_bad_request_says_which_one_it_is() {
    let negative = b"\x94\x14\x07\x90\x81\xb6num_tokens_to_generate\xff";
    let to_rank = RankCommand::decode(negative, &limits()).unwrap_err();
    let to_coordinator = ClientMessage::decode(negative, &limits()).unwrap_err();
    assert_eq!((to_rank.request, to_coordinator.request), (Some(7), Some(7)));
    assert!(
        to_rank.to_string().contains("num_tokens_to_generate: expected an integer of at least 0, got -1")
    );
}

#[test]
fn a_message_over_the_limits_is_refused_unread() {
    let small = WireLimits { max_message_bytes: 16, ..limits() };
    let error = RankCommand::decode(&[0x90; 17], &small).unwrap_err();
    assert_eq!(error, WireError::TooLarge { bytes: 17, limit: 16 }.into());
    let few = WireLimits { max_values: 3, ..limits() };
    assert!(RankCommand::decode(b"\x95\x14\x01\x90\x80\xc0", &few).is_err());
}
