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

const KERNELS: &str = include_str!("../ptx/kernels.ptx");

/// Small numbers that are exact in bf16 and in sums of f32.
fn small(i: usize, salt: usize) -> f32 {
    ((i * 7 + salt * 13 + i / 11) % 17) as f32 - 8.0
}

#[test]
fn a_grid_stride_sum_with_shuffles() {
    let device = Device::load(KERNELS);
    let n = 10_007;
    let x: Vec<f32> = (0..n).map(|i| small(i, 1)).collect();
    for (blocks, threads) in [(1, 32), (3, 256), (5, 1024), (2, 96)] {
        let (dx, out) = (device.upload(&x), device.upload(&vec![0.0; blocks as usize]));
        device.launch(
            "block_sum",
            [blocks, 1, 1],
            [threads, 1, 1],
            0,
            &[Arg::U64(dx), Arg::U64(out), Arg::U32(n as u32)],
        );
        let sum: f32 = device.download(out, blocks as usize).iter().sum();
        assert_eq!(sum, x.iter().sum::<f32>());
    }
}

#[test]
fn a_transpose_through_shared_memory() {
    let device = Device::load(KERNELS);
    let (rows, columns) = (70_usize, 45_usize);
    let x: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
    let (dx, out) = (device.upload(&x), device.upload(&vec![0.0; rows * columns]));
    let grid = [(columns as u32).div_ceil(32), (rows as u32).div_ceil(32), 1];
    device.launch(
        "transpose",
        grid,
        [32, 8, 1],
        0,
        &[Arg::U64(dx), Arg::U64(out), Arg::U32(rows as u32), Arg::U32(columns as u32)],
    );
    let expected: Vec<f32> = (0..rows * columns).map(|i| x[i % rows * columns + i / rows]).collect();
    assert_eq!(device.download(out, rows * columns), expected);
}

#[test]
fn a_tiled_matmul() {
    let device = Device::load(KERNELS);
    let n = 64;
    let a: Vec<f32> = (0..n * n).map(|i| small(i, 2)).collect();
    let b: Vec<f32> = (0..n * n).map(|i| small(i, 3)).collect();
    let (da, db, dc) = (device.upload(&a), device.upload(&b), device.upload(&vec![0.0; n * n]));
    let tiles = n as u32 / 16;
    device.launch(
        "matmul_f32",
        [tiles, tiles, 1],
        [16, 16, 1],
        0,
        &[Arg::U64(da), Arg::U64(db), Arg::U64(dc), Arg::U32(n as u32)],
    );
    let expected: Vec<f32> =
        (0..n * n).map(|i| (0..n).map(|k| a[i / n * n + k] * b[k * n + i % n]).sum()).collect();
    assert_eq!(device.download(dc, n * n), expected);
}

#[test]
fn a_tensor_core_matmul_with_asynchronous_copies() {
    let device = Device::load(KERNELS);
    let (m, n, k) = (32, 128, 96);
    let a: Vec<f32> = (0..m * k).map(|i| small(i, 4)).collect();
    let b: Vec<f32> = (0..n * k).map(|i| small(i, 5)).collect();
    let pack = |values: &[f32]| -> Vec<u32> {
        values
            .chunks_exact(2)
            .map(|pair| pair[0].to_bits() >> 16 | (pair[1].to_bits() & 0xFFFF_0000))
            .collect()
    };
    let (da, db, dc) =
        (device.upload_u32(&pack(&a)), device.upload_u32(&pack(&b)), device.upload(&vec![0.0; m * n]));
    let args = [Arg::U64(da), Arg::U64(db), Arg::U64(dc), Arg::U32(n as u32), Arg::U32(k as u32)];
    device.launch("matmul_bf16", [n as u32 / 64, m as u32 / 16, 1], [32, 1, 1], 0, &args);
    let expected: Vec<f32> =
        (0..m * n).map(|i| (0..k).map(|j| a[i / n * k + j] * b[i % n * k + j]).sum()).collect();
    assert_eq!(device.download(dc, m * n), expected);
}

#[test]
fn a_softmax_row_per_block() {
    let device = Device::load(KERNELS);
    let (rows, columns) = (3, 777);
    let x: Vec<f32> = (0..rows * columns).map(|i| small(i, 6) * 0.7).collect();
    let (dx, out) = (device.upload(&x), device.upload(&vec![0.0; rows * columns]));
    device.launch(
        "softmax",
        [rows as u32, 1, 1],
        [128, 1, 1],
        0,
        &[Arg::U64(dx), Arg::U64(out), Arg::U32(columns as u32)],
    );
    let got = device.download(out, rows * columns);
    for row in 0..rows {
        let x = &x[row * columns..][..columns];
        let most = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = x.iter().map(|v| f64::from(v - most).exp()).sum();
        for (v, got) in x.iter().zip(&got[row * columns..]) {
            let want = f64::from(v - most).exp() / sum;
            assert!((f64::from(*got) - want).abs() < 1e-6 * want, "{got} {want}");
        }
    }
}

#[test]
fn atomics_count_and_give_tickets_in_block_order() {
    let device = Device::load(KERNELS);
    let n = 5000_u32;
    let x: Vec<u32> = (0..n).map(|i| i.wrapping_mul(2_654_435_761)).collect();
    let (dx, bins, order) =
        (device.upload_u32(&x), device.upload_u32(&[0; 9]), device.upload_u32(&vec![0; n as usize]));
    device.launch(
        "histogram",
        [n.div_ceil(128), 1, 1],
        [128, 1, 1],
        0,
        &[Arg::U64(dx), Arg::U64(bins), Arg::U64(order), Arg::U32(n)],
    );
    let got = device.download_u32(bins, 9);
    let mut expected = vec![0; 9];
    x.iter().for_each(|v| expected[*v as usize % 7] += 1);
    expected[7] = *x.iter().max().unwrap();
    expected[8] = n;
    assert_eq!(got, expected);
    let tickets = device.download_u32(order, n as usize);
    assert_eq!(tickets, (0..n).collect::<Vec<u32>>(), "blocks run in order, lanes in order");
}

fn collatz(mut n: u32) -> i32 {
    let mut steps = 0;
    while n != 1 {
        n = if n & 1 == 1 { n.wrapping_mul(3).wrapping_add(1) } else { n / 2 };
        steps += 1;
        if steps > 500 {
            return -1;
        }
    }
    steps
}

fn diverge(i: i32) -> i32 {
    let fib = |n: i32| (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0;
    let mut r = if i % 3 != 0 { collatz(i as u32 + 1) } else { 0 };
    match i % 11 {
        0 => r += 5,
        1 => r = (r * 3) ^ 9,
        2 => r ^= 9,
        3 => r -= i,
        4 => r += collatz(i as u32 + 7),
        5 => r += (0..(i % 13).min(7)).filter(|j| j & 1 == 0).map(|j| j * j).sum::<i32>(),
        6 => r = fib(i % 9),
        7 => return r,
        8 => r = -r,
        _ => r <<= 1,
    }
    r + 1
}

#[test]
fn divergent_loops_calls_and_switches() {
    let device = Device::load(KERNELS);
    let n = 3001;
    let out = device.upload_u32(&vec![0; n]);
    device.launch(
        "diverge",
        [(n as u32).div_ceil(192), 1, 1],
        [192, 1, 1],
        0,
        &[Arg::U64(out), Arg::U32(n as u32)],
    );
    let got: Vec<i32> = device.download_u32(out, n).into_iter().map(|v| v as i32).collect();
    let expected: Vec<i32> = (0..n as i32).map(diverge).collect();
    assert_eq!(got, expected);
}

#[test]
fn lanes_that_spin_for_each_other_make_progress() {
    let device = Device::load(KERNELS);
    for kernel in ["spin", "spin_naive"] {
        let (lock, count) = (device.upload_u32(&[0]), device.upload_u32(&[0]));
        device.launch(kernel, [2, 1, 1], [96, 1, 1], 0, &[Arg::U64(lock), Arg::U64(count)]);
        assert_eq!(device.download_u32(count, 1), [192], "{kernel}");
    }
}

#[test]
fn an_endless_loop_ends_with_the_budget() {
    let mut device = Device::load(KERNELS);
    device.options.step_budget = Some(300_000);
    let flag = device.upload_u32(&[0]);
    let trap = device.try_launch("hang", [1, 1, 1], [64, 1, 1], 0, &[Arg::U64(flag)]).unwrap_err();
    assert_eq!(trap.kind, goldlap_virtual_driver::machine::TrapKind::Timeout);
}

#[test]
fn producers_arrive_and_consumers_wait() {
    let device = Device::load(KERNELS);
    let x: Vec<f32> = (0..128).map(|i| i as f32).collect();
    let dx = device.upload(&x);
    device.launch("producer_consumer", [1, 1, 1], [128, 1, 1], 0, &[Arg::U64(dx)]);
    let expected: Vec<f32> =
        (0..128).map(|i| if i < 64 { i as f32 } else { (127 - i) as f32 * 2.0 }).collect();
    assert_eq!(device.download(dx, 128), expected);
}
