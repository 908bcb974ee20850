//! What the driver's compiler has to say about PTX that it refuses; the error code alone names no line.

use std::ffi::{CString, c_void};

use cudarc::driver::sys;

/// Room for the log; drivers cut longer ones.
const LOG_BYTES: usize = 16 << 10;
/// Lines of it that are shown: the first mistake is the one to mend.
const MOST_LINES: usize = 12;

/// Compiles `ptx` once more, only for the log. The context must be current. Empty where the driver says nothing, or takes it now.
pub(super) fn why_refused(ptx: &str) -> String {
    let Ok(text) = CString::new(ptx) else {
        return "the text holds a zero byte".to_owned();
    };
    let mut log = vec![0u8; LOG_BYTES];
    let mut options =
        [sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER, sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    // The driver takes a number where it does not take a pointer.
    let mut values = [log.as_mut_ptr().cast::<c_void>(), std::ptr::without_provenance_mut(LOG_BYTES)];
    let mut module = std::ptr::null_mut();
    // SAFETY: `text` ends in a zero; there are two options with a value each, and the log has the size that is said.
    let result = unsafe {
        sys::cuModuleLoadDataEx(
            &mut module,
            text.as_ptr().cast(),
            options.len() as u32,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    if result == sys::CUresult::CUDA_SUCCESS {
        // SAFETY: the module was just loaded, and nobody else knows it.
        let _not_unloaded = unsafe { sys::cuModuleUnload(module) };
        return String::new();
    }
    let end = log.iter().position(|&byte| byte == 0).unwrap_or(LOG_BYTES);
    let text = String::from_utf8_lossy(&log[..end]);
    text.lines().filter(|line| !line.trim().is_empty()).take(MOST_LINES).collect::<Vec<_>>().join("\n")
}
