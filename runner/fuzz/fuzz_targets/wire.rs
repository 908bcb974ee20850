//! Messages of all four directions: a message that is read and sent again reads as the same.
#![no_main]

use goldlap::coordinator::wire::{ClientMessage, ClientReply, RankCommand, RankMessage, WireLimits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = WireLimits { max_message_bytes: 1 << 20, ..WireLimits::default() };
    macro_rules! check {
        ($($message:ty),*) => {$(
            if let Ok(message) = <$message>::decode(data, &limits) {
                let sent = message.encode();
                let again = <$message>::decode(&sent, &limits).expect("what we sent");
                assert_eq!(again.encode(), sent);
            }
        )*};
    }
    check!(ClientMessage, ClientReply, RankCommand, RankMessage);
});
