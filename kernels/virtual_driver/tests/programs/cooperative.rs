//! A cooperative launch whose blocks meet, in a kernel that the driver's linker put together.

use std::ffi::{CStr, c_void};

use cudarc::driver::{CudaContext, result, sys};

use crate::virtual_process::run;

/// Block b writes b + 1 to slot b; behind the barrier it adds what its neighbour to the right wrote.
const NEIGHBOURS: &CStr = c".version 8.0
.target sm_80
.address_size 64
.extern .func (.param .b64 handle) cudaCGGetIntrinsicHandle(.param .b32 scope);
.extern .func (.param .b32 status) cudaCGSynchronize(.param .b64 handle, .param .b32 flags);
.visible .entry neighbours(.param .u64 slots, .param .u64 sums)
{
    .reg .pred %p<2>;
    .reg .b32 %r<12>;
    .reg .b64 %rd<9>;
    ld.param.u64 %rd1, [slots];
    ld.param.u64 %rd2, [sums];
    mov.u32 %r1, %ctaid.x;
    mov.u32 %r2, %nctaid.x;
    mul.wide.u32 %rd3, %r1, 4;
    add.s64 %rd4, %rd1, %rd3;
    add.s32 %r3, %r1, 1;
    st.global.u32 [%rd4], %r3;
    {
        .param .b32 scope;
        .param .b64 handle;
        st.param.b32 [scope], 1;
        call.uni (handle), cudaCGGetIntrinsicHandle, (scope);
        ld.param.b64 %rd5, [handle];
    }
    {
        .param .b64 handle;
        .param .b32 flags;
        .param .b32 status;
        st.param.b64 [handle], %rd5;
        st.param.b32 [flags], 0;
        call.uni (status), cudaCGSynchronize, (handle, flags);
        ld.param.b32 %r4, [status];
    }
    rem.u32 %r5, %r3, %r2;
    mul.wide.u32 %rd6, %r5, 4;
    add.s64 %rd7, %rd1, %rd6;
    ld.global.u32 %r6, [%rd7];
    add.s32 %r7, %r6, %r3;
    add.s64 %rd8, %rd2, %rd3;
    st.global.u32 [%rd8], %r7;
    ret;
}
";

fn link() -> Vec<u8> {
    let (mut state, mut image, mut bytes) = (std::ptr::null_mut(), std::ptr::null_mut::<c_void>(), 0);
    let (keys, values) = (std::ptr::null_mut(), std::ptr::null_mut());
    let text = NEIGHBOURS.to_bytes_with_nul();
    // SAFETY: sizes are those of the data; the library is known by its name, its bytes are not looked at.
    unsafe {
        use sys::CUjitInputType_enum::{CU_JIT_INPUT_LIBRARY, CU_JIT_INPUT_PTX};
        sys::cuLinkCreate_v2(0, keys, values, &raw mut state).result().unwrap();
        let add = |kind, data: &[u8], name: &CStr| {
            let at = data.as_ptr().cast::<c_void>().cast_mut();
            sys::cuLinkAddData_v2(state, kind, at, data.len(), name.as_ptr(), 0, keys, values)
                .result()
                .unwrap();
        };
        add(CU_JIT_INPUT_PTX, text, c"neighbours.ptx");
        add(CU_JIT_INPUT_LIBRARY, b"!<arch>\n", c"libcudadevrt.a");
        sys::cuLinkComplete(state, &raw mut image, &raw mut bytes).result().unwrap();
        let linked = std::slice::from_raw_parts(image.cast::<u8>(), bytes).to_vec();
        sys::cuLinkDestroy(state).result().unwrap();
        linked
    }
}

#[test]
fn the_blocks_of_a_cooperative_launch_meet() {
    run("cooperative::the_blocks_of_a_cooperative_launch_meet", || {
        const BLOCKS: usize = 6;
        let context = CudaContext::new(0).unwrap();
        let stream = context.new_stream().unwrap();
        context.bind_to_thread().unwrap();
        let image = link();
        // SAFETY: the image ends with a zero; the kernel takes two addresses of as many slots as there are blocks.
        unsafe {
            let module = result::module::load_data(image.as_ptr().cast()).unwrap();
            let function = result::module::get_function(module, c"neighbours".into()).unwrap();
            let mut slots = result::malloc_sync(4 * BLOCKS).unwrap();
            let mut sums = result::malloc_sync(4 * BLOCKS).unwrap();
            let mut params = [(&raw mut slots).cast::<c_void>(), (&raw mut sums).cast()];
            let (grid, block) = ((BLOCKS as u32, 1, 1), (64, 1, 1));
            for _ in 0..2 {
                result::memset_d8_sync(slots, 0, 4 * BLOCKS).unwrap();
                let stream = stream.cu_stream();
                result::launch_cooperative_kernel(function, grid, block, 0, stream, &mut params).unwrap();
                result::stream::synchronize(stream).unwrap();
                let mut found = [0_u32; BLOCKS];
                result::memcpy_dtoh_sync(&mut found, sums).unwrap();
                assert_eq!(found, [3, 5, 7, 9, 11, 7]);
            }
            let most = (100_000, 1, 1);
            let stream = stream.cu_stream();
            let refused = result::launch_cooperative_kernel(function, most, block, 0, stream, &mut params);
            assert_eq!(refused.unwrap_err().0, sys::CUresult::CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
        }
    });
}
