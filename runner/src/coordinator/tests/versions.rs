//! Peers that speak other versions of our additions, or of whom nothing is known.

use super::*;

fn versions(oldest: u32, newest: u32) -> Versions {
    Versions { newest, oldest }
}

/// What a rank of these versions brings about by registering.
fn registered(theirs: Versions) -> (Driver, Vec<Command>) {
    let mut driver = Driver::new(settings(1));
    driver.rank(0, RankMessage::Register);
    let commands = driver.rank(0, RankMessage::Ready(RankReady { versions: theirs, ..ready() }));
    (driver, commands)
}

fn loss(commands: &[Command]) -> Option<&str> {
    commands.iter().find_map(|command| {
        if let Command::RankLost { why, .. } = command { Some(why.as_str()) } else { None }
    })
}

#[test]
fn ranks_of_another_version_are_lost_by_name_and_told() {
    for (theirs, named) in [(versions(9, 9), "version 9"), (versions(2, 9), "versions 2 to 9")] {
        let (driver, commands) = registered(theirs);
        assert_eq!(loss(&commands), Some(&*format!("it speaks {named}, not version 1")));
        let reason = format!("the rank speaks {named}, this coordinator version 1");
        assert_eq!(to_ranks(&commands), [(0, RankCommand::Refusal { reason })]);
        assert!(driver.state.stats().ranks.is_empty());
    }
}

#[test]
fn a_newer_rank_that_still_speaks_our_version_is_told_which_and_serves() {
    let (mut driver, commands) = registered(versions(1, 9));
    assert_eq!(to_ranks(&commands), [(0, RankCommand::Agreed { version: 1 })]);
    assert!(commands.iter().any(|command| matches!(command, Command::RankReady { rank: 0, .. })));
    driver.client("c", ClientMessage::Connect);
    assert_eq!(dispatches(&driver.client("c", submit(0))), [(0, 0)]);
    driver.now_s = 6.0;
    assert!(loss(&driver.handle(Event::Tick)).is_some(), "its heartbeats are waited for");
}

#[test]
fn a_rank_of_our_version_alone_is_told_nothing() {
    let (_, commands) = registered(Versions::OURS);
    assert!(matches!(commands.as_slice(), [Command::RankReady { rank: 0, .. }]), "{commands:?}");
}

#[test]
fn clients_agree_on_a_version_too() {
    for (theirs, answer) in [
        (Versions::OURS, None),
        (versions(1, 3), Some(ClientReply::Agreed { version: 1 })),
        (
            versions(2, 3),
            Some(ClientReply::Refusal {
                reason: "the client speaks versions 2 to 3, this coordinator version 1".into(),
            }),
        ),
    ] {
        let mut driver = Driver::new(settings(1));
        driver.rank(0, RankMessage::Register);
        driver.client("c", ClientMessage::Connect);
        let told = replies(&driver.client("c", ClientMessage::Hello { versions: theirs }));
        assert_eq!(told, answer.clone().map(|reply| ("c".to_owned(), reply)).into_iter().collect::<Vec<_>>());
        driver.client("c", submit(0));
        let (_, reply) = finals(&driver.rank(0, done(0, &[1]))).remove(0);
        let is_refused = matches!(answer, Some(ClientReply::Refusal { .. }));
        assert_eq!(reply.served_by.is_none(), is_refused, "who is refused is served as a foreign client");
    }
}

#[test]
fn a_heartbeat_of_a_version_that_was_not_agreed_on_is_no_heartbeat() {
    let limits = WireLimits::default();
    let beat = RankMessage::Heartbeat(RankStats::default()).encode();
    let at = beat.windows(7).position(|bytes| bytes == b"version").expect("its version") + 7;
    assert_eq!(beat[at], 1);
    let mut newer = beat.clone();
    newer[at] = 2;
    let error = RankMessage::decode(&newer, &limits).unwrap_err();
    let expected = "HEARTBEAT: element 1.version: expected the version agreed on, got 2";
    assert_eq!(error.to_string(), expected);
    let (mut driver, _) = registered(Versions::OURS);
    let commands = driver.handle(Event::Malformed { identity: b"mp-coord-0".to_vec(), error: error.into() });
    assert_eq!(loss(&commands), Some(&*format!("it sent a message that cannot be read: {expected}")));
}
