//! The table of live ranges from allocation to free.

use super::*;

#[test]
fn a_range_is_live_from_allocation_to_free() {
    let memory = DeviceMemory::new(1000, Fill::default());
    let a = memory.allocate(100, Kind::Device).unwrap();
    assert_eq!(memory.size_and_free(), (1000, 900));
    assert!(memory.check(a, 100).is_ok() && memory.check(a + 99, 1).is_ok());
    assert!(memory.check(a, 101).is_err() && memory.check(a + 100, 1).is_err());
    let mut bytes = [0; 4];
    memory.read(a + 96, &mut bytes).unwrap();
    assert_eq!(bytes, [0xCD; 4]);
    assert!(memory.allocate(901, Kind::Device).is_err());
    let snapshot = memory.snapshot();
    memory.free(a).unwrap();
    assert_eq!(memory.free(a), Err(MemoryError::NotAnAllocation(a)));
    assert!(snapshot.contains(a, 100), "a snapshot keeps what it saw");
    assert!(!memory.snapshot().contains(a, 1));
}

#[test]
fn large_allocations_begin_at_a_page() {
    let memory = DeviceMemory::new(8 << 20, Fill::default());
    let (small, large) = (memory.allocate(100, Kind::Device), memory.allocate(1 << 20, Kind::Device));
    assert_eq!((small.unwrap() % 512, large.unwrap() % (2 << 20)), (0, 0));
}

#[test]
fn registered_memory_is_reachable_and_does_not_overlap() {
    let memory = DeviceMemory::new(1000, Fill::Zeros);
    let mut host = vec![7_u8; 64];
    let at = host.as_mut_ptr() as u64;
    // SAFETY: `host` outlives the registration.
    unsafe {
        memory.register(at, 64).unwrap();
        assert!(memory.register(at + 63, 8).is_err());
    }
    assert_eq!(memory.free(at), Err(MemoryError::NotAnAllocation(at)));
    memory.write(at + 1, &[9]).unwrap();
    memory.unregister(at).unwrap();
    assert_eq!(host[..3], [7, 9, 7]);
}
