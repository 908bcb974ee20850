//! How far a kernel may reach.

/// How strictly a kernel's addresses are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounds {
    /// To the byte.
    Exact,
    /// To the end of the last 512 bytes of an allocation, the unit in which GPUs hand out memory: a kernel that reads a
    /// little too far runs there too. (A GPU only traps outside its 2 MiB pages, but what lies behind the last granule
    /// is another allocation there and nothing at all here.) Pinned and registered host memory is exact.
    Granules,
}
