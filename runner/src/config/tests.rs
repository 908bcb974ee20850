//! Tests over files on disk, from a file to what becomes of the case.

mod broken_files;
mod many_cases;
