//! Kernels that NVRTC compiled, against plain Rust.

use crate::device::{Arg, Device};

#[test]
fn saxpy() {
    let device = Device::load(include_str!("../ptx/saxpy.ptx"));
    let n = 100_003_u32;
    let x: Vec<f32> = (0..n).map(|i| i as f32 * 0.5).collect();
    let y: Vec<f32> = (0..n).map(|i| 7.0 - i as f32).collect();
    let (dx, dy) = (device.upload(&x), device.upload(&y));
    device.launch(
        "saxpy",
        [n.div_ceil(256), 1, 1],
        [256, 1, 1],
        0,
        &[Arg::U32(n), Arg::F32(3.0), Arg::U64(dx), Arg::U64(dy)],
    );
    let expected: Vec<f32> = x.iter().zip(&y).map(|(x, y)| 3.0_f32.mul_add(*x, *y)).collect();
    assert_eq!(device.download(dy, n as usize), expected);
}

#[test]
fn an_access_past_the_end_traps() {
    let device = Device::load(include_str!("../ptx/saxpy.ptx"));
    let (dx, dy) = (device.upload(&[1.0; 40]), device.upload(&[1.0; 37]));
    let trap = device
        .try_launch(
            "saxpy",
            [1, 1, 1],
            [64, 1, 1],
            0,
            &[Arg::U32(40), Arg::F32(3.0), Arg::U64(dx), Arg::U64(dy)],
        )
        .unwrap_err();
    let text = trap.to_string();
    assert_eq!((trap.thread, trap.address), ([37, 0, 0], Some(dy + 148)), "{text}");
    assert!(
        text.contains("saxpy.cu:3")
            && text.contains("ld.global.f32")
            && text.contains("0 bytes past the end of the 148 bytes"),
        "{text}"
    );
}
