//! `cp.async`: what was copied is seen only after the wait for its group.
//!
//! A copy reads its source when it is issued and writes shared memory when a wait of the same thread covers its group.
//! Hardware may do both at any time in between; a program that is right there is right here, and one that forgets its
//! wait reads stale shared memory every time instead of sometimes.

use super::lanes::LANES;

/// 32 lanes of up to 16 bytes.
pub(super) type Buffer = Box<[[u8; 16]; LANES]>;

/// One copy of a warp.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    /// Lanes whose bytes have not been written yet.
    pub(super) mask: u32,
    pub(super) bytes: u32,
    /// Offset in shared memory by lane.
    pub(super) to: [u32; LANES],
    pub(super) data: Buffer,
    /// Number of the group by lane.
    group: [u32; LANES],
}

/// The copies of a warp that have not been waited for.
#[derive(Debug, Default)]
pub(super) struct Copies {
    open: Vec<Copy>,
    /// Groups each lane has closed.
    closed: [u32; LANES],
    /// Buffers to use again.
    spare: Vec<Buffer>,
}

impl Copies {
    pub(super) fn clear(&mut self) {
        self.spare.extend(self.open.drain(..).map(|copy| copy.data));
        self.closed = [0; LANES];
    }

    /// A buffer for 32 lanes of 16 bytes.
    pub(super) fn buffer(&mut self) -> Buffer {
        self.spare.pop().unwrap_or_else(|| Box::new([[0; 16]; LANES]))
    }

    pub(super) fn give_back(&mut self, buffer: Buffer) {
        self.spare.push(buffer);
    }

    pub(super) fn issue(&mut self, mask: u32, bytes: u32, to: [u32; LANES], data: Buffer) {
        self.open.push(Copy { mask, bytes, to, data, group: self.closed });
    }

    pub(super) fn commit(&mut self, mask: u32) {
        for (lane, closed) in self.closed.iter_mut().enumerate() {
            *closed += mask >> lane & 1;
        }
    }

    /// Whether a lane of the mask has copies that were not waited for.
    pub(super) fn has_open(&self, mask: u32) -> bool {
        self.open.iter().any(|copy| copy.mask & mask != 0)
    }

    /// Writes what a wait covers, oldest first: groups of the lanes in `mask` but the last `pending`; with `all` also
    /// copies in no group.
    pub(super) fn wait(
        &mut self,
        mask: u32,
        pending: u32,
        all: bool,
        mut write: impl FnMut(usize, u32, &[u8]),
    ) {
        if self.open.is_empty() {
            return;
        }
        for copy in &mut self.open {
            // Usually all lanes agree on whether the group is covered.
            let mut covered = 0;
            for lane in 0..LANES {
                // A copy of the group that is still being filled has the number of groups closed so far.
                let behind = self.closed[lane].wrapping_sub(copy.group[lane]);
                covered |= u32::from(all || behind > pending) << lane;
            }
            covered &= copy.mask & mask;
            copy.mask &= !covered;
            while covered != 0 {
                let lane = covered.trailing_zeros() as usize;
                covered &= covered - 1;
                write(lane, copy.to[lane], &copy.data[lane][..copy.bytes as usize]);
            }
        }
        let mut kept = 0;
        for index in 0..self.open.len() {
            if self.open[index].mask != 0 {
                self.open.swap(kept, index);
                kept += 1;
            }
        }
        self.spare.extend(self.open.drain(kept..).map(|copy| copy.data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_covers_all_but_the_last_groups() {
        let mut copies = Copies::default();
        for group in 0..3_u32 {
            let mut data = copies.buffer();
            data[0][0] = group as u8;
            copies.issue(1, 4, [group; LANES], data);
            copies.commit(u32::MAX);
        }
        let mut seen = Vec::new();
        copies.wait(u32::MAX, 1, false, |_, to, data| seen.push((to, data[0])));
        assert_eq!(seen, [(0, 0), (1, 1)]);
        assert!(copies.has_open(1) && !copies.has_open(2));
        copies.wait(u32::MAX, 0, false, |_, to, _| seen.push((to, 9)));
        assert_eq!(seen.len(), 3);
        // A copy that was never committed is covered by wait_all only.
        let data = copies.buffer();
        copies.issue(1, 4, [7; LANES], data);
        copies.wait(u32::MAX, 0, false, |_, to, _| seen.push((to, 0)));
        assert_eq!(seen.len(), 3);
        copies.wait(u32::MAX, 0, true, |_, to, _| seen.push((to, 0)));
        assert_eq!(seen.len(), 4);
    }
}
