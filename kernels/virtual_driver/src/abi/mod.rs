//! The exported `extern "C"` functions of the CUDA driver API: thin, one door each to [`crate::driver`].
//!
//! # What a caller must keep
//! These functions are called from outside, by programs in any language, under the rules of the API: a pointer argument
//! is null or valid for what the API says of it, for the duration of the call; host memory named in an asynchronous call
//! stays valid until the stream has passed it; functions handed over can be called with the arguments that the API names.
//! [`call`] takes the pointers in as types that only such a caller can make, checks for null, and holds all `unsafe` that
//! follows from these rules. A panic never crosses the border: it becomes `CUDA_ERROR_UNKNOWN`.
//!
//! What is exported is listed once, by the `api!` blocks themselves; `cuGetProcAddress` and the coverage page are made
//! from those lists. Functions of the API that the device cannot serve are exported too, by [`refused`]: they answer
//! `CUDA_ERROR_NOT_SUPPORTED` and say their name.

/// Declares exported functions and lists them: `table NAME; fn cuX(...) {...}`, with `fn cuX | cuX_ptsz` where the second
/// name is the same function with the calling thread's own default stream.
macro_rules! api {
    (table $table:ident; $($rest:tt)*) => { api!(@ $table [] $($rest)*); };
    (@ $table:ident [$($done:ident)*]) => {
        /// The exported functions of this file.
        pub(super) const $table: &[(&str, *const ())] = &[$((stringify!($done), $done as *const ())),*];
    };
    (@ $table:ident [$($done:ident)*] $(#[$meta:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $body:block $($rest:tt)*) => {
        #[doc = concat!("`", stringify!($name), "` of the driver API.")]
        $(#[$meta])*
        #[unsafe(no_mangle)]
        pub(super) extern "C" fn $name($($arg: $type),*) -> u32 {
            super::call::guard(stringify!($name), move || $body)
        }
        api!(@ $table [$($done)* $name] $($rest)*);
    };
    (@ $table:ident [$($done:ident)*] $(#[$meta:meta])* fn $name:ident | $alias:ident($($arg:ident: $type:ty),* $(,)?) $body:block $($rest:tt)*) => {
        #[doc = concat!("`", stringify!($name), "` with the thread's own default stream.")]
        $(#[$meta])*
        #[unsafe(no_mangle)]
        pub(super) extern "C" fn $alias($($arg: $type),*) -> u32 {
            super::call::with_thread_stream(|| $name($($arg),*))
        }
        api!(@ $table [$($done)* $alias] $(#[$meta])* fn $name($($arg: $type),*) $body $($rest)*);
    };
}

mod call;
mod capture;
mod context;
mod coverage;
mod device;
mod event;
mod fills;
mod function;
mod graph;
mod graph_exec;
mod graph_nodes;
mod initialise;
mod jit;
mod launch;
mod layout;
mod library;
mod link;
mod memory;
mod memory_advice;
mod memory_copies;
mod module;
mod names;
mod occupancy;
mod peer;
mod pool;
mod proc_address;
mod refused;
mod stream;
mod stream_words;
mod virtual_memory;

pub use coverage::coverage_page;

/// All tables of functions that do something.
const SERVED: &[&[(&str, *const ())]] = &[
    capture::TABLE,
    context::TABLE,
    device::TABLE,
    event::TABLE,
    fills::TABLE,
    function::TABLE,
    graph::TABLE,
    graph_exec::TABLE,
    graph_nodes::TABLE,
    initialise::TABLE,
    launch::TABLE,
    library::TABLE,
    link::TABLE,
    memory::TABLE,
    memory_advice::TABLE,
    memory_copies::TABLE,
    module::TABLE,
    occupancy::TABLE,
    peer::TABLE,
    pool::TABLE,
    proc_address::TABLE,
    stream::TABLE,
    stream_words::TABLE,
    virtual_memory::TABLE,
];
