//! What goes wrong is told as hardware tells it, and in words.

use std::ffi::{CStr, c_void};

use cudarc::driver::{CudaContext, result, sys};
use sys::CUresult;

use crate::virtual_process::{run, run_with};

const WILD_STORE: &CStr = c".version 8.0
.target sm_80
.address_size 64
.visible .entry wild(.param .u64 p)
{
    .reg .b64 %rd<2>;
    .reg .b32 %r<2>;
    ld.param.u64 %rd1, [p];
    mov.u32 %r1, 7;
    st.global.u32 [%rd1], %r1;
    ret;
}
";

fn launch_wild(address: u64) -> sys::CUstream {
    let stream = result::stream::create(result::stream::StreamKind::NonBlocking).unwrap();
    let mut address = address;
    // SAFETY: the text ends with a zero, the kernel has one 64-bit parameter.
    unsafe {
        let module = result::module::load_data(WILD_STORE.as_ptr().cast()).unwrap();
        let function = result::module::get_function(module, c"wild".into()).unwrap();
        let mut params = [(&raw mut address).cast::<c_void>()];
        result::launch_kernel(function, (1, 1, 1), (1, 1, 1), 0, stream, &mut params).unwrap();
    }
    stream
}

#[test]
fn a_wild_store_fails_the_context_for_good() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = log.path().to_str().unwrap();
    let environment = [("GOLDLAP_VCUDA_LOG", path)];
    let done = run_with("failures::a_wild_store_fails_the_context_for_good", &environment, || {
        let context = CudaContext::new(0).unwrap();
        context.bind_to_thread().unwrap();
        let stream = launch_wild(0x10);
        // SAFETY: the stream is live.
        let failed = unsafe { result::stream::synchronize(stream) }.unwrap_err();
        assert_eq!(failed.0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        // SAFETY: nothing is allocated.
        let again = unsafe { result::malloc_sync(16) }.unwrap_err();
        assert_eq!(again.0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, "the failure stays");
    });
    if let Some(output) = done {
        for report in
            [String::from_utf8_lossy(&output.stderr).into_owned(), std::fs::read_to_string(path).unwrap()]
        {
            for word in ["CUDA_ERROR_ILLEGAL_ADDRESS", "wild", "0x10", "PTX line 10", "thread (0, 0, 0)"] {
                assert!(report.contains(word), "no {word} in {report}");
            }
        }
    }
}

#[test]
fn broken_ptx_is_explained_in_the_error_log() {
    run("failures::broken_ptx_is_explained_in_the_error_log", || {
        let context = CudaContext::new(0).unwrap();
        context.bind_to_thread().unwrap();
        let text =
            c".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k() {\n  frobnicate.u32 %r1;\n}";
        let mut log = [0_u8; 500];
        let mut options = [
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
        ];
        let mut values = [log.as_mut_ptr().cast::<c_void>(), log.len() as *mut c_void];
        let mut module = std::ptr::null_mut();
        // SAFETY: the buffers are as large as said.
        let code = unsafe {
            sys::cuModuleLoadDataEx(
                &raw mut module,
                text.as_ptr().cast(),
                2,
                options.as_mut_ptr(),
                values.as_mut_ptr(),
            )
        };
        assert_eq!(code, CUresult::CUDA_ERROR_INVALID_PTX);
        let told = CStr::from_bytes_until_nul(&log).unwrap().to_str().unwrap();
        assert!(told.contains("line 5") && told.contains("frobnicate"), "{told}");
        assert_eq!(values[1] as usize, told.len());
    });
}

#[test]
fn wrong_arguments_are_answered_with_codes() {
    run("failures::wrong_arguments_are_answered_with_codes", || {
        let context = CudaContext::new(0).unwrap();
        context.bind_to_thread().unwrap();
        // SAFETY: every address and handle below is made up and must be refused, not followed.
        unsafe {
            assert_eq!(sys::cuMemFree_v2(0x1234), CUresult::CUDA_ERROR_INVALID_VALUE);
            assert_eq!(sys::cuStreamSynchronize(0x1234 as _), CUresult::CUDA_ERROR_INVALID_HANDLE);
            assert_eq!(sys::cuModuleUnload(0x1234 as _), CUresult::CUDA_ERROR_INVALID_HANDLE);
            assert_eq!(sys::cuMemAlloc_v2(std::ptr::null_mut(), 8), CUresult::CUDA_ERROR_INVALID_VALUE);
            let mut address = 0;
            assert_eq!(sys::cuMemAlloc_v2(&raw mut address, 16), CUresult::CUDA_SUCCESS);
            let from = [0_u8; 17];
            let too_long = sys::cuMemcpyHtoD_v2(address, from.as_ptr().cast(), 17);
            assert_eq!(too_long, CUresult::CUDA_ERROR_INVALID_VALUE);
            let mut huge = 0;
            assert_eq!(sys::cuMemAlloc_v2(&raw mut huge, 1 << 50), CUresult::CUDA_ERROR_OUT_OF_MEMORY);
            let elf = b"\x7fELF\x02\x01\x01\0";
            let mut module = std::ptr::null_mut();
            let refused = sys::cuModuleLoadData(&raw mut module, elf.as_ptr().cast());
            assert_eq!(refused, CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU);
            assert_eq!(sys::cuMemFree_v2(address), CUresult::CUDA_SUCCESS);
            assert_eq!(sys::cuMemFree_v2(address), CUresult::CUDA_ERROR_INVALID_VALUE, "freed twice");
        }
    });
}

#[test]
fn a_limit_of_registers_is_kept() {
    run("failures::a_limit_of_registers_is_kept", || {
        let context = CudaContext::new(0).unwrap();
        context.bind_to_thread().unwrap();
        let mut text = String::from(
            ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p)\n{\n",
        );
        text += ".reg .b32 %r<90>;\n.reg .b64 %rd1;\nld.param.u64 %rd1, [p];\n";
        (0..90).for_each(|n| text += &format!("ld.global.u32 %r{n}, [%rd1+{}];\n", n * 4));
        (0..90).for_each(|n| text += &format!("st.global.u32 [%rd1+{}], %r{n};\n", (89 - n) * 4));
        text += "ret;\n}\n\0";
        let mut options = [sys::CUjit_option::CU_JIT_MAX_REGISTERS];
        let mut values = [40_usize as *mut c_void];
        let (mut module, mut link) = (std::ptr::null_mut(), std::ptr::null_mut());
        let (mut image, mut bytes) = (std::ptr::null_mut(), 0);
        let registers = |module| {
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_NUM_REGS;
            let mut count = 0;
            // SAFETY: the module is live and has the kernel.
            unsafe {
                let function = result::module::get_function(module, c"k".into()).unwrap();
                sys::cuFuncGetAttribute(&raw mut count, attribute, function).result().unwrap();
            }
            count
        };
        // SAFETY: the text ends with a zero, all places are valid.
        unsafe {
            let start = text.as_ptr().cast::<c_void>();
            assert!(registers(result::module::load_data(start).unwrap()) > 40);
            sys::cuModuleLoadDataEx(&raw mut module, start, 1, options.as_mut_ptr(), values.as_mut_ptr())
                .result()
                .unwrap();
            assert_eq!(registers(module), 40);
            let (none, nothing) = (std::ptr::null_mut(), std::ptr::null_mut());
            sys::cuLinkCreate_v2(1, options.as_mut_ptr(), values.as_mut_ptr(), &raw mut link)
                .result()
                .unwrap();
            let kind = sys::CUjitInputType::CU_JIT_INPUT_PTX;
            let data = start.cast_mut();
            sys::cuLinkAddData_v2(link, kind, data, text.len(), c"k".as_ptr(), 0, none, nothing)
                .result()
                .unwrap();
            sys::cuLinkComplete(link, &raw mut image, &raw mut bytes).result().unwrap();
            assert_eq!(registers(result::module::load_data(image).unwrap()), 40);
            sys::cuLinkDestroy(link).result().unwrap();
        }
    });
}
