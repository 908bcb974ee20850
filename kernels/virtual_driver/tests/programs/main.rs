//! Programs that load the built library as `libcuda.so.1`, each in a process of its own.

mod capture_rules;
mod cooperative;
mod cudarc_safe;
mod failures;
mod order;
mod sanitized;
mod selection;
mod third_party;
mod virtual_memory;
mod virtual_process;
