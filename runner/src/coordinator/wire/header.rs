//! Message headers: Megatron's numbers (HEAD), and our additions from 100 up.

use std::fmt;

macro_rules! headers {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $wire_name:literal;)*) => {
        /// First element of every message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Header {
            $($(#[$doc])* $name = $number,)*
        }

        impl Header {
            /// Every header, ascending.
            pub const ALL: &'static [Header] = &[$(Header::$name),*];

            /// The header with this number, if there is one.
            pub fn from_number(number: u64) -> Option<Header> {
                match number {
                    $($number => Some(Header::$name),)*
                    _ => None,
                }
            }

            /// The number on the wire.
            pub fn number(self) -> u64 {
                self as u64
            }
        }

        impl fmt::Display for Header {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Header::$name => $wire_name,)*
                })
            }
        }
    };
}

headers! {
    /// Client greets the coordinator.
    Connect = 0, "CONNECT";
    /// Coordinator answers [`Header::Connect`].
    ConnectAck = 1, "CONNECT_ACK";
    /// A request, from client to coordinator and on to a rank.
    SubmitRequest = 20, "SUBMIT_REQUEST";
    /// Final replies.
    EngineReply = 21, "ENGINE_REPLY";
    /// Streamed tokens.
    EngineReplyPartial = 22, "ENGINE_REPLY_PARTIAL";
    /// Ends a request early.
    AbortRequest = 23, "ABORT_REQUEST";
    /// A request whose KV cache lies in another engine.
    SubmitRequestWithKv = 24, "SUBMIT_REQUEST_WITH_KV";
    /// Frees handed-over KV blocks.
    ReleaseKv = 25, "RELEASE_KV";
    /// Between engines only.
    SendKv = 26, "SEND_KV";
    /// Stops stepping; what is in flight freezes.
    Pause = 40, "PAUSE";
    /// Ends [`Header::Pause`].
    Unpause = 41, "UNPAUSE";
    /// Gives up device memory; only while paused.
    Suspend = 42, "SUSPEND";
    /// Ends [`Header::Suspend`].
    Resume = 43, "RESUME";
    /// Stamps later tokens with an epoch.
    SetGenerationEpoch = 44, "SET_GENERATION_EPOCH";
    /// Ends the engines; only while paused or suspended.
    Stop = 45, "STOP";
    /// Starts a device profile.
    StartCudaProfiler = 46, "START_CUDA_PROFILER";
    /// Ends a device profile.
    StopCudaProfiler = 47, "STOP_CUDA_PROFILER";
    /// A rank leaves.
    Disconnect = 60, "DISCONNECT";
    /// Ends the coordinator.
    Shutdown = 61, "SHUTDOWN";
    /// Inside a Megatron replica only.
    TpBroadcast = 80, "TP_BROADCAST";
    /// Inside a Megatron replica only.
    KvHandoffComplete = 81, "KV_HANDOFF_COMPLETE";
    /// Ours: a client says that it is a Goldlap client and may be sent our additions.
    Hello = 100, "HELLO";
    /// Ours: a rank is warmed up and says what it runs on.
    RankReady = 101, "RANK_READY";
    /// Ours: a rank is alive, with a few numbers.
    Heartbeat = 102, "HEARTBEAT";
    /// Ours: a rank's record, sent once when it stops.
    RankReport = 103, "RANK_REPORT";
    /// Ours: the coordinator tells a Goldlap client that it refused a message, or a rank that it does not take it.
    Refusal = 104, "REFUSAL";
    /// Ours: which blocks a rank's prefix cache holds.
    CachedBlocks = 105, "CACHED_BLOCKS";
    /// Ours: the coordinator tells a peer that speaks several versions which one it takes.
    Agreed = 106, "AGREED";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_map_back_to_their_headers() {
        for &header in Header::ALL {
            assert_eq!(Header::from_number(header.number()), Some(header));
        }
        for gap in [2, 19, 27, 39, 48, 59, 62, 79, 82, 99, 107, u64::MAX] {
            assert_eq!(Header::from_number(gap), None);
        }
    }
}
