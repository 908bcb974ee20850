//! Moves, memory spaces, warp operations, control.

use super::{case, f, run};

#[test]
fn moves_and_parts() {
    run(&[
        case("b32 b16 b16", "mov.b32 %d, {%a, %b};", &[0x1111, 0x2222], 0x2222_1111),
        case("b64 b32 b32", "mov.b64 %d, {%a, %b};", &[1, 2], 0x2_0000_0001),
        case("b32 b32", "mov.b32 {%h1, %h2}, %a; mov.b32 %d, {%h2, %h1};", &[0x1234_5678], 0x5678_1234),
        case("b32 b64", "mov.b64 {_, %d}, %a;", &[0x7_0000_0001], 7),
        case(
            "b64 b64",
            "mov.b64 {%h1, %h2, %h3, %h4}, %a; mov.b64 %d, {%h4, %h3, %h2, %h1};",
            &[0x0001_0002_0003_0004],
            0x0004_0003_0002_0001,
        ),
        case("b64 b64 b64", "{ .reg .b128 %w; mov.b128 %w, {%a, %b}; mov.b128 {%rd1, %d}, %w; }", &[1, 2], 2),
        case("f32 b32", "mov.b32 %d, %a;", &[f(1.0)], f(1.0)),
        case("f32 f32", "mov.f32 %d, 0d3FF8000000000000;", &[0], f(1.5)),
        case("b32 b32", "mov.u32 %d, WARP_SZ;", &[0], 32),
        case(
            "b32 b32",
            "mov.u32 %r1, %tid.x; setp.ne.u32 %p, %r1, 5; @%p ret; mov.u32 %d, %lanemask_lt;",
            &[0],
            31,
        ),
        case(
            "b32 b32",
            "{ .reg .v2 .b32 %v; mov.b32 %v.x, 5; mov.b32 %v.y, %a; add.u32 %d, %v.x, %v.y; }",
            &[4],
            9,
        ),
    ]);
}

#[test]
fn spaces_and_widths() {
    run(&[
        case(
            "b32 b32",
            ".shared .align 8 .b8 s[16]; st.shared.u32 [s+4], %a; ld.shared.s8 %d, [s+5];",
            &[0x8000],
            0xFFFF_FF80,
        ),
        case(
            "b64 b32",
            ".shared .align 8 .b8 s[16]; st.shared.u32 [s], %a; ld.shared.s16 %d, [s];",
            &[0x8000],
            0xFFFF_FFFF_FFFF_8000,
        ),
        case(
            "b16 b32",
            ".shared .align 8 .b8 s[16]; st.shared.u32 [s], %a; ld.shared.s8 %d, [s];",
            &[0x80],
            0xFF80,
        ),
        case(
            "b32 b32",
            ".shared .align 8 .b8 s[16]; st.shared.u32 [s], %a; ld.shared.s16 %h1, [s]; mul.wide.u16 %d, %h1, %h1;",
            &[0xFFFF],
            0xFFFE_0001,
        ),
        case(
            "b32 b32",
            ".local .align 8 .b8 l[16]; mov.u64 %rd1, l; cvta.local.u64 %rd2, %rd1; st.u32 [%rd2+8], %a; ld.local.u32 %d, [l+8];",
            &[77],
            77,
        ),
        case(
            "b64 b64",
            ".local .align 16 .b8 l[32]; st.local.v2.u64 [l+16], {7, %a}; ld.local.v4.u32 {%r1, %r2, %r3, %r4}, [l+16]; mov.b64 %d, {%r4, %r1};",
            &[0x5_0000_0006],
            0x7_0000_0005,
        ),
        case(
            "b32 b32",
            ".local .align 4 .b8 l[8]; st.local.u8 [l+1], %a; st.local.u8 [l], 1; ld.local.u16 %d, [l];",
            &[0x1FE],
            0xFE01,
        ),
    ]);
}

#[test]
fn generic_addresses_and_variables() {
    run(&[
        case(
            "b32 b32",
            ".shared .align 4 .b8 s[4]; mov.u64 %rd1, s; cvta.shared.u64 %rd2, %rd1; isspacep.shared %p, %rd2; isspacep.global %q, %rd2; selp.u32 %d, 1, 0, %p; @%q mov.u32 %d, 9;",
            &[0],
            1,
        ),
        case(
            "b32 b32",
            ".shared .align 4 .b8 s[4]; mov.u64 %rd1, s; cvta.shared.u64 %rd2, %rd1; st.u32 [%rd2], %a; cvta.to.shared.u64 %rd3, %rd2; cvt.u32.u64 %r1, %rd3; ld.shared.u32 %d, [%r1];",
            &[5],
            5,
        ),
        case("b32 b32", ".const .u32 c[3] = {1, 2, 3}; mov.u64 %rd1, c; ld.const.u32 %d, [%rd1+8];", &[0], 3),
        case("b32 b32", ".global .f32 g = 0f40000000; ld.global.u32 %d, [g];", &[0], f(2.0)),
        case("b64 b64", "mov.b64 %rd1, pa; ld.param.u64 %d, [%rd1];", &[0x1234_5678_9ABC], 0x1234_5678_9ABC),
        case(
            "b64 b64 b64",
            ".shared .align 16 .b8 s[16]; { .reg .b128 %w; mov.b128 %w, {%a, %b}; st.shared.b128 [s], %w; ld.shared.v2.b64 {%rd1, %d}, [s]; }",
            &[1, 2],
            2,
        ),
    ]);
}

#[test]
fn atomics() {
    let shared = |text: &'static str| text;
    run(&[
        case(
            "b32 b32",
            shared(
                ".shared .align 8 .b8 s[8]; st.shared.u32 [s], 0; bar.sync 0; atom.shared.add.u32 %r1, [s], %a; bar.sync 0; ld.shared.u32 %d, [s];",
            ),
            &[3],
            96,
        ),
        case(
            "b32 b32",
            ".shared .align 8 .b8 s[8]; st.shared.u32 [s], 5; atom.shared.inc.u32 %d, [s], 5; ld.shared.u32 %r1, [s]; mov.u32 %d, %r1;",
            &[0],
            1,
        ),
        case(
            "b32 f32",
            ".shared .align 8 .b8 s[8]; st.shared.u32 [s], 0; red.shared.add.f32 [s], %a; ld.shared.u32 %d, [s];",
            &[f(0.5)],
            f(16.0),
        ),
        case(
            "b32 b32",
            ".shared .align 8 .b8 s[8]; st.shared.u32 [s], 0; red.shared.add.noftz.f16x2 [s], %a; ld.shared.u32 %d, [s];",
            &[0x3C00_3800],
            0x5000_4C00,
        ),
        case(
            "b64 b64",
            ".shared .align 8 .b8 s[8]; st.shared.u64 [s], 9; atom.shared.cas.b64 %rd1, [s], 9, %a; ld.shared.u64 %d, [s];",
            &[77],
            77,
        ),
        case(
            "b32 b32",
            ".shared .align 8 .b8 s[8]; st.shared.u32 [s], -3; atom.shared.max.s32 %r1, [s], %a; ld.shared.u32 %d, [s];",
            &[0xFFFF_FFFF],
            0xFFFF_FFFF,
        ),
    ]);
}

#[test]
fn lanes_together() {
    // The result stored last is that of lane 31.
    run(&[
        case("b32 b32", "mov.u32 %r1, %laneid; shfl.sync.up.b32 %d, %r1, 3, 0, -1;", &[0], 28),
        case(
            "b32 b32",
            "mov.u32 %r1, %laneid; shfl.sync.down.b32 %d|%p, %r1, 3, 31, -1; @%p add.u32 %d, %d, 100;",
            &[0],
            31,
        ),
        case("b32 b32", "mov.u32 %r1, %laneid; shfl.sync.bfly.b32 %d, %r1, 1, 31, -1;", &[0], 30),
        case("b32 b32", "mov.u32 %r1, %laneid; shfl.sync.idx.b32 %d, %r1, %a, 0x181f, -1;", &[2], 26),
        case(
            "b32 b32",
            "mov.u32 %r1, %laneid; setp.lt.u32 %p, %r1, %a; vote.sync.ballot.b32 %d, %p, -1;",
            &[5],
            31,
        ),
        case(
            "b32 b32",
            "mov.u32 %r1, %laneid; setp.lt.u32 %p, %r1, %a; vote.sync.any.pred %q, %p, -1; selp.u32 %d, 1, 0, %q;",
            &[5],
            1,
        ),
        case(
            "b32 b32",
            "mov.u32 %r1, %laneid; setp.lt.u32 %p, %r1, %a; vote.sync.all.pred %q, !%p, -1; selp.u32 %d, 1, 0, %q;",
            &[5],
            0,
        ),
    ]);
}

#[test]
fn lanes_matched_reduced_and_split() {
    run(&[
        case(
            "b32 b32",
            "mov.u32 %r1, %laneid; and.b32 %r2, %r1, 3; match.any.sync.b32 %d, %r2, -1;",
            &[0],
            0x8888_8888,
        ),
        case("b32 b64", "match.all.sync.b64 %d|%p, %a, -1;", &[9], 0xFFFF_FFFF),
        case("b32 b32", "mov.u32 %r1, %laneid; redux.sync.add.s32 %d, %r1, -1;", &[0], 496),
        case(
            "b32 b32",
            "mov.u32 %r1, %laneid; not.b32 %r1, %r1; redux.sync.min.s32 %d, %r1, -1;",
            &[0],
            0xFFFF_FFE0,
        ),
        case(
            "b32 b32",
            "mov.u32 %r1, %laneid; setp.lt.u32 %p, %r1, 9; @%p ret; activemask.b32 %d;",
            &[0],
            0xFFFF_FE00,
        ),
        case(
            "b32 b32",
            "mov.u32 %r1, %laneid; setp.lt.u32 %p, %r1, 9; @%p bra low; elect.sync %d|%q, 0xFFFFFE00; bra out; low: mov.u32 %d, 1; out: bar.warp.sync -1;",
            &[0],
            9,
        ),
        case(
            "b32 b32",
            "mov.u32 %r1, %laneid; setp.lt.u32 %p, %r1, %a; bar.red.popc.u32 %d, 0, %p;",
            &[7],
            7,
        ),
        case(
            "b32 b32",
            "mov.u32 %r1, %laneid; setp.lt.u32 %p, %r1, %a; barrier.cta.red.or.pred %q, 0, %p; selp.u32 %d, 1, 0, %q;",
            &[7],
            1,
        ),
        case("b32 b32", "movmatrix.sync.aligned.m8n8.trans.b16 %d, %a;", &[0x0002_0001], 0x0002_0002),
    ]);
}

#[test]
fn jumps_and_calls() {
    run(&[
        case(
            "b32 b32",
            "mov.u32 %d, 0; loop: add.u32 %d, %d, 2; sub.u32 %a, %a, 1; setp.ne.u32 %p, %a, 0; @%p bra loop;",
            &[5],
            10,
        ),
        case(
            "b32 b32",
            "table: .branchtargets one, two, three; brx.idx %a, table; one: mov.u32 %d, 1; bra.uni out; two: mov.u32 %d, 2; bra.uni out; three: mov.u32 %d, 3; out:",
            &[1],
            2,
        ),
        case(
            "b32 b32",
            "{ skip: add.u32 %d, %a, 1; } { setp.eq.u32 %p, 1, 1; @%p bra skip; mov.u32 %d, 0; skip: }",
            &[1],
            2,
        ),
        case(
            "b32 b32",
            "mov.u32 %r1, %laneid; mov.u32 %d, 0; again: setp.gt.u32 %p, %r1, 0; @!%p bra out; add.u32 %d, %d, 1; sub.u32 %r1, %r1, 1; bra again; out:",
            &[1],
            31,
        ),
    ]);
}
