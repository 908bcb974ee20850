//! What a run leaves behind for people and machines: texts and files. Nothing here prints.

mod atomic_file;

pub use atomic_file::write_atomically;
