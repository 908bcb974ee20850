//! Prefix-aware routing inside the state machine: what ranks say, what they are about to have, and what goes with them.

use super::*;
use crate::coordinator::{Routing, RoutingDecision};
use crate::engine::CacheChanges;
use crate::engine::block_hash::block_hashes;
use crate::plan::RoutingPolicy;

const CLIENT: &str = "c";
const PROMPT: [u32; 5] = [1, 2, 3, 4, 5];
const OTHER: [u32; 5] = [1, 2, 9, 9, 9];

fn driver(policy: RoutingPolicy) -> Driver {
    let mut driver = Driver::started(3);
    driver.state.settings.routing = Routing { policy, alpha: 0.7, block_size: 2, is_noted: true };
    driver
}

fn ask(driver: &mut Driver, id: u64, prompt: &[u32]) -> u32 {
    let ClientMessage::Submit(request) = submit(id) else { panic!("a submission") };
    let prompt = Prompt::Tokens(prompt.to_vec());
    let sent = driver.client(CLIENT, ClientMessage::Submit(Submit { prompt, ..request }));
    let dispatched = dispatches(&sent);
    assert_eq!(dispatched.len(), 1);
    dispatched[0].0
}

fn says(driver: &mut Driver, rank: u32, cached: &[u64], forgotten: &[u64]) {
    let (cached, forgotten) = (cached.iter().copied().collect(), forgotten.iter().copied().collect());
    driver.rank(rank, RankMessage::CachedBlocks(CacheChanges { cached, forgotten }));
}

#[test]
fn requests_go_where_their_prefix_is_and_no_more_once_it_is_forgotten() {
    let mut driver = driver(RoutingPolicy::LongestPrefix);
    let names = block_hashes(&PROMPT, 2);
    says(&mut driver, 2, &names, &[]);
    assert_eq!(ask(&mut driver, 0, &PROMPT), 2, "rank 2 has the prefix");
    assert_eq!(ask(&mut driver, 1, &[9, 9, 9]), 0, "by load");
    driver.rank(2, done(0, &[5]));
    driver.rank(0, done(1, &[5]));
    says(&mut driver, 2, &[], &names);
    assert_eq!(ask(&mut driver, 2, &PROMPT), 0, "nobody has it any more");
    assert_eq!(ask(&mut driver, 3, &PROMPT), 0, "rank 0 is about to have it");
}

#[test]
fn a_longer_prefix_wins_only_where_the_policy_looks_at_it() {
    for (policy, expected) in [
        (RoutingPolicy::LongestPrefix, 2),
        (RoutingPolicy::FirstPrefixBlock, 1),
        (RoutingPolicy::LoadBalanced, 0),
    ] {
        let mut driver = driver(policy);
        says(&mut driver, 1, &block_hashes(&OTHER, 2), &[]);
        says(&mut driver, 2, &block_hashes(&PROMPT, 2), &[]);
        assert_eq!(ask(&mut driver, 0, &PROMPT), expected, "{policy:?}");
    }
}

#[test]
fn decisions_are_noted_with_the_blocks_that_were_looked_at() {
    for (policy, num_hashes) in [
        (RoutingPolicy::LongestPrefix, 2),
        (RoutingPolicy::FirstPrefixBlock, 1),
        (RoutingPolicy::LoadBalanced, 0),
    ] {
        let mut driver = driver(policy);
        let ClientMessage::Submit(request) = submit(0) else { panic!("a submission") };
        let prompt = Prompt::Tokens(PROMPT.to_vec());
        let sent = driver.client(CLIENT, ClientMessage::Submit(Submit { prompt, ..request }));
        let noted = sent.iter().find_map(|command| {
            let Command::Routed(decision) = command else { return None };
            Some(*decision)
        });
        assert_eq!(noted, Some(RoutingDecision { request_id: 0, rank_index: 0, num_hashes }));
    }
}

#[test]
fn what_a_lost_rank_had_is_forgotten_with_it() {
    let mut driver = driver(RoutingPolicy::LongestPrefix);
    let names = block_hashes(&PROMPT, 2);
    says(&mut driver, 2, &names, &[]);
    assert_eq!(ask(&mut driver, 0, &PROMPT), 2);
    let moved = driver.exit(2);
    assert_eq!(dispatches(&moved), [(0, 0)], "its request goes elsewhere");
    assert_eq!(ask(&mut driver, 1, &PROMPT), 0, "to where the prefix will be now");
    driver.rank(0, done(0, &[5]));
    driver.rank(0, done(1, &[5]));
    driver.rank(2, RankMessage::Register);
    driver.rank(2, RankMessage::Ready(ready()));
    assert_eq!(ask(&mut driver, 2, &PROMPT), 0, "the new process behind rank 2 has an empty cache");
}

#[test]
fn a_process_that_says_ready_anew_starts_with_an_empty_cache() {
    let mut driver = driver(RoutingPolicy::LongestPrefix);
    says(&mut driver, 2, &block_hashes(&PROMPT, 2), &[]);
    driver.rank(2, RankMessage::Ready(ready()));
    assert_eq!(ask(&mut driver, 0, &PROMPT), 0);
}

#[test]
fn a_rank_that_is_not_there_cannot_attract_requests() {
    let mut driver = driver(RoutingPolicy::LongestPrefix);
    driver.exit(2);
    says(&mut driver, 2, &block_hashes(&PROMPT, 2), &[]);
    says(&mut driver, 77, &block_hashes(&PROMPT, 2), &[]);
    assert_eq!(ask(&mut driver, 0, &PROMPT), 0);
}
