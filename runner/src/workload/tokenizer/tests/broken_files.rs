//! Vocabulary files that are refused, each with its message.
