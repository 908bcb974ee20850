//! What a language runtime needs, what goes wrong and how it is told, and what must not change results.

use std::sync::Mutex;

use goldlap_virtual_driver::machine::{
    Access, AccessKind, BlockObserver, Isa, LaneError, LaunchSpec, Observer, Site, Synchronisation, TrapKind,
    launch_with,
};
use goldlap_virtual_driver::{lower, ptx};

use crate::device::{Arg, Device, list};

const FEATURES: &str = include_str!("../ptx/features.ptx");

#[test]
fn structs_and_function_pointers() {
    let device = Device::load(FEATURES);
    let out = device.upload(&[0.0; 32]);
    let (number, function) = device.image.kernel("calls").unwrap();
    let mut params = vec![0; function.param_bytes as usize];
    // struct Pair { int a = 5; float b[3] = {1, 2, 3}; double c = 4; }
    params[..4].copy_from_slice(&5_i32.to_le_bytes());
    for (i, value) in [1.0_f32, 2.0, 3.0].iter().enumerate() {
        params[4 + 4 * i..8 + 4 * i].copy_from_slice(&value.to_le_bytes());
    }
    params[16..24].copy_from_slice(&4.0_f64.to_le_bytes());
    params[function.params[1].offset as usize..][..8].copy_from_slice(&out.to_le_bytes());
    params[function.params[2].offset as usize..][..4].copy_from_slice(&7_i32.to_le_bytes());
    let spec = LaunchSpec { grid: [1, 1, 1], block: [32, 1, 1], params, ..LaunchSpec::default() };
    launch_with(
        &device.image,
        number,
        &spec,
        &device.memory,
        &device.options,
        &goldlap_virtual_driver::machine::NoObserver,
    )
    .unwrap();
    let expected: Vec<f32> = (0..32)
        .map(|t| {
            let x = 2.0 + t as f32;
            let y = if t & 1 == 0 {
                (0..7).fold(0.0, |r, i| x.mul_add([1.0, 2.0, 3.0, 4.0, 5.0][i % 5], r))
            } else {
                -x * 7.0
            };
            y + 10.0 + 3.0
        })
        .collect();
    assert_eq!(device.download(out, 32), expected);
    let (counter, bytes) = device.image.variable("counter").unwrap();
    assert_eq!((device.download_u32(counter, 1), bytes), (vec![7 + 32], 4));
}

#[test]
fn kernels_print_in_block_order() {
    static PRINTED: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    let mut device = Device::load(FEATURES);
    device.options.print = Some(|bytes| PRINTED.lock().unwrap().extend_from_slice(bytes));
    device.launch("prints", [2, 1, 1], [32, 1, 1], 0, &[Arg::U32(2)]);
    let text = String::from_utf8(PRINTED.lock().unwrap().clone()).unwrap();
    let line =
        |block, thread, name, half| format!("block {block} thread  {thread} {name} {half} 1099511627776%\n");
    assert_eq!(
        text,
        line(0, 0, "even", "0.000")
            + &line(0, 1, "odd", "0.500")
            + &line(1, 0, "even", "0.000")
            + &line(1, 1, "odd", "0.500")
    );
}

#[test]
fn local_arrays_and_dynamic_shared_memory() {
    let device = Device::load(FEATURES);
    let out = device.upload_u32(&[0; 32]);
    device.launch("local_array", [1, 1, 1], [32, 1, 1], 0, &[Arg::U64(out), Arg::U32(3)]);
    let expected: Vec<u32> = (0..32_usize)
        .map(|t| {
            let mut values = [0; 16];
            (0..16).for_each(|i| values[(i * 3) & 15] = i * 3 + t);
            (0..16).map(|i| values[(i + 3 + t) & 15] * (i + 1)).sum::<usize>() as u32
        })
        .collect();
    assert_eq!(device.download_u32(out, 32), expected);
    let x: Vec<f32> = (0..64).map(|i| i as f32).collect();
    let dx = device.upload(&x);
    device.launch("dynamic", [1, 1, 1], [64, 1, 1], 256, &[Arg::U64(dx)]);
    assert_eq!(device.download(dx, 64), (0..64).map(|i| 62.0 - i as f32).collect::<Vec<f32>>());
    let trap = device.try_launch("dynamic", [1, 1, 1], [64, 1, 1], 252, &[Arg::U64(dx)]).unwrap_err();
    assert!(
        trap.kind == TrapKind::IllegalAddress && trap.what.starts_with("shared store of 4 bytes"),
        "{trap}"
    );
}

#[test]
fn every_trap_says_what_and_where() {
    let device = Device::load(FEATURES);
    let x = device.upload(&[0.0; 64]);
    let fails = |kernel: &str, block: u32, args: &[Arg], kind: TrapKind, parts: &[&str]| {
        let trap = device.try_launch(kernel, [1, 1, 1], [block, 1, 1], 0, args).unwrap_err();
        let text = trap.to_string();
        assert_eq!(trap.kind, kind, "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        assert!(text.contains("features.cu:") && text.contains("PTX line"), "{text}");
    };
    fails("asserts", 32, &[Arg::U32(9)], TrapKind::Assert, &["threadIdx.x < limit", "thread (9, 0, 0)"]);
    fails("misaligned", 1, &[Arg::U64(x)], TrapKind::Misaligned, &["multiple of 4", "st.global.u32"]);
    fails(
        "shared_overrun",
        32,
        &[Arg::U64(x), Arg::U32(2)],
        TrapKind::IllegalAddress,
        &["offset 128", "there are 128 bytes", "thread (16, 0, 0)"],
    );
    fails("deadlock", 64, &[], TrapKind::Deadlock, &["bar.sync 0", "bar.sync", "warp 1 waits"]);
    fails("missing_lane", 32, &[Arg::U64(x)], TrapKind::Deadlock, &["shfl.sync", "0xffff0000"]);
    fails(
        "ordered_float_sum",
        32,
        &[Arg::U64(0), Arg::U64(x), Arg::U32(4)],
        TrapKind::IllegalAddress,
        &["0x0", "atom"],
    );
}

#[test]
fn impossible_launches_are_refused() {
    let device = Device::load(FEATURES);
    for (grid, block, dynamic) in
        [([0, 1, 1], [1, 1, 1], 0), ([1, 1, 1], [2000, 1, 1], 0), ([1, 1, 1], [32, 1, 1], 1 << 20)]
    {
        let trap = device.try_launch("asserts", grid, block, dynamic, &[Arg::U32(99)]).unwrap_err();
        assert_eq!(trap.kind, TrapKind::InvalidLaunch, "{trap}");
    }
}

#[test]
fn all_unsupported_instructions_are_named_with_their_lines() {
    let text = ".version 8.8\n.target sm_90a\n.address_size 64\n.visible .entry k() {\n.reg .b32 %r<4>;\n.reg .b64 %d;\n\
        wgmma.fence.sync.aligned;\nadd.s32 %r1, %r1, %r2;\ntex.2d.v4.f32.f32 {%r1,%r1,%r1,%r1}, [%d, {%r1,%r2}];\nadd.f128 %r1, %r1, %r2;\nadd.s32 %r1, %r9, 1;\nmov.b32 %r1, %d;\nret;\n}\n";
    let diagnostics = lower::lower(&ptx::parse(text).unwrap_or_else(|d| panic!("{}", list(&d))).clone());
    let Err(diagnostics) = diagnostics else { panic!("must not load") };
    let lines: Vec<u32> = diagnostics.iter().map(|diagnostic| diagnostic.position.line).collect();
    assert_eq!(lines, [7, 9, 10, 11, 12], "{}", list(&diagnostics));
    assert!(diagnostics[0].message.contains("wgmma.fence.sync.aligned"));
}

#[test]
fn results_depend_on_neither_host_threads_nor_vector_instructions() {
    let x: Vec<f32> = (0..20_000).map(|i| ((i * 37) % 1001) as f32 * 1e-3 + 1e4).collect();
    let mut sums = Vec::new();
    let mut softmax = Vec::new();
    for isa in Isa::available() {
        for threads in [1, 2, 5] {
            let mut device = Device::load(FEATURES);
            (device.options.isa, device.options.threads) = (isa, threads);
            let (sum, dx) = (device.upload(&[0.0]), device.upload(&x));
            device.launch(
                "ordered_float_sum",
                [157, 1, 1],
                [128, 1, 1],
                0,
                &[Arg::U64(sum), Arg::U64(dx), Arg::U32(20_000)],
            );
            sums.push(device.download_u32(sum, 1));
            let mut device = Device::load(include_str!("../ptx/kernels.ptx"));
            (device.options.isa, device.options.threads) = (isa, threads);
            let (dx, out) = (device.upload(&x), device.upload(&x));
            device.launch(
                "softmax",
                [20, 1, 1],
                [128, 1, 1],
                0,
                &[Arg::U64(dx), Arg::U64(out), Arg::U32(1000)],
            );
            softmax.push(device.download_u32(out, 20_000));
        }
    }
    assert!(sums.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(softmax.windows(2).all(|pair| pair[0] == pair[1]));
    let expected = x.iter().fold(0.0_f32, |sum, x| sum + x);
    assert_eq!(sums[0], [expected.to_bits()], "blocks and lanes add in order");
}

/// Counts what it is told.
#[derive(Default)]
struct Counter(Mutex<Counts>);

#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Counts {
    loads: u32,
    stores: u32,
    barriers: u32,
    exits: u32,
}

impl Observer for Counter {
    type Block = Counts;
    fn open_block(&self, _: [u32; 3], _: u32) -> Counts {
        Counts::default()
    }
    fn close_block(&self, block: Counts) {
        let mut all = self.0.lock().unwrap();
        all.loads += block.loads;
        all.stores += block.stores;
        all.barriers += block.barriers;
        all.exits += block.exits;
    }
}

impl BlockObserver for Counts {
    const ON: bool = true;
    fn access(&mut self, site: &Site<'_>, access: &Access<'_>) {
        assert!(access.mask & !site.mask == 0 && access.bytes == 4);
        match access.kind {
            AccessKind::Load => self.loads += access.mask.count_ones(),
            AccessKind::Store => self.stores += access.mask.count_ones(),
            AccessKind::Atomic
            | AccessKind::CopySource
            | AccessKind::CopyTarget
            | AccessKind::CopyArrival => {}
        }
    }
    fn synchronise(&mut self, _: &Site<'_>, what: Synchronisation) {
        self.barriers +=
            u32::from(matches!(what, Synchronisation::BlockBarrier { id: 0, warps: 3, divergent: None }));
    }
    fn wrong_lanes(&mut self, _: &Site<'_>, _: u32, _: u32, _: LaneError) {}
    fn frame_opened(&mut self, _: &Site<'_>, _: u32, _: u32) {}
    fn passed(&mut self, _: &Site<'_>, _: u32, _: u32, _: u32) {}
    fn exited(&mut self, site: &Site<'_>, _: bool) {
        self.exits += site.mask.count_ones();
    }
}

#[test]
fn an_observer_sees_every_access() {
    let device = Device::load(FEATURES);
    let dx = device.upload(&[1.0; 64]);
    let (number, _) = device.image.kernel("dynamic").unwrap();
    let spec = LaunchSpec {
        grid: [3, 1, 1],
        block: [64, 1, 1],
        dynamic_shared: 256,
        params: dx.to_le_bytes().to_vec(),
        cooperative: true,
    };
    let counter = Counter::default();
    launch_with(&device.image, number, &spec, &device.memory, &device.options, &counter).unwrap();
    let counts = *counter.0.lock().unwrap();
    assert_eq!(counts, Counts { loads: 3 * 64 * 3, stores: 3 * 64 * 3, barriers: 3, exits: 3 * 64 });
}

#[test]
fn older_tensor_core_names() {
    let device = Device::load(
        ".version 8.8\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 pa, .param .u64 pb, .param .u64 pc) {\n\
         .reg .b64 %d<3>; .reg .b32 %a<8>, %b<8>; .reg .f32 %c<8>;\n\
         ld.param.u64 %d0, [pa]; ld.param.u64 %d1, [pb]; ld.param.u64 %d2, [pc];\n\
         wmma.load.a.sync.aligned.row.m16n16k16.global.f16 {%a0,%a1,%a2,%a3,%a4,%a5,%a6,%a7}, [%d0], 16;\n\
         wmma.load.b.sync.aligned.col.m16n16k16.global.f16 {%b0,%b1,%b2,%b3,%b4,%b5,%b6,%b7}, [%d1], 16;\n\
         wmma.load.c.sync.aligned.row.m16n16k16.global.f32 {%c0,%c1,%c2,%c3,%c4,%c5,%c6,%c7}, [%d2], 16;\n\
         wmma.mma.sync.aligned.row.col.m16n16k16.f32.f32 {%c0,%c1,%c2,%c3,%c4,%c5,%c6,%c7}, {%a0,%a1,%a2,%a3,%a4,%a5,%a6,%a7}, {%b0,%b1,%b2,%b3,%b4,%b5,%b6,%b7}, {%c0,%c1,%c2,%c3,%c4,%c5,%c6,%c7};\n\
         wmma.store.d.sync.aligned.row.m16n16k16.global.f32 [%d2], {%c0,%c1,%c2,%c3,%c4,%c5,%c6,%c7}, 16;\nret;\n}\n",
    );
    let value = |i: usize, salt: usize| ((i * 7 + salt) % 9) as f32 - 4.0;
    let pack = |salt: usize| -> Vec<u32> {
        let half = |i: usize| u32::from(half::f16::from_f32(value(i, salt)).to_bits());
        (0..128).map(|i| half(2 * i) | half(2 * i + 1) << 16).collect()
    };
    let (a, b, c) = (device.upload_u32(&pack(1)), device.upload_u32(&pack(2)), device.upload(&[1.5; 256]));
    device.launch("k", [1, 1, 1], [32, 1, 1], 0, &[Arg::U64(a), Arg::U64(b), Arg::U64(c)]);
    let expected: Vec<f32> = (0..256)
        .map(|i| 1.5 + (0..16).map(|k| value(i / 16 * 16 + k, 1) * value(i % 16 * 16 + k, 2)).sum::<f32>())
        .collect();
    assert_eq!(device.download(c, 256), expected);
}
