//! Addresses reserved, physical memory made, one mapped to the other: what growing allocators do.

use std::ffi::c_void;
use std::mem::zeroed;

use cudarc::driver::{CudaContext, sys};
use sys::CUresult::{CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_OUT_OF_MEMORY, CUDA_SUCCESS};

use crate::virtual_process::{run, run_with};

const PIECE: usize = 2 << 20;

fn props() -> sys::CUmemAllocationProp {
    // SAFETY: zeros are a value of this structure of the API.
    let mut props: sys::CUmemAllocationProp = unsafe { zeroed() };
    props.type_ = sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
    props.location.type_ = sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
    props.requestedHandleTypes = sys::CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    props
}

fn create(bytes: usize) -> Result<u64, sys::CUresult> {
    let mut handle = 0;
    // SAFETY: all places are valid.
    let code = unsafe { sys::cuMemCreate(&raw mut handle, bytes, &props(), 0) };
    if code == CUDA_SUCCESS { Ok(handle) } else { Err(code) }
}

fn allow(address: u64, bytes: usize) -> sys::CUresult {
    let mut access = sys::CUmemAccessDesc {
        location: props().location,
        flags: sys::CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
    };
    // SAFETY: all places are valid.
    unsafe { sys::cuMemSetAccess(address, bytes, &raw mut access, 1) }
}

#[test]
fn two_pieces_side_by_side_are_one_range() {
    run("virtual_memory::two_pieces_side_by_side_are_one_range", || {
        let context = CudaContext::new(0).unwrap();
        context.bind_to_thread().unwrap();
        let (mut granularity, mut base) = (0, 0);
        // SAFETY: all places are valid; wrong arguments must be refused.
        unsafe {
            let which = sys::CUmemAllocationGranularity_flags::CU_MEM_ALLOC_GRANULARITY_MINIMUM;
            sys::cuMemGetAllocationGranularity(&raw mut granularity, &props(), which).result().unwrap();
            assert_eq!(granularity, PIECE);
            sys::cuMemAddressReserve(&raw mut base, 4 * PIECE, 0, 0, 0).result().unwrap();
            let (first, second) = (create(PIECE).unwrap(), create(PIECE).unwrap());
            sys::cuMemMap(base, PIECE, 0, first, 0).result().unwrap();
            assert_eq!(sys::cuMemMap(base, PIECE, 0, second, 0), CUDA_ERROR_INVALID_VALUE, "taken");
            let end = base + PIECE as u64;
            sys::cuMemMap(end, PIECE, 0, second, 0).result().unwrap();
            assert_eq!(sys::cuMemsetD8_v2(base, 7, 16), CUDA_ERROR_INVALID_VALUE, "nobody may reach it yet");
            allow(base, 2 * PIECE).result().unwrap();
            assert_eq!(allow(base, 3 * PIECE), CUDA_ERROR_INVALID_VALUE, "the third is not mapped");
            sys::cuMemsetD8_v2(base + 1, 7, 2 * PIECE - 1).result().unwrap();
            assert_eq!(sys::cuMemsetD8_v2(base, 7, 2 * PIECE + 1), CUDA_ERROR_INVALID_VALUE);
            let mut bytes = [0_u8; 8];
            sys::cuMemcpyDtoH_v2(bytes.as_mut_ptr().cast(), end - 4, 8).result().unwrap();
            assert_eq!(bytes, [7; 8]);
            assert_eq!(sys::cuMemFree_v2(base), CUDA_ERROR_INVALID_VALUE, "not of cuMemAlloc");
            assert_eq!(
                sys::cuMemAddressFree(base, 4 * PIECE),
                CUDA_ERROR_INVALID_VALUE,
                "something is mapped"
            );
            sys::cuMemUnmap(base, 2 * PIECE).result().unwrap();
            assert_eq!(sys::cuMemsetD8_v2(base, 7, 16), CUDA_ERROR_INVALID_VALUE);
            // The memory outlives its mapping: at another address it holds what it held.
            let elsewhere = base + 2 * PIECE as u64;
            sys::cuMemMap(elsewhere, PIECE, 0, second, 0).result().unwrap();
            allow(elsewhere, PIECE).result().unwrap();
            sys::cuMemRelease(second).result().unwrap();
            sys::cuMemcpyDtoH_v2(bytes.as_mut_ptr().cast(), elsewhere + 100, 8).result().unwrap();
            assert_eq!(bytes, [7; 8]);
            sys::cuMemUnmap(elsewhere, PIECE).result().unwrap();
            sys::cuMemRelease(first).result().unwrap();
            assert_eq!(sys::cuMemRelease(first), CUDA_ERROR_INVALID_VALUE);
            sys::cuMemAddressFree(base, 4 * PIECE).result().unwrap();
        }
    });
}

#[test]
fn memory_is_counted_and_shared_through_a_file() {
    let small = [("GOLDLAP_VIRTUAL_MEMORY", "8388608")];
    run_with("virtual_memory::memory_is_counted_and_shared_through_a_file", &small, || {
        let context = CudaContext::new(0).unwrap();
        context.bind_to_thread().unwrap();
        assert_eq!(create(5 * PIECE), Err(CUDA_ERROR_OUT_OF_MEMORY));
        assert_eq!(create(PIECE + 1), Err(CUDA_ERROR_INVALID_VALUE));
        let handle = create(PIECE).unwrap();
        let (mut file, mut copy, mut base) = (0_i32, 0, 0);
        let kind = sys::CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
        // SAFETY: all places are valid; the file is open.
        unsafe {
            sys::cuMemExportToShareableHandle((&raw mut file).cast(), handle, kind, 0).result().unwrap();
            let shared = file as usize as *mut c_void;
            sys::cuMemImportFromShareableHandle(&raw mut copy, shared, kind).result().unwrap();
            sys::cuMemAddressReserve(&raw mut base, 2 * PIECE, 0, 0, 0).result().unwrap();
            sys::cuMemMap(base, PIECE, 0, handle, 0).result().unwrap();
            sys::cuMemMap(base + PIECE as u64, PIECE, 0, copy, 0).result().unwrap();
            allow(base, 2 * PIECE).result().unwrap();
            sys::cuMemsetD32_v2(base, 0x1234_5678, 4).result().unwrap();
            let mut word = 0_u32;
            sys::cuMemcpyDtoH_v2((&raw mut word).cast(), base + PIECE as u64, 4).result().unwrap();
            assert_eq!(word, 0x1234_5678, "both are the same memory");
        }
    });
}
