//! The sanitizers: planted bugs are found, by kind, line and other party; their corrected twins are clean.

mod bench;
mod planted;
mod properties;
mod reports;
