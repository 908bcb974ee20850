//! Tests of packed files.
