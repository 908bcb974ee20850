//! Who asked for what.

use std::collections::BTreeMap;

use super::state::Identity;

/// A connected client.
#[derive(Default)]
pub(super) struct Client {
    /// It said HELLO: it understands our additions.
    pub(super) announced: bool,
    /// Its unfinished requests: its own id to the coordinator's.
    pub(super) open: BTreeMap<u64, u64>,
}

/// All connected clients.
#[derive(Default)]
pub(super) struct Clients {
    by_identity: BTreeMap<Identity, Client>,
}

impl Clients {
    /// Adds a client; false if it is there already.
    pub(super) fn connect(&mut self, identity: &Identity) -> bool {
        let known = self.by_identity.contains_key(identity);
        if !known {
            self.by_identity.insert(identity.clone(), Client::default());
        }
        !known
    }

    pub(super) fn get(&self, identity: &[u8]) -> Option<&Client> {
        self.by_identity.get(identity)
    }

    /// Whether a client of this identity is connected.
    pub(super) fn contains(&self, identity: &[u8]) -> bool {
        self.by_identity.contains_key(identity)
    }

    pub(super) fn get_mut(&mut self, identity: &[u8]) -> Option<&mut Client> {
        self.by_identity.get_mut(identity)
    }

    pub(super) fn remove(&mut self, identity: &[u8]) -> Option<Client> {
        self.by_identity.remove(identity)
    }

    pub(super) fn is_announced(&self, identity: &[u8]) -> bool {
        self.get(identity).is_some_and(|client| client.announced)
    }

    pub(super) fn len(&self) -> usize {
        self.by_identity.len()
    }
}
