//! Who made and freed what, by number and name of the call; kept only where sanitizers are on.
//!
//! Told on standard error, and counted for the line at the end of the process:
//! - a free of what is no allocation, or was freed before: both calls are named (`memcheck`);
//! - what a context still owns when it is destroyed, and what is left when the process ends: allocations, modules,
//!   streams, events, graphs, each with the call that made it (`leakcheck`). compute-sanitizer looks only when a context
//!   is destroyed; programs that never destroy theirs are told at the end here. After a launch that failed nothing can be
//!   freed any more, so nothing is told;
//! - a copy to the host of bytes that nobody wrote (`initcheck`). The copy is done and succeeds.
//!
//! Calls of a process are numbered from 1 in the order in which they begin, `cuInit` excepted.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::handle::Handle;
use super::{Driver, report};
use crate::sanitizer::Checks;

thread_local! {
    static CURRENT: Cell<Option<Call>> = const { Cell::new(None) };
}

/// A call of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    number: u64,
    name: &'static str,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "call {} ({})", self.number, self.name)
    }
}

fn by(call: Option<Call>) -> String {
    call.map_or_else(|| "the driver".to_owned(), |call| call.to_string())
}

/// An object of the program.
#[derive(Clone, Copy, Debug)]
struct Made {
    kind: &'static str,
    by: Option<Call>,
}

#[derive(Clone, Copy, Debug)]
struct Freed {
    made_by: Option<Call>,
    freed_by: Option<Call>,
}

#[derive(Debug, Default)]
struct Book {
    allocations: HashMap<u64, Option<Call>>,
    leaving: HashMap<u64, Option<Call>>,
    freed: HashMap<u64, Freed>,
    objects: HashMap<Handle, Made>,
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    /// What is looked for.
    pub checks: Checks,
    calls: AtomicU64,
    errors: AtomicU64,
    has_failed: AtomicBool,
    book: Mutex<Book>,
}

/// What is freed is remembered up to so many addresses.
const MOST_FREED: usize = 1 << 20;

impl Ledger {
    /// An empty ledger.
    pub fn new(checks: Checks) -> Self {
        let (calls, errors) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { checks, calls, errors, has_failed: AtomicBool::new(false), book: Mutex::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.checks.is_on()
    }

    /// A call begins on this thread.
    pub fn begin(&self, name: &'static str) {
        if self.is_on() {
            let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
            CURRENT.set(Some(Call { number, name }));
        }
    }

    /// The call on this thread is over.
    pub fn end(&self) {
        CURRENT.set(None);
    }

    /// A launch has failed a context, which answers every later free with that failure: what is left then is no leak.
    pub(super) fn fail(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }

    /// Whether leaks are to be told.
    pub(super) fn tells_leaks(&self) -> bool {
        self.checks.leaks && !self.has_failed.load(Ordering::Relaxed)
    }

    /// Tells an error and counts it.
    pub fn tell(&self, message: &str) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        report::tell(&format!("sanitizer: {message}"));
    }

    /// Memory was allocated.
    pub fn allocated(&self, address: u64) {
        if self.is_on() {
            self.book().allocations.insert(address, CURRENT.get());
        }
    }

    /// Memory will be freed in stream order.
    pub fn leaving(&self, address: u64) {
        if self.is_on() {
            self.book().leaving.insert(address, CURRENT.get());
        }
    }

    /// Memory will not be freed after all.
    pub fn staying(&self, address: u64) {
        if self.is_on() {
            self.book().leaving.remove(&address);
        }
    }

    /// Memory was freed.
    pub fn freed(&self, address: u64) {
        if !self.is_on() {
            return;
        }
        let mut book = self.book();
        if book.freed.len() >= MOST_FREED {
            book.freed.clear();
        }
        let freed_by = book.leaving.remove(&address).unwrap_or(CURRENT.get());
        if let Some(made_by) = book.allocations.remove(&address) {
            book.freed.insert(address, Freed { made_by, freed_by });
        }
    }

    /// What is known of the allocation that starts at an address, or last did.
    pub fn describe(&self, address: u64) -> Option<String> {
        let book = self.book();
        if let Some(made_by) = book.allocations.get(&address) {
            return Some(format!("allocated by {}", by(*made_by)));
        }
        let freed = book.freed.get(&address)?;
        Some(format!("allocated by {}, freed by {}", by(freed.made_by), by(freed.freed_by)))
    }

    /// A program frees what it cannot free.
    pub fn refused_free(&self, address: u64) {
        if !self.checks.memory {
            return;
        }
        let (leaving, freed) = {
            let book = self.book();
            (book.leaving.get(&address).copied(), book.freed.get(&address).copied())
        };
        let call = by(CURRENT.get());
        self.tell(&match (leaving, freed) {
            (Some(before), _) => {
                format!("double free: {call} frees 0x{address:x}, which {} has freed already", by(before))
            }
            (None, Some(freed)) => format!(
                "double free: {call} frees 0x{address:x}, which was allocated by {} and freed by {}",
                by(freed.made_by),
                by(freed.freed_by)
            ),
            (None, None) => {
                format!("invalid free: {call} frees 0x{address:x}, where no allocation of its kind starts")
            }
        });
    }

    /// A copy to the host reads bytes that nobody wrote.
    pub fn unwritten_copy(&self, byte: u64, start: u64, bytes: u64) {
        let described = self.describe(start).map_or_else(String::new, |text| format!(", {text}"));
        self.tell(&format!(
            "uninitialised memory: a copy to the host reads byte {} of the {bytes} at 0x{start:x}, which nobody \
             wrote{described}",
            byte - start
        ));
    }

    /// An object was made; its type's name says what it is.
    pub(super) fn made(&self, type_name: &'static str, handle: Handle) {
        if self.is_on() {
            let kind = type_name.rsplit("::").next().unwrap_or(type_name);
            self.book().objects.insert(handle, Made { kind, by: CURRENT.get() });
        }
    }

    /// An object was destroyed.
    pub(super) fn destroyed(&self, handle: Handle) {
        if self.is_on() {
            self.book().objects.remove(&handle);
        }
    }

    /// An allocation that is left.
    pub(super) fn leaked_memory(&self, address: u64, bytes: u64, when: &str) {
        if self.tells_leaks() {
            let described = self.describe(address).unwrap_or_default();
            self.tell(&format!("leak: {bytes} bytes at 0x{address:x} are left when {when}, {described}"));
        }
    }

    /// Objects that are left, of those that the program made by a call of its own for it.
    pub(super) fn leaked_objects(&self, handles: impl Iterator<Item = Handle>, when: &str) {
        if !self.tells_leaks() {
            return;
        }
        let book = self.book();
        let is_made_for_itself = |made: &Made| match made.kind {
            // A default stream is made by its first use, a library's module by the first use of a kernel.
            "Stream" => made.by.is_some_and(|call| call.name.starts_with("cuStreamCreate")),
            "Module" => made.by.is_some_and(|call| call.name.starts_with("cuModuleLoad")),
            kind => ["Event", "Graph", "GraphExec", "Library", "Pool"].contains(&kind) && made.by.is_some(),
        };
        let mut left: Vec<Made> = handles.filter_map(|handle| book.objects.get(&handle).copied()).collect();
        drop(book);
        left.retain(is_made_for_itself);
        left.sort_by_key(|made| made.by.map(|call| call.number));
        for made in left {
            let what = match made.kind {
                "GraphExec" => "an instantiated graph",
                "Graph" => "a graph",
                "Event" => "an event",
                "Stream" => "a stream",
                "Module" => "a module",
                "Library" => "a library",
                _ => "a pool",
            };
            self.tell(&format!("leak: {what} is left when {when}, made by {}", by(made.by)));
        }
    }

    /// The process ends: what is left, and how many errors there were.
    pub(super) fn close(&self, driver: &Driver) {
        if !self.is_on() {
            return;
        }
        let when = "the process ends";
        if self.tells_leaks() {
            driver.allocations.left().for_each(|(address, bytes)| self.leaked_memory(address, bytes, when));
            let handles: Vec<Handle> = self.book().objects.keys().copied().collect();
            self.leaked_objects(handles.into_iter(), when);
        }
        let errors = self.errors.load(Ordering::Relaxed);
        report::tell(&format!("sanitizer: {errors} error{}", if errors == 1 { "" } else { "s" }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_are_known_by_their_calls() {
        let ledger = Ledger::new(Checks::ALL);
        ledger.begin("cuMemAlloc_v2");
        ledger.allocated(0x100);
        ledger.begin("cuMemFree_v2");
        assert_eq!(ledger.describe(0x100).unwrap(), "allocated by call 1 (cuMemAlloc_v2)");
        ledger.freed(0x100);
        ledger.end();
        let text = ledger.describe(0x100).unwrap();
        assert_eq!(text, "allocated by call 1 (cuMemAlloc_v2), freed by call 2 (cuMemFree_v2)");
        assert_eq!(ledger.describe(0x200), None);
        let off = Ledger::new(Checks::NONE);
        off.allocated(0x100);
        assert_eq!(off.describe(0x100), None);
    }
}
