//! Local memory: which bytes of each thread's have been written.

/// By warp and byte: the lanes that have written it.
#[derive(Debug, Default)]
pub(super) struct LocalWritten {
    warps: Vec<Vec<u32>>,
}

impl LocalWritten {
    fn bytes(&mut self, warp: u32, end: usize) -> &mut Vec<u32> {
        let warp = warp as usize;
        if self.warps.len() <= warp {
            self.warps.resize_with(warp + 1, Vec::new);
        }
        if self.warps[warp].len() < end {
            self.warps[warp].resize(end, 0);
        }
        &mut self.warps[warp]
    }

    pub(super) fn mark(&mut self, warp: u32, lane: u32, at: u64, bytes: u32) {
        let (start, end) = (at as usize, at as usize + bytes as usize);
        self.bytes(warp, end)[start..end].iter_mut().for_each(|lanes| *lanes |= 1 << lane);
    }

    /// The first byte of the range that the lane has not written.
    pub(super) fn first_unwritten(&mut self, warp: u32, lane: u32, at: u64, bytes: u32) -> Option<u64> {
        let (start, end) = (at as usize, at as usize + bytes as usize);
        let written = &self.bytes(warp, end)[start..end];
        written.iter().position(|lanes| lanes >> lane & 1 == 0).map(|offset| at + offset as u64)
    }

    /// The lanes get a new frame.
    pub(super) fn forget(&mut self, warp: u32, lanes: u32, start: u32, bytes: u32) {
        let (start, end) = (start as usize, (start + bytes) as usize);
        self.bytes(warp, end)[start..end].iter_mut().for_each(|written| *written &= !lanes);
    }

    /// The lanes copy bytes, written or not.
    pub(super) fn copy(&mut self, warp: u32, lanes: u32, from: u32, to: u32, bytes: u32) {
        let end = from.max(to) + bytes;
        let written = self.bytes(warp, end as usize);
        for offset in 0..bytes {
            let source = written[(from + offset) as usize] & lanes;
            let target = &mut written[(to + offset) as usize];
            *target = (*target & !lanes) | source;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_has_bytes_of_its_own() {
        let mut local = LocalWritten::default();
        local.mark(1, 3, 8, 4);
        assert_eq!(local.first_unwritten(1, 3, 8, 8), Some(12));
        assert_eq!(local.first_unwritten(1, 2, 8, 4), Some(8));
        local.copy(1, u32::MAX, 8, 100, 4);
        assert_eq!(local.first_unwritten(1, 3, 100, 4), None);
        local.forget(1, 1 << 3, 8, 4);
        assert_eq!(local.first_unwritten(1, 3, 8, 4), Some(8));
    }
}
