//! What the text of an instruction says about order. The executor needs none of it (its memory is always in order), so
//! the program does not keep it in any other form.

use crate::lower::Program;

/// How an instruction orders memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ordering {
    /// `.release` or `.acq_rel`: a fence before it.
    pub(super) is_release: bool,
    /// Whether it reaches beyond the block.
    pub(super) is_device_wide: bool,
    /// `bar`, or `barrier` with `.aligned`: all lanes of a warp must execute the same one.
    pub(super) is_aligned: bool,
}

impl Ordering {
    pub(super) fn of(program: &Program, pc: u32) -> Self {
        Self::read(program.text(pc))
    }

    fn read(text: &str) -> Self {
        let mut tokens = text.split_whitespace().filter(|token| !token.starts_with('@'));
        let mnemonic = tokens.next().unwrap_or_default().trim_end_matches(';');
        let has = |wanted: &str| mnemonic.split('.').any(|word| word == wanted);
        Self {
            is_release: has("release") || has("acq_rel") && !has("fence"),
            is_device_wide: !has("cta"),
            is_aligned: mnemonic.starts_with("bar.") || has("aligned"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_say_how_memory_is_ordered() {
        let read = Ordering::read;
        assert!(!read("membar.cta;").is_device_wide && read("membar.gl;").is_device_wide);
        assert!(!read("fence.acq_rel.cta;").is_device_wide && !read("fence.acq_rel.gpu;").is_release);
        assert!(read("@%p1 atom.add.release.gpu.u32 %r1, [%rd1], 1;").is_release);
        assert!(read("bar.sync 0;").is_aligned && !read("barrier.sync 0;").is_aligned);
        assert!(read("barrier.sync.aligned 1, 64;").is_aligned);
    }
}
