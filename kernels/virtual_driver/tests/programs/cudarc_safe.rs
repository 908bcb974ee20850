//! cudarc's safe layer, as a program would use it.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream, LaunchConfig, PushKernelArg, sys};
use cudarc::nvrtc::Ptx;

use crate::virtual_process::{run, run_with};

const SAXPY: &str = include_str!("../ptx/saxpy.ptx");

fn saxpy_inputs(n: usize) -> (Vec<f32>, Vec<f32>) {
    ((0..n).map(|i| i as f32).collect(), (0..n).map(|i| 1.0 - i as f32 * 0.5).collect())
}

fn launch_saxpy(
    stream: &Arc<CudaStream>,
    n: usize,
    x: &cudarc::driver::CudaSlice<f32>,
    y: &mut cudarc::driver::CudaSlice<f32>,
) {
    let module = stream.context().load_module(Ptx::from_src(SAXPY)).unwrap();
    let saxpy = module.load_function("saxpy").unwrap();
    let (count, factor) = (n as u32, 2.0_f32);
    let mut call = stream.launch_builder(&saxpy);
    call.arg(&count).arg(&factor).arg(x).arg(y);
    // SAFETY: the arguments are those of the kernel.
    unsafe { call.launch(LaunchConfig::for_num_elems(count)) }.unwrap();
}

#[test]
fn memory_launch_and_events() {
    run("cudarc_safe::memory_launch_and_events", || {
        let n = 10_000;
        let context = CudaContext::new(0).unwrap();
        assert_eq!(context.name().unwrap(), "Goldlap Virtual GPU (sm_80)");
        assert_eq!(context.compute_capability().unwrap(), (8, 0));
        let stream = context.new_stream().unwrap();
        let (x, y) = saxpy_inputs(n);
        let on_device = stream.clone_htod(&x).unwrap();
        let mut result = stream.clone_htod(&y).unwrap();
        let flags = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
        let before = stream.record_event(flags).unwrap();
        launch_saxpy(&stream, n, &on_device, &mut result);
        let after = stream.record_event(flags).unwrap();
        let found = stream.clone_dtoh(&result).unwrap();
        assert!(found.iter().zip(&x).zip(&y).all(|((r, x), y)| *r == 2.0 * x + y));
        assert!(before.elapsed_ms(&after).unwrap() > 0.0);
        let zeros = stream.alloc_zeros::<u8>(1000).unwrap();
        assert_eq!(stream.clone_dtoh(&zeros).unwrap(), [0; 1000]);
    });
}

#[test]
fn a_captured_graph_is_replayed() {
    run("cudarc_safe::a_captured_graph_is_replayed", || {
        let n = 1000;
        let context = CudaContext::new(0).unwrap();
        let stream = context.new_stream().unwrap();
        // cudarc's own events would tie the capture to what came before it.
        // SAFETY: everything here happens in one stream.
        unsafe { context.disable_event_tracking() };
        let (x, y) = saxpy_inputs(n);
        let on_device = stream.clone_htod(&x).unwrap();
        let mut result = stream.clone_htod(&y).unwrap();
        let module = context.load_module(Ptx::from_src(SAXPY)).unwrap();
        let saxpy = module.load_function("saxpy").unwrap();
        stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
        let (count, factor) = (n as u32, 2.0_f32);
        let mut call = stream.launch_builder(&saxpy);
        call.arg(&count).arg(&factor).arg(&on_device).arg(&mut result);
        // SAFETY: the arguments are those of the kernel.
        unsafe { call.launch(LaunchConfig::for_num_elems(count)) }.unwrap();
        let flags = sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
        let graph = stream.end_capture(flags).unwrap().expect("a graph");
        assert_eq!(stream.clone_dtoh(&result).unwrap(), y, "captured work is not done");
        for _ in 0..3 {
            graph.launch().unwrap();
        }
        let found = stream.clone_dtoh(&result).unwrap();
        assert!(found.iter().zip(&x).zip(&y).all(|((r, x), y)| *r == 6.0 * x + y));
    });
}

#[test]
fn two_devices_exchange_memory() {
    run_with("cudarc_safe::two_devices_exchange_memory", &[("GOLDLAP_VIRTUAL_DEVICES", "2")], || {
        assert_eq!(CudaContext::device_count().unwrap(), 2);
        let (first, second) = (CudaContext::new(0).unwrap(), CudaContext::new(1).unwrap());
        assert_ne!(first.uuid().unwrap().bytes, second.uuid().unwrap().bytes);
        let (near, far) = (first.default_stream(), second.default_stream());
        let here = near.clone_htod(&[1_u32, 2, 3]).unwrap();
        // The streams of two devices do not wait for each other by themselves.
        near.synchronize().unwrap();
        let mut there = far.alloc_zeros::<u32>(3).unwrap();
        far.memcpy_dtod(&here, &mut there).unwrap();
        assert_eq!(far.clone_dtoh(&there).unwrap(), [1, 2, 3]);
    });
}

/// The primary context has one handle for ever: threads that take hold of it while another lets go get a whole new one.
#[test]
fn threads_come_and_go() {
    run("cudarc_safe::threads_come_and_go", || {
        let come_and_go = |thread: usize| {
            for round in 0..200 {
                let context = CudaContext::new(0).unwrap();
                let stream = context.new_stream().unwrap();
                let n = 1000 * (thread + 1) + round;
                let (x, y) = saxpy_inputs(n);
                let on_device = stream.clone_htod(&x).unwrap();
                let mut result = stream.clone_htod(&y).unwrap();
                launch_saxpy(&stream, n, &on_device, &mut result);
                let found = stream.clone_dtoh(&result).unwrap();
                assert!(found.iter().zip(&x).zip(&y).all(|((r, x), y)| *r == 2.0 * x + y));
            }
        };
        std::thread::scope(|scope| {
            (0..2).for_each(|thread| drop(scope.spawn(move || come_and_go(thread))));
        });
    });
}

/// Threads are given the addresses that others have just freed, and nobody takes them away again.
#[test]
fn threads_take_over_memory() {
    run("cudarc_safe::threads_take_over_memory", || {
        const BYTES: usize = 200_000;
        let take_and_leave = || {
            let context = CudaContext::new(0).unwrap();
            let stream = context.new_stream().unwrap();
            for _ in 0..1000 {
                // SAFETY: nobody reads the memory before it is filled.
                let mut memory = unsafe { stream.alloc::<u8>(BYTES) }.unwrap();
                stream.memset_zeros(&mut memory.slice_mut(..16)).unwrap();
                drop(memory);
                context.check_err().unwrap();
            }
        };
        std::thread::scope(|scope| {
            (0..4).for_each(|_| drop(scope.spawn(take_and_leave)));
        });
    });
}
