//! Code: from what a program hands over to a lowered [`Program`], or the reason why not.

use std::fmt::Write as _;
use std::sync::Arc;

use super::error::Error;
use super::{fat_binary, report};
use crate::lower::{self, Program};
use crate::ptx::{self, Diagnostic};

/// What a program hands over to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// PTX text.
    Ptx(String),
    /// A container of PTX texts and machine code, whole.
    FatBinary(Vec<u8>),
    /// Machine code (an ELF file).
    Cubin,
    /// Something else: its first bytes.
    Unknown(Vec<u8>),
}

/// Why code cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For the program.
    pub error: Error,
    /// For people.
    pub log: String,
}

fn refuse(error: Error, log: impl Into<String>) -> Refusal {
    Refusal { error, log: log.into() }
}

const NO_MACHINE_CODE: &str = "the virtual device runs PTX, not machine code; compile to PTX (nvcc -ptx, or NVRTC with \
                               --gpu-architecture=compute_80)";

impl Source {
    /// The PTX text in it.
    ///
    /// # Errors
    /// `NoBinaryForGpu` for machine code, `InvalidImage` for anything else.
    pub fn into_text(self) -> Result<String, Refusal> {
        match self {
            Source::Ptx(text) => Ok(text),
            Source::Cubin => {
                Err(refuse(Error::NoBinaryForGpu, format!("a cubin (ELF) was given: {NO_MACHINE_CODE}")))
            }
            Source::FatBinary(bytes) => match fat_binary::find_ptx(&bytes) {
                Ok(Some(text)) => Ok(text),
                Ok(None) => {
                    let what = format!("a fat binary without PTX was given: {NO_MACHINE_CODE}");
                    Err(refuse(Error::NoBinaryForGpu, what))
                }
                Err(what) => Err(refuse(Error::InvalidImage, format!("a fat binary cannot be read: {what}"))),
            },
            Source::Unknown(bytes) => {
                let what =
                    format!("expected PTX text or a fat binary, got bytes that begin with {bytes:02x?}");
                Err(refuse(Error::InvalidImage, what))
            }
        }
    }

    /// Parses and lowers.
    ///
    /// # Errors
    /// As `into_text`; `InvalidPtx` with every diagnostic of parser and lowering.
    pub fn compile(self) -> Result<Arc<Program>, Refusal> {
        let text = self.into_text()?;
        report::keep_ptx(&text);
        let module = ptx::parse(&text).map_err(|found| broken("the PTX text is malformed", &text, &found))?;
        let program =
            lower::lower(&module).map_err(|found| broken("the PTX cannot be run", &text, &found))?;
        Ok(Arc::new(program))
    }
}

fn broken(what: &str, text: &str, diagnostics: &[Diagnostic]) -> Refusal {
    let mut log = format!("{what}:");
    let lines: Vec<&str> = text.lines().collect();
    for diagnostic in diagnostics {
        let line =
            lines.get(diagnostic.position.line.saturating_sub(1) as usize).copied().unwrap_or_default();
        let _ = write!(log, "\nptx {}", diagnostic.pointed(line.trim_end()));
    }
    refuse(Error::InvalidPtx, log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ptx_is_refused_with_a_reason() {
        let refusal = Source::Cubin.compile().unwrap_err();
        assert_eq!(refusal.error, Error::NoBinaryForGpu);
        assert!(refusal.log.contains("compute_80"), "{}", refusal.log);
        let refusal = Source::Unknown(vec![0xde, 0xad]).compile().unwrap_err();
        assert_eq!(refusal.error, Error::InvalidImage);
        assert!(refusal.log.ends_with("[de, ad]"), "{}", refusal.log);
    }

    #[test]
    fn broken_ptx_is_refused_with_every_line() {
        let text = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k() {\n  add.s32 %r1 %r2;\n  mul ];\n}";
        let refusal = Source::Ptx(text.into()).compile().unwrap_err();
        assert_eq!(refusal.error, Error::InvalidPtx);
        assert!(refusal.log.contains("line 5") && refusal.log.contains("line 6"), "{}", refusal.log);
        assert!(refusal.log.contains("add.s32 %r1 %r2;"), "{}", refusal.log);
    }
}
