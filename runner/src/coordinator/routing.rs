//! Which rank gets the next request.

const IDENTITY_PREFIX: &str = "mp-coord-";

/// ZMQ identity of a rank, as the original names it.
pub(super) fn identity_of(rank: u32) -> String {
    format!("{IDENTITY_PREFIX}{rank}")
}

/// The rank behind an identity; `None` for a client's.
pub(super) fn rank_of(identity: &[u8]) -> Option<u32> {
    let digits = identity.strip_prefix(IDENTITY_PREFIX.as_bytes())?;
    // Only the canonical spelling: otherwise two identities would name one rank.
    let is_canonical = digits == b"0" || digits.first().is_some_and(|first| (b'1'..=b'9').contains(first));
    std::str::from_utf8(digits).ok().filter(|_| is_canonical)?.parse().ok()
}

/// The rank with the fewest unfinished requests among those with room; the lowest number wins a tie.
///
/// The original orders ranks by their identities as strings, where `mp-coord-10` comes before `mp-coord-2`.
/// Here they are ordered as numbers: with more than ten ranks a tie then goes to another rank than in the
/// original, which no result depends on, and the rank in a report is the one a reader expects.
pub(super) fn least_loaded(
    loads: impl IntoIterator<Item = (u32, usize)>,
    max_outstanding: usize,
) -> Option<u32> {
    let with_room = loads.into_iter().filter(|&(_, load)| load < max_outstanding);
    with_room.min_by_key(|&(rank, load)| (load, rank)).map(|(rank, _)| rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_map_back_to_ranks() {
        for rank in [0, 1, 9, 10, 4_294_967_295] {
            assert_eq!(rank_of(identity_of(rank).as_bytes()), Some(rank));
        }
        for client in
            [&b"\x00abcd"[..], b"", b"mp-coord-", b"mp-coord-01", b"mp-coord-+1", b"mp-coord-4294967296"]
        {
            assert_eq!(rank_of(client), None);
        }
    }

    #[test]
    fn the_least_loaded_rank_wins_and_ties_go_by_number() {
        assert_eq!(least_loaded([(10, 1), (2, 1), (3, 4)], 8), Some(2));
        assert_eq!(least_loaded([(2, 3), (10, 1)], 8), Some(10));
        assert_eq!(least_loaded([(2, 3), (10, 3)], 3), None);
        assert_eq!(least_loaded([], 3), None);
    }
}
