//! The choice among candidates, as a pure function.

use proptest::prelude::*;

use super::*;

fn candidate(rank: u32, load: usize, depth: usize, last_dispatch: u64) -> Candidate {
    Candidate { rank, load, max_requests: 10, depth, last_dispatch }
}

#[test]
fn a_hit_outweighs_load_as_far_as_alpha_says() {
    let spills_at = |alpha: f64| {
        let candidates = |load| [candidate(0, load, 4, 1), candidate(1, 0, 0, 0)];
        (0..100).find(|&load| best_match(&candidates(load), 4, alpha, 100) == Some(1))
    };
    assert_eq!(spills_at(0.5), None, "a whole match never spills at one half, as in the original");
    assert_eq!(spills_at(0.49), Some(10));
    assert_eq!(spills_at(0.4), Some(7));
    assert_eq!(spills_at(0.0), Some(1));
}

#[test]
fn the_longest_prefix_wins_and_recency_breaks_ties() {
    let best = |candidates: &[Candidate]| best_match(candidates, 4, 0.5, 8);
    assert_eq!(best(&[candidate(0, 1, 2, 9), candidate(1, 1, 3, 1)]), Some(1));
    assert_eq!(best(&[candidate(0, 1, 3, 1), candidate(1, 1, 3, 2)]), Some(1));
    assert_eq!(best(&[candidate(0, 2, 0, 1), candidate(1, 1, 0, 2)]), Some(1), "no match: by load");
    assert_eq!(best(&[candidate(0, 8, 4, 1), candidate(1, 7, 0, 2)]), Some(1), "no room");
    assert_eq!(best(&[candidate(0, 8, 4, 1)]), None);
    assert_eq!(best(&[]), None);
}

const NUM_HASHES: usize = 5;

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (0..12_usize, 0..=NUM_HASHES, 0..50_u64);
    prop::collection::vec(one, 0..9).prop_map(|list| {
        let numbered = list.into_iter().enumerate();
        numbered.map(|(i, (load, depth, last))| candidate(i as u32, load, depth, last)).collect()
    })
}

proptest! {
    #[test]
    fn the_choice_has_room_and_nobody_is_better_in_all_respects(
        candidates in candidates(), alpha in 0.0..=1.0, limit in 1..14_usize,
    ) {
        let chosen = best_match(&candidates, NUM_HASHES, alpha, limit);
        let with_room: Vec<&Candidate> = candidates.iter().filter(|c| c.load < limit).collect();
        prop_assert_eq!(chosen.is_some(), !with_room.is_empty(), "somebody has room iff somebody is chosen");
        let Some(chosen) = chosen.map(|rank| candidates[rank as usize]) else { return Ok(()) };
        prop_assert!(chosen.load < limit);
        let deepest = with_room.iter().map(|c| c.depth).max().unwrap_or_default();
        for other in with_room {
            let deeper = other.depth == deepest && chosen.depth < deepest;
            prop_assert!(
                !(deeper && other.load <= chosen.load && alpha > 0.0),
                "{:?} has more of the prompt and no more load than {:?}", other, chosen
            );
            let same_hit = other.depth == chosen.depth;
            prop_assert!(
                !(same_hit && other.load < chosen.load && chosen.load <= 10 && alpha < 1.0),
                "{:?} has as much of the prompt and less load than {:?}", other, chosen
            );
        }
    }

    #[test]
    fn the_choice_does_not_depend_on_the_order_of_the_candidates(
        candidates in candidates(), alpha in 0.0..=1.0, turn in 0..9_usize,
    ) {
        let mut turned = candidates.clone();
        turned.rotate_left(turn % candidates.len().max(1));
        prop_assert_eq!(
            best_match(&candidates, NUM_HASHES, alpha, 12),
            best_match(&turned, NUM_HASHES, alpha, 12)
        );
    }

    #[test]
    fn without_a_hit_it_is_load_balancing(candidates in candidates(), alpha in 0.0..=1.0) {
        let cold: Vec<Candidate> = candidates.iter().map(|c| Candidate { depth: 0, ..*c }).collect();
        let loads = cold.iter().map(|c| (c.rank, c.load));
        prop_assert_eq!(best_match(&cold, NUM_HASHES, alpha, 12), least_loaded(loads, 12));
    }
}
