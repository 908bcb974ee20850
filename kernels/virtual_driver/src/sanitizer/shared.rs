//! Shared memory of one block: what was written, and which bytes are still on their way.

/// A `cp.async` that was issued: by whom, where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Issue {
    pub(super) pc: u32,
    pub(super) warp: u32,
    pub(super) lane: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct SharedState {
    written: Vec<u64>,
    /// By 4 bytes, the smallest copy: the copy that is on its way there.
    pending: Vec<Option<Issue>>,
    /// How many of them there are.
    open: usize,
}

impl SharedState {
    pub(super) fn new(bytes: u32) -> Self {
        let bytes = bytes as usize;
        Self { written: vec![0; bytes.div_ceil(64)], pending: vec![None; bytes.div_ceil(4)], open: 0 }
    }

    pub(super) fn mark(&mut self, at: u64, bytes: u32) {
        for byte in at..at + u64::from(bytes) {
            self.written[byte as usize / 64] |= 1 << (byte % 64);
        }
    }

    /// Marks bytes that lie in one word of 64, which an aligned access does.
    pub(super) fn mark_aligned(&mut self, at: u64, bytes: u32) {
        self.written[at as usize / 64] |= ((1 << bytes) - 1) << (at % 64);
    }

    /// The first byte of an aligned access that nobody has written.
    pub(super) fn first_unwritten(&self, at: u64, bytes: u32) -> Option<u64> {
        let missing = !(self.written[at as usize / 64] >> (at % 64)) & ((1 << bytes) - 1);
        (missing != 0).then(|| at + u64::from(missing.trailing_zeros()))
    }

    /// A copy on its way to some of the bytes.
    pub(super) fn pending(&self, at: u64, bytes: u32) -> Option<Issue> {
        if self.open == 0 {
            return None;
        }
        let words = at as usize / 4..(at as usize + bytes as usize).div_ceil(4);
        self.pending[words].iter().find_map(|issue| *issue)
    }

    pub(super) fn issue(&mut self, at: u64, bytes: u32, issue: Issue) {
        for word in at as usize / 4..(at as usize + bytes as usize) / 4 {
            self.open += usize::from(self.pending[word].is_none());
            self.pending[word] = Some(issue);
        }
    }

    /// The bytes are there; answers who had sent for them.
    pub(super) fn arrive(&mut self, at: u64, bytes: u32) -> Option<Issue> {
        let mut issue = None;
        for word in at as usize / 4..(at as usize + bytes as usize) / 4 {
            issue = issue.or(self.pending[word]);
            self.open -= usize::from(self.pending[word].is_some());
            self.pending[word] = None;
        }
        self.mark(at, bytes);
        issue
    }

    /// Some copy of one of the lanes that is still on its way: its first byte, and who issued it.
    pub(super) fn left_by(&self, warp: u32, lanes: u32) -> Option<(u64, Issue)> {
        let is_theirs = |issue: &Issue| issue.warp == warp && lanes >> issue.lane & 1 == 1;
        let found = self.pending.iter().position(|issue| issue.is_some_and(|issue| is_theirs(&issue)))?;
        Some((4 * found as u64, self.pending[found]?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pending_from_issue_to_arrival() {
        let mut shared = SharedState::new(256);
        let issue = Issue { pc: 7, warp: 1, lane: 2 };
        shared.issue(64, 16, issue);
        assert_eq!(shared.pending(76, 8), Some(issue));
        assert_eq!(shared.pending(80, 8), None);
        assert_eq!(shared.left_by(1, 0b100), Some((64, issue)));
        assert_eq!(shared.left_by(1, 0b1011), None);
        assert_eq!(shared.first_unwritten(64, 16), Some(64));
        assert_eq!(shared.arrive(64, 16), Some(issue));
        assert_eq!((shared.first_unwritten(64, 16), shared.pending(64, 16)), (None, None));
        shared.mark_aligned(80, 4);
        assert_eq!(shared.first_unwritten(80, 8), Some(84));
    }
}
