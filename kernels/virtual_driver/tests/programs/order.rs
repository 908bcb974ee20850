//! Streams keep their order, and events order them among each other.

use std::ffi::c_void;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cudarc::driver::{CudaContext, result, sys};
use sys::CUresult;

use crate::virtual_process::{run, run_with};

static TOLD: Mutex<Vec<usize>> = Mutex::new(Vec::new());

unsafe extern "C" fn tell(word: *mut c_void) {
    let mut version = 0;
    std::thread::sleep(Duration::from_millis(5));
    TOLD.lock().unwrap().push(word as usize);
    // SAFETY: the place is valid. A host function may not call the driver's streams.
    unsafe {
        sys::cuDriverGetVersion(&raw mut version);
        assert_eq!(sys::cuStreamSynchronize(2 as _), CUresult::CUDA_ERROR_NOT_PERMITTED);
    }
}

#[test]
fn host_functions_run_in_order_without_holding_the_caller() {
    run("order::host_functions_run_in_order_without_holding_the_caller", || {
        let context = CudaContext::new(0).unwrap();
        context.bind_to_thread().unwrap();
        let new = || result::stream::create(result::stream::StreamKind::NonBlocking).unwrap();
        let (first, second) = (new(), new());
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT).unwrap();
        let began = Instant::now();
        // SAFETY: streams and events are live, the function takes a number for a pointer.
        unsafe {
            for word in 0..10 {
                sys::cuLaunchHostFunc(first, Some(tell), word as *mut c_void).result().unwrap();
            }
            assert!(began.elapsed() < Duration::from_millis(40), "the caller was held");
            assert_eq!(sys::cuStreamQuery(first), CUresult::CUDA_ERROR_NOT_READY);
            result::event::record(event, first).unwrap();
            assert_eq!(sys::cuEventQuery(event), CUresult::CUDA_ERROR_NOT_READY);
            sys::cuStreamWaitEvent(second, event, 0).result().unwrap();
            sys::cuLaunchHostFunc(second, Some(tell), 10 as *mut c_void).result().unwrap();
            result::stream::synchronize(second).unwrap();
            assert_eq!(sys::cuStreamQuery(first), CUresult::CUDA_SUCCESS);
        }
        assert_eq!(*TOLD.lock().unwrap(), (0..=10).collect::<Vec<_>>());
    });
}

#[test]
fn a_stream_waits_for_a_word_and_for_another_device() {
    let two = [("GOLDLAP_VIRTUAL_DEVICES", "2")];
    run_with("order::a_stream_waits_for_a_word_and_for_another_device", &two, || {
        let (near, far) = (CudaContext::new(0).unwrap(), CudaContext::new(1).unwrap());
        let mut word: *mut c_void = std::ptr::null_mut();
        // SAFETY: all handles are live; the word is pinned memory.
        unsafe {
            far.bind_to_thread().unwrap();
            let far_stream = result::stream::create(result::stream::StreamKind::NonBlocking).unwrap();
            near.bind_to_thread().unwrap();
            let stream = result::stream::create(result::stream::StreamKind::NonBlocking).unwrap();
            sys::cuMemHostAlloc(&raw mut word, 8, 0).result().unwrap();
            let place = word.cast::<u32>();
            place.write_volatile(0);
            let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT).unwrap();
            sys::cuStreamWaitValue32_v2(stream, word as u64, 5, 1).result().unwrap();
            result::event::record(event, stream).unwrap();
            sys::cuStreamWaitEvent(far_stream, event, 0).result().unwrap();
            sys::cuStreamWriteValue32_v2(far_stream, word as u64 + 4, 9, 0).result().unwrap();
            std::thread::sleep(Duration::from_millis(20));
            assert_eq!(sys::cuStreamQuery(far_stream), CUresult::CUDA_ERROR_NOT_READY);
            place.write_volatile(5);
            result::stream::synchronize(far_stream).unwrap();
            assert_eq!(place.add(1).read_volatile(), 9);
        }
    });
}
