//! Which rank is on which connection, and whose has closed. A foreign engine that is killed says nothing, and no message
//! can be sent to it only to find out.

use std::collections::HashMap;

use super::socket::Connection;

/// See the head of this file.
#[derive(Default)]
pub(super) struct Connections {
    ranks: HashMap<Connection, u32>,
    /// Ranks whose connections have closed, and of which messages may still be unread.
    closing: Vec<u32>,
    /// Those that were that when all messages had been read the last time.
    closed: Vec<u32>,
}

impl Connections {
    /// These connections have closed. What happened before a registration must be told before it: numbers come again.
    pub(super) fn close(&mut self, closed: Vec<Connection>) {
        self.closing.extend(closed.into_iter().filter_map(|connection| self.ranks.remove(&connection)));
    }

    /// A rank registers on a connection; true if an earlier one under its number has closed and nobody was told.
    pub(super) fn register(&mut self, connection: Connection, rank: u32) -> bool {
        self.ranks.insert(connection, rank);
        let before = self.closing.len() + self.closed.len();
        self.closing.retain(|&closing| closing != rank);
        self.closed.retain(|&closed| closed != rank);
        self.closing.len() + self.closed.len() < before
    }

    /// All messages that have come are read. The ranks whose connections had closed when that was so the last time: what
    /// they said before counts.
    pub(super) fn all_is_read(&mut self) -> Vec<u32> {
        std::mem::replace(&mut self.closed, std::mem::take(&mut self.closing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_closes_is_told_once_and_only_of_ranks() {
        let mut connections = Connections::default();
        assert!(!connections.register(7, 0) && !connections.register(8, 1));
        connections.close(vec![9, 7]);
        assert!(connections.all_is_read().is_empty(), "its last messages may be on their way");
        assert_eq!(connections.all_is_read(), [0]);
        connections.close(vec![7]);
        assert!(connections.all_is_read().is_empty() && connections.all_is_read().is_empty());
    }

    #[test]
    fn a_number_that_comes_again_is_another_connection() {
        let mut connections = Connections::default();
        connections.register(7, 0);
        connections.close(vec![7]);
        assert!(!connections.register(7, 3), "another rank");
        connections.all_is_read();
        assert_eq!(connections.all_is_read(), [0]);
        for num_turns in [0, 1] {
            connections.close(vec![7]);
            (0..num_turns).for_each(|_| drop(connections.all_is_read()));
            assert!(connections.register(7, 3), "the same rank, anew, after {num_turns} turns");
            connections.all_is_read();
            assert!(connections.all_is_read().is_empty(), "its registration has told");
        }
    }
}
