//! What a client does between requests, over real sockets.

use std::time::Duration;

use super::sockets::{DEADLINE_S, Fault, Fleet, check_all, requests};
use crate::plan::{Arrival, Conduct};

#[test]
fn batches_are_drained_and_engines_suspended_between_requests() {
    let fleet = Fleet::start(&[Fault::None; 2]);
    let mut client = fleet.client();
    let suspend_time = Duration::from_millis(20);
    client.set_conduct(Conduct { batch_starts: vec![0, 3, 7], suspend_interval: Some(4), suspend_time });
    let requests = requests(10, 4);
    let records = client.run(&requests, Arrival::PerStep { num_requests: 10 }, DEADLINE_S, &mut |_| {});
    check_all(&records, &requests);
    for start in [3, 7] {
        let (before, after) = records.split_at(start);
        let drained_s = before.iter().filter_map(|record| record.finished_s).fold(0.0, f64::max);
        assert!(after.iter().all(|record| record.sent_s >= drained_s), "batch {start} came too early");
    }
    let reports = fleet.stop(client);
    assert!(reports.values().all(|report| report.num_suspensions == 2), "{reports:?}");
}
