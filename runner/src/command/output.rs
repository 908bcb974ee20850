//! What a command says on standard output: all at once, to a reader that may have gone.

use std::io::{self, ErrorKind, Write};

use super::CommandError;

/// Writes `text` to standard output. A reader that closed its end (`goldlap list | head`) has read enough.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    print_to(&mut io::stdout().lock(), text)
}

fn print_to(out: &mut impl Write, text: &str) -> Result<(), CommandError> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CommandError(format!("standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails each write in the same way.
    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_is_no_error_and_a_full_disk_is() {
        print_to(&mut Failing(ErrorKind::BrokenPipe), "text").unwrap();
        let error = print_to(&mut Failing(ErrorKind::StorageFull), "text").unwrap_err().to_string();
        assert!(error.starts_with("standard output: "), "{error}");
        let mut written = Vec::new();
        print_to(&mut written, "text").unwrap();
        assert_eq!(written, b"text");
    }
}
