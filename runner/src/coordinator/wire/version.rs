//! Versions of our additions to the protocol, and how two ends of different age agree on one.
//!
//! A rank's READY and a client's HELLO name the newest and the oldest version that they speak; the layouts of both never
//! change. The coordinator takes the highest that it speaks, too, and tells whoever spoke of several ([`AGREED`]);
//! until then such a peer speaks its oldest. Who has no version in common with the coordinator is refused by name.
//! Who does not announce himself is not asked: he gets the original's messages.
//!
//! [`AGREED`]: super::Header::Agreed

use std::fmt;

/// The version that this program speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// A range of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The highest.
    pub newest: u32,
    /// The lowest.
    pub oldest: u32,
}

impl Versions {
    /// What this program speaks.
    pub const OURS: Versions = Versions { newest: PROTOCOL_VERSION, oldest: PROTOCOL_VERSION };

    /// The highest version that both speak.
    pub fn common(self, other: Versions) -> Option<u32> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }

    /// Whether there is anything to choose from.
    pub fn are_several(self) -> bool {
        self.newest != self.oldest
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Versions { newest, oldest } = self;
        if self.are_several() {
            write!(f, "versions {oldest} to {newest}")
        } else {
            write!(f, "version {newest}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_taken() {
        let versions = |oldest, newest| Versions { newest, oldest };
        for (ours, theirs, common) in [
            (versions(1, 1), versions(1, 1), Some(1)),
            (versions(1, 1), versions(1, 9), Some(1)),
            (versions(1, 3), versions(2, 9), Some(3)),
            (versions(2, 4), versions(1, 3), Some(3)),
            (versions(1, 1), versions(2, 9), None),
            (versions(3, 4), versions(1, 2), None),
            // No range at all.
            (versions(1, 5), versions(4, 3), None),
        ] {
            assert_eq!(ours.common(theirs), common, "{ours}, {theirs}");
            assert_eq!(theirs.common(ours), common, "{theirs}, {ours}");
        }
    }
}
