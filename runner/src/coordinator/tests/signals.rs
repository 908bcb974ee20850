//! Control signals are noted when they are passed on, and when every rank has obeyed them.

use super::*;

fn notes(commands: &[Command]) -> Vec<String> {
    let note = |command: &Command| {
        let Command::Note(note) = command else { return None };
        Some(note.what.clone())
    };
    commands.iter().filter_map(note).collect()
}

fn obeyed(num_signals: u64) -> RankMessage {
    RankMessage::Heartbeat(RankStats { num_signals, ..RankStats::default() })
}

#[test]
fn a_signal_is_acknowledged_once_every_rank_has_obeyed_it() {
    let mut driver = Driver::started(2);
    driver.now_s = 1.0;
    let sent = driver.client("c", ClientMessage::Control(ControlSignal::Pause));
    assert_eq!(notes(&sent), ["PAUSE: Running -> Paused, passed on to 2 ranks"]);
    driver.client("c", ClientMessage::Control(ControlSignal::Suspend));
    driver.now_s = 1.25;
    assert!(notes(&driver.rank(0, obeyed(2))).is_empty(), "rank 1 has not obeyed");
    assert_eq!(
        notes(&driver.rank(1, obeyed(1))),
        ["PAUSE: acknowledged by all 2 ranks, the last after 250.0 ms"]
    );
    assert!(notes(&driver.rank(1, obeyed(1))).is_empty(), "once");
    assert_eq!(
        notes(&driver.rank(1, obeyed(2))),
        ["SUSPEND: acknowledged by all 2 ranks, the last after 250.0 ms"]
    );
}

#[test]
fn a_lost_rank_is_not_waited_for() {
    let mut driver = Driver::started(2);
    driver.client("c", ClientMessage::Control(ControlSignal::Pause));
    driver.rank(0, obeyed(1));
    assert_eq!(notes(&driver.exit(1)), ["PAUSE: acknowledged by 1 of 2 ranks, the others are gone"]);
}

#[test]
fn the_record_of_a_stopped_rank_acknowledges_stop() {
    let mut driver = Driver::started(1);
    driver.client("c", ClientMessage::Control(ControlSignal::Pause));
    driver.rank(0, obeyed(1));
    driver.client("c", ClientMessage::Control(ControlSignal::Stop));
    let record = crate::metrics::RankRecord::default();
    let noted = notes(&driver.rank(0, RankMessage::Report(Box::new(record))));
    assert_eq!(noted, ["STOP: acknowledged by all 1 ranks, the last after 0.0 ms"]);
}
