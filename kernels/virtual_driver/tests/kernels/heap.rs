//! `malloc` and `free` in kernels.

use goldlap_virtual_driver::machine::TrapKind;

use crate::device::{Arg, Device};

const HEAP: &str = "
.version 7.8
.target sm_80
.address_size 64
.extern .func (.param .b64 piece) malloc (.param .b64 bytes);
.extern .func free (.param .b64 piece);

// pieces[i] = malloc(bytes), which holds i in its first word; sums[i] = that word, read back after a barrier
.visible .entry take(.param .u64 bytes, .param .u64 pieces, .param .u64 sums)
{
    .reg .pred %p;
    .reg .b32 %r<8>;
    .reg .b64 %rd<12>;
    mov.u32 %r1, %ctaid.x;
    mov.u32 %r2, %ntid.x;
    mov.u32 %r3, %tid.x;
    mad.lo.u32 %r4, %r1, %r2, %r3;
    ld.param.u64 %rd1, [bytes];
    {
        .param .b64 asked;
        .param .b64 given;
        st.param.b64 [asked], %rd1;
        call.uni (given), malloc, (asked);
        ld.param.b64 %rd2, [given];
    }
    ld.param.u64 %rd3, [pieces];
    mul.wide.u32 %rd4, %r4, 8;
    add.u64 %rd5, %rd3, %rd4;
    st.global.u64 [%rd5], %rd2;
    setp.eq.u64 %p, %rd2, 0;
    @%p ret;
    st.u32 [%rd2], %r4;
    ld.u32 %r5, [%rd2];
    ld.param.u64 %rd6, [sums];
    mul.wide.u32 %rd7, %r4, 4;
    add.u64 %rd8, %rd6, %rd7;
    st.global.u32 [%rd8], %r5;
    ret;
}

.visible .entry give(.param .u64 pieces)
{
    .reg .b32 %r<8>;
    .reg .b64 %rd<8>;
    mov.u32 %r1, %ctaid.x;
    mov.u32 %r2, %ntid.x;
    mov.u32 %r3, %tid.x;
    mad.lo.u32 %r4, %r1, %r2, %r3;
    ld.param.u64 %rd1, [pieces];
    mul.wide.u32 %rd2, %r4, 8;
    add.u64 %rd3, %rd1, %rd2;
    ld.global.u64 %rd4, [%rd3];
    {
        .param .b64 piece;
        st.param.b64 [piece], %rd4;
        call.uni free, (piece);
    }
    ret;
}";

const THREADS: usize = 3 * 64;

fn take(device: &Device, bytes: u64, pieces: u64, sums: u64) -> Vec<u64> {
    let arguments = [Arg::U64(bytes), Arg::U64(pieces), Arg::U64(sums)];
    device.launch("take", [3, 1, 1], [64, 1, 1], 0, &arguments);
    let words = device.download_u32(pieces, 2 * THREADS);
    words.chunks(2).map(|pair| u64::from(pair[0]) | u64::from(pair[1]) << 32).collect()
}

#[test]
fn kernels_allocate_across_launches() {
    let device = Device::load(HEAP);
    let (pieces, sums) = (device.upload_u32(&[0; 2 * THREADS]), device.upload_u32(&[0; THREADS]));
    for _ in 0..3 {
        let mut given = take(&device, 40, pieces, sums);
        assert_eq!(device.download_u32(sums, THREADS), (0..THREADS as u32).collect::<Vec<_>>());
        given.sort_unstable();
        assert!(given[0] != 0 && given.windows(2).all(|pair| pair[0] + 40 <= pair[1]), "{given:x?}");
        device.launch("give", [3, 1, 1], [64, 1, 1], 0, &[Arg::U64(pieces)]);
    }
    let twice = device.try_launch("give", [3, 1, 1], [64, 1, 1], 0, &[Arg::U64(pieces)]).unwrap_err();
    assert_eq!(twice.kind, TrapKind::IllegalAddress);
    assert!(twice.what.contains("is free already"), "{}", twice.what);
}

#[test]
fn a_heap_that_is_full_gives_null() {
    let device = Device::load(HEAP);
    let (pieces, sums) = (device.upload_u32(&[0; 2 * THREADS]), device.upload_u32(&[0; THREADS]));
    // 8 MiB hold eight pieces of one, and null may be freed.
    let given = take(&device, 1 << 20, pieces, sums);
    assert_eq!(given.iter().filter(|piece| **piece != 0).count(), 8);
    device.launch("give", [3, 1, 1], [64, 1, 1], 0, &[Arg::U64(pieces)]);
    assert_eq!(take(&device, 8 << 20, pieces, sums).iter().filter(|piece| **piece != 0).count(), 1);
}
