//! Calls that must not be made during a capture fail as they fail on hardware.

use cudarc::driver::{CudaContext, result, sys};
use sys::{CUresult, CUstream, CUstreamCaptureMode};

use crate::virtual_process::run;

const GLOBAL: CUstreamCaptureMode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
const RELAXED: CUstreamCaptureMode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;

fn start() -> CUstream {
    CudaContext::new(0).unwrap().bind_to_thread().unwrap();
    std::mem::forget(CudaContext::new(0).unwrap());
    result::stream::create(result::stream::StreamKind::Default).unwrap()
}

/// Begins a capture, makes one call that must fail with a code, and expects the end to fail with another.
fn expect(
    mode: CUstreamCaptureMode,
    fails: CUresult,
    ends: CUresult,
    mut call: impl FnMut(CUstream) -> CUresult,
) {
    let stream = start();
    let mut graph = std::ptr::null_mut();
    // SAFETY: the stream is live.
    unsafe {
        assert_eq!(sys::cuStreamBeginCapture_v2(stream, mode), CUresult::CUDA_SUCCESS);
        assert_eq!(call(stream), fails);
        assert_eq!(sys::cuStreamEndCapture(stream, &raw mut graph), ends);
        assert_eq!(graph.is_null(), ends != CUresult::CUDA_SUCCESS);
        assert_eq!(sys::cuStreamSynchronize(stream), CUresult::CUDA_SUCCESS);
    }
}

#[test]
fn unsafe_calls_spoil_a_capture() {
    run("capture_rules::unsafe_calls_spoil_a_capture", || {
        use CUresult::*;
        let mut address = 0;
        // SAFETY: places and streams are valid.
        unsafe {
            expect(
                GLOBAL,
                CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
                |stream| sys::cuStreamSynchronize(stream),
            );
            let mut spare = 0;
            expect(
                GLOBAL,
                CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
                |_| sys::cuMemAlloc_v2(&raw mut spare, 64),
            );
            expect(RELAXED, CUDA_SUCCESS, CUDA_SUCCESS, |_| sys::cuMemAlloc_v2(&raw mut address, 64));
            expect(GLOBAL, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, |_| {
                sys::cuMemsetD8Async(address, 0, 64, std::ptr::null_mut())
            });
            expect(GLOBAL, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, |_| {
                sys::cuMemsetD8_v2(address, 0, 64)
            });
            expect(GLOBAL, CUDA_SUCCESS, CUDA_SUCCESS, |stream| sys::cuMemsetD8Async(address, 0, 64, stream));
            let legacy = sys::cuStreamBeginCapture_v2(std::ptr::null_mut(), GLOBAL);
            assert_eq!(legacy, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        }
    });
}

#[test]
fn another_stream_joins_by_an_event_and_must_come_back() {
    run("capture_rules::another_stream_joins_by_an_event_and_must_come_back", || {
        let (main, side) = (start(), start());
        let event = || result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING).unwrap();
        for comes_back in [false, true] {
            let (fork, back) = (event(), event());
            let mut graph = std::ptr::null_mut();
            // SAFETY: streams, events and memory are live.
            unsafe {
                let address = result::malloc_sync(64).unwrap();
                assert_eq!(sys::cuStreamBeginCapture_v2(main, GLOBAL), CUresult::CUDA_SUCCESS);
                sys::cuMemsetD8Async(address, 1, 64, main).result().unwrap();
                result::event::record(fork, main).unwrap();
                assert_eq!(sys::cuEventQuery(back), CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
                sys::cuStreamEndCapture(main, &raw mut graph).result().unwrap_err();
                assert_eq!(sys::cuStreamBeginCapture_v2(main, GLOBAL), CUresult::CUDA_SUCCESS);
                sys::cuMemsetD8Async(address, 1, 64, main).result().unwrap();
                result::event::record(fork, main).unwrap();
                sys::cuStreamWaitEvent(side, fork, 0).result().unwrap();
                sys::cuMemsetD8Async(address, 2, 32, side).result().unwrap();
                if comes_back {
                    result::event::record(back, side).unwrap();
                    sys::cuStreamWaitEvent(main, back, 0).result().unwrap();
                }
                let ended = sys::cuStreamEndCapture(main, &raw mut graph);
                if !comes_back {
                    assert_eq!(ended, CUresult::CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
                    continue;
                }
                ended.result().unwrap();
                let (mut nodes, mut edges) = (0, 0);
                sys::cuGraphGetNodes(graph, std::ptr::null_mut(), &raw mut nodes).result().unwrap();
                let none = std::ptr::null_mut();
                sys::cuGraphGetEdges(graph, none, none, &raw mut edges).result().unwrap();
                assert_eq!((nodes, edges), (2, 1));
                let mut exec = std::ptr::null_mut();
                sys::cuGraphInstantiateWithFlags(&raw mut exec, graph, 0).result().unwrap();
                sys::cuGraphLaunch(exec, main).result().unwrap();
                let mut found = [0_u8; 64];
                sys::cuStreamSynchronize(main).result().unwrap();
                sys::cuMemcpyDtoH_v2(found.as_mut_ptr().cast(), address, 64).result().unwrap();
                assert_eq!((found[0], found[31], found[32], found[63]), (2, 2, 1, 1));
            }
        }
    });
}
