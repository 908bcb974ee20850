//! Programs under `GOLDLAP_VCUDA_SANITIZE`: what is told, what fails, and what a program may do without it.

use std::ffi::{CStr, CString, c_void};

use cudarc::driver::{CudaContext, result, sys};
use sys::CUresult;

use crate::virtual_process::run_with;

/// `spread` writes p[thread], `read` reads it, in `same` all threads write p[0].
const KERNELS: &CStr = c".version 8.0
.target sm_80
.address_size 64
.visible .entry spread(.param .u64 p)
{
    .reg .b64 %rd<4>;
    .reg .b32 %r<2>;
    ld.param.u64 %rd1, [p];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd2, %r1, 4;
    add.u64 %rd3, %rd1, %rd2;
    st.global.u32 [%rd3], %r1;
    ret;
}
.visible .entry read(.param .u64 p)
{
    .reg .b64 %rd<4>;
    .reg .b32 %r<3>;
    ld.param.u64 %rd1, [p];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd2, %r1, 4;
    add.u64 %rd3, %rd1, %rd2;
    ld.global.u32 %r2, [%rd3];
    ret;
}
.visible .entry same(.param .u64 p)
{
    .reg .b64 %rd<2>;
    .reg .b32 %r<2>;
    ld.param.u64 %rd1, [p];
    mov.u32 %r1, %tid.x;
    st.global.u32 [%rd1], %r1;
    ret;
}
";

fn launch(kernel: &str, address: u64, threads: u32) -> Result<(), CUresult> {
    let mut address = address;
    let mut params = [(&raw mut address).cast::<c_void>()];
    // SAFETY: the text ends with a zero; the kernels have one 64-bit parameter; the null stream is always there.
    unsafe {
        let module = result::module::load_data(KERNELS.as_ptr().cast()).map_err(|error| error.0)?;
        let function = result::module::get_function(module, CString::new(kernel).unwrap()).unwrap();
        let null = std::ptr::null_mut();
        result::launch_kernel(function, (1, 1, 1), (threads, 1, 1), 0, null, &mut params).unwrap();
        let done = result::stream::synchronize(null).map_err(|error| error.0);
        sys::cuModuleUnload(module);
        done
    }
}

fn allocate(bytes: usize) -> u64 {
    // SAFETY: no memory is touched.
    unsafe { result::malloc_sync(bytes) }.unwrap()
}

fn free(address: u64) -> CUresult {
    // SAFETY: the address is one to be freed or to be refused; the driver follows neither.
    unsafe { sys::cuMemFree_v2(address) }
}

/// Runs the body under some sanitizers; `None` in the process that is watched.
fn told(name: &str, checks: &str, body: fn()) -> Option<String> {
    let output = run_with(&format!("sanitized::{name}"), &[("GOLDLAP_VCUDA_SANITIZE", checks)], body)?;
    Some(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn expect(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

#[test]
fn a_finding_fails_the_context_for_good() {
    let text = told("a_finding_fails_the_context_for_good", "1", || {
        let context = CudaContext::new(0).unwrap();
        context.bind_to_thread().unwrap();
        let p = allocate(64);
        assert_eq!(launch("same", p, 2), Err(CUresult::CUDA_ERROR_LAUNCH_FAILED));
        assert_eq!(launch("spread", p, 2), Err(CUresult::CUDA_ERROR_LAUNCH_FAILED), "the failure stays");
    });
    if let Some(text) = text {
        let race = "sanitizer: race (write after write) in kernel same: global store of 4 bytes";
        expect(&text, &[race, "byte 0 of the 64 at 0x", "allocated by call ", "(cuMemAlloc_v2)"]);
        expect(&text, &["PTX line 32: st.global.u32 [%rd1], %r1", "thread (1, 0, 0)", "thread (0, 0, 0)"]);
    }
}

#[test]
fn findings_may_be_told_without_failing() {
    let text = told("findings_may_be_told_without_failing", "racecheck,reportonly", || {
        let context = CudaContext::new(0).unwrap();
        context.bind_to_thread().unwrap();
        let p = allocate(64);
        assert_eq!(launch("same", p, 2), Ok(()));
        assert_eq!(launch("read", p, 16), Ok(()), "nobody looks for unwritten memory");
    });
    if let Some(text) = text {
        expect(&text, &["race (write after write)", "sanitizer: 1 error\n"]);
    }
}

#[test]
fn a_clean_program_has_no_errors() {
    let text = told("a_clean_program_has_no_errors", "1", || {
        let context = CudaContext::new(0).unwrap();
        let stream = context.new_stream().unwrap();
        let floats = stream.clone_htod(&[1.0_f32; 100]).unwrap();
        let copy = stream.clone_dtod(&floats).unwrap();
        assert_eq!(stream.clone_dtoh(&copy).unwrap(), [1.0; 100]);
        let p = allocate(64);
        assert_eq!(launch("spread", p, 16), Ok(()));
        assert_eq!(free(p), CUresult::CUDA_SUCCESS);
    });
    if let Some(text) = text {
        expect(&text, &["sanitizer: 0 errors\n"]);
        assert_eq!(text.matches("sanitizer:").count(), 1, "{text}");
    }
}

#[test]
fn unwritten_memory_is_followed_through_copies() {
    let text = told("unwritten_memory_is_followed_through_copies", "initcheck,reportonly", || {
        let context = CudaContext::new(0).unwrap();
        context.bind_to_thread().unwrap();
        let (a, b) = (allocate(64), allocate(64));
        let mut host = [0_u8; 64];
        // SAFETY: all ranges lie inside the allocations.
        unsafe {
            result::memcpy_htod_sync(a, &[1_u8; 32]).unwrap();
            result::memset_d8_sync(a + 32, 7, 16).unwrap();
            result::memcpy_dtod_sync(b, a, 64).unwrap();
            assert_eq!(launch("read", b, 12), Ok(()));
            result::memcpy_dtoh_sync(&mut host[..48], b).unwrap();
            assert_eq!(launch("read", b, 13), Ok(()));
            result::memcpy_dtoh_sync(&mut host, b).unwrap();
        }
    });
    if let Some(text) = text {
        expect(&text, &["uninitialised memory in kernel read: global load", "byte 48 of the 64 at 0x"]);
        expect(&text, &["a copy to the host reads byte 48 of the 64", "sanitizer: 2 errors\n"]);
    }
}

#[test]
fn frees_and_leaks_are_told_with_their_calls() {
    let text = told("frees_and_leaks_are_told_with_their_calls", "1", || {
        let context = CudaContext::new(0).unwrap();
        context.bind_to_thread().unwrap();
        let (p, q) = (allocate(64), allocate(1000));
        assert_eq!(free(p), CUresult::CUDA_SUCCESS);
        assert_eq!(free(p), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(free(q + 8), CUresult::CUDA_ERROR_INVALID_VALUE);
        let (mut event, mut stream, mut graph) =
            (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: places for one handle each.
        unsafe {
            sys::cuEventCreate(&raw mut event, 0).result().unwrap();
            sys::cuStreamCreate(&raw mut stream, 0).result().unwrap();
            sys::cuGraphCreate(&raw mut graph, 0).result().unwrap();
            result::module::load_data(KERNELS.as_ptr().cast()).unwrap();
        }
    });
    if let Some(text) = text {
        expect(&text, &["double free: call ", ", which was allocated by call ", " and freed by call "]);
        expect(&text, &["invalid free: call ", "sanitizer: 7 errors\n"]);
        expect(&text, &["leak: 1000 bytes at 0x", "allocated by call ", "(cuMemAlloc_v2)"]);
        for (object, call) in [
            ("an event", "cuEventCreate"),
            ("a stream", "cuStreamCreate"),
            ("a graph", "cuGraphCreate"),
            ("a module", "cuModuleLoadData"),
        ] {
            let line = text.lines().find(|line| line.contains(&format!("leak: {object} is left")));
            assert!(line.is_some_and(|line| line.contains(call)), "{object}:\n{text}");
        }
    }
}

#[test]
fn a_use_after_free_names_both_calls() {
    let text = told("a_use_after_free_names_both_calls", "1", || {
        let context = CudaContext::new(0).unwrap();
        context.bind_to_thread().unwrap();
        let (p, _left) = (allocate(64), allocate(64));
        assert_eq!(free(p), CUresult::CUDA_SUCCESS);
        assert_eq!(launch("spread", p, 16), Err(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS));
    });
    if let Some(text) = text {
        expect(
            &text,
            &["use after free: byte 0 of the 64 that were at 0x", "(cuMemAlloc_v2), freed by call "],
        );
        expect(&text, &["(cuMemFree_v2)", "sanitizer: 1 error\n"]);
    }
}

#[test]
fn without_sanitizers_kernels_reach_to_the_end_of_a_granule() {
    fn launch_past_the_end(threads: u32) -> Result<(), CUresult> {
        let context = CudaContext::new(0).unwrap();
        context.bind_to_thread().unwrap();
        launch("read", allocate(500), threads)
    }
    told("without_sanitizers_kernels_reach_to_the_end_of_a_granule", "", || {
        assert_eq!(launch_past_the_end(128), Ok(()));
        assert_eq!(launch_past_the_end(129), Err(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS));
    });
}

#[test]
fn with_sanitizers_bounds_are_exact() {
    let text = told("with_sanitizers_bounds_are_exact", "memcheck", || {
        let context = CudaContext::new(0).unwrap();
        context.bind_to_thread().unwrap();
        let p = allocate(500);
        assert_eq!(launch("read", p, 125), Ok(()));
        assert_eq!(launch("read", p, 126), Err(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS));
    });
    if let Some(text) = text {
        expect(&text, &["0 bytes past the end of the 500 bytes", "allocated by call ", "thread (125, 0, 0)"]);
    }
}

#[test]
fn a_wrong_list_of_checks_is_refused() {
    let text = told("a_wrong_list_of_checks_is_refused", "racechek", || {
        // SAFETY: initialising touches nothing of ours.
        assert_eq!(unsafe { sys::cuInit(0) }, CUresult::CUDA_ERROR_INVALID_VALUE);
    });
    if let Some(text) = text {
        expect(&text, &["GOLDLAP_VCUDA_SANITIZE: expected", "got 'racechek'"]);
    }
}
