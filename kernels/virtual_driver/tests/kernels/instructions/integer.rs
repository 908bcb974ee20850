//! Integer arithmetic, bit fields, logic, shifts.

use super::{case, run};

const M: u64 = 0xFFFF_FFFF;

#[test]
fn sums_products_and_quotients() {
    let b3 = "b32 b32 b32";
    run(&[
        case(b3, "add.u32 %d, %a, %b;", &[M, 2], 1),
        case("b64 b64 b64", "add.s64 %d, %a, %b;", &[u64::MAX, 2], 1),
        case("b16 b16 b16", "add.s16 %d, %a, %b;", &[0xFFFF, 2], 1),
        case(b3, "add.sat.s32 %d, %a, %b;", &[0x7FFF_FFFF, 1], 0x7FFF_FFFF),
        case(b3, "sub.sat.s32 %d, %a, %b;", &[0x8000_0000, 1], 0x8000_0000),
        case("b32 b32", "sub.s32 %d, %a, -4;", &[1], 5),
        case("b64 b32 b32", "mul.wide.s32 %d, %a, %b;", &[M, 3], (-3_i64) as u64),
        case("b64 b32 b32", "mul.wide.u32 %d, %a, %b;", &[M, 3], M * 3),
        case("b32 b16 b16", "mul.wide.s16 %d, %a, %b;", &[0xFFFF, 3], M - 2),
        case("b32 b16 b16", "mul.wide.u16 %d, %a, %b;", &[0xFFFF, 3], 0xFFFF * 3),
        case(b3, "mul.hi.s32 %d, %a, %b;", &[0x8000_0000, 2], M),
        case(b3, "mul.hi.u32 %d, %a, %b;", &[0x8000_0000, 2], 1),
        case("b64 b64 b64", "mul.hi.s64 %d, %a, %b;", &[1 << 63, 2], u64::MAX),
        case("b16 b16 b16", "mul.hi.s16 %d, %a, %b;", &[0x8000, 2], 0xFFFF),
        case("b16 b16 b16", "mul.lo.u16 %d, %a, %b;", &[0x101, 0x101], 0x201),
        case("b32 b32 b32 b32", "mad.lo.s32 %d, %a, %b, %c;", &[7, 6, M], 41),
        case("b32 b32 b32 b32", "mad.hi.u32 %d, %a, %b, %c;", &[M, M, 3], 1),
        case("b64 b32 b32 b64", "mad.wide.u32 %d, %a, %b, %c;", &[M, M, 5], M * M + 5),
        case(
            "b32 b32 b32 b32",
            "mad.hi.sat.s32 %d, %a, %b, %c;",
            &[0x4000_0000, 4, 0x7FFF_FFFF],
            0x7FFF_FFFF,
        ),
        case(b3, "mul24.lo.u32 %d, %a, %b;", &[0xFF00_0003, 5], 15),
        case(b3, "mul24.hi.s32 %d, %a, %b;", &[0x00FF_FFFF, 0x10000], M),
        case(b3, "div.s32 %d, %a, %b;", &[(-7_i32) as u32 as u64, 2], M - 2),
        case(b3, "div.u32 %d, %a, %b;", &[7, 0], M),
        case(b3, "div.s32 %d, %a, %b;", &[0x8000_0000, M], 0x8000_0000),
        case(b3, "rem.s32 %d, %a, %b;", &[(-7_i32) as u32 as u64, 2], M),
        case("b16 b16 b16", "div.s16 %d, %a, %b;", &[0xFFF9, 2], 0xFFFD),
        case("b64 b64 b64", "rem.u64 %d, %a, %b;", &[100, 7], 2),
        case("b32 b32 b32 b32", "sad.s32 %d, %a, %b, %c;", &[M, 4, 10], 15),
        case("b32 b32 b32 b32", "sad.u32 %d, %a, %b, %c;", &[M, 4, 10], (M - 4 + 10) & M),
        case("b32 b32", "abs.s32 %d, %a;", &[M], 1),
        case("b64 b64", "neg.s64 %d, %a;", &[1], u64::MAX),
        case("b16 b16 b16", "min.s16 %d, %a, %b;", &[0xFFFF, 1], 0xFFFF),
        case("b16 b16 b16", "max.s16 %d, %a, %b;", &[0xFFFF, 1], 1),
        case(b3, "min.u32 %d, %a, %b;", &[M, 1], 1),
        case("b32 b32", "add.cc.u32 %r1, %a, -1; addc.u32 %d, 7, 1;", &[5], 9),
        case("b32 b32", "sub.cc.u32 %r1, %a, 6; subc.u32 %d, 7, 1;", &[5], 5),
        case("b32 b32", "mad.lo.cc.u32 %r1, %a, %a, -1; madc.hi.u32 %d, %a, %a, 3;", &[0x10000], 4),
        case("b64 b64", "add.cc.u64 %rd1, %a, -1; addc.cc.u64 %rd2, %a, -1; addc.u64 %d, 0, 0;", &[5], 1),
    ]);
}

#[test]
fn bits_and_fields() {
    run(&[
        case("b32 b32", "popc.b32 %d, %a;", &[0xF0F0], 8),
        case("b32 b64", "popc.b64 %d, %a;", &[u64::MAX], 64),
        case("b32 b32", "clz.b32 %d, %a;", &[0], 32),
        case("b32 b64", "clz.b64 %d, %a;", &[1], 63),
        case("b32 b32", "brev.b32 %d, %a;", &[1], 0x8000_0000),
        case("b64 b64", "brev.b64 %d, %a;", &[1], 1 << 63),
        case("b32 b32", "bfind.u32 %d, %a;", &[0x100], 8),
        case("b32 b32", "bfind.s32 %d, %a;", &[M], M),
        case("b32 b64", "bfind.u64 %d, %a;", &[0], M),
        case("b32 b32", "bfind.shiftamt.u32 %d, %a;", &[0x100], 23),
        case("b32 b32 b32 b32", "bfe.u32 %d, %a, %b, %c;", &[0xABCD_1234, 8, 8], 0x12),
        case("b32 b32 b32 b32", "bfe.s32 %d, %a, %b, %c;", &[0x8F00, 8, 8], M - 0x70),
        case("b32 b32 b32 b32", "bfe.s32 %d, %a, %b, %c;", &[0x8000_0000, 30, 8], M - 1),
        case("b32 b32 b32 b32", "bfe.u32 %d, %a, %b, %c;", &[M, 40, 8], 0),
        case("b64 b64 b32 b32", "bfe.u64 %d, %a, %b, %c;", &[0x1234_5678_9ABC_DEF0, 32, 16], 0x5678),
        case("b64 b64 b32 b32", "bfe.s64 %d, %a, %b, %c;", &[0x8000_0000_0000_0000, 60, 4], u64::MAX - 7),
        case("b32 b32 b32", "bfi.b32 %d, %a, %b, 8, 8;", &[0xAB, M], 0xFFFF_ABFF),
        case("b64 b64 b64", "bfi.b64 %d, %a, %b, 60, 10;", &[0xF1, 0], 1 << 60),
        case("b32 b32 b32", "bmsk.clamp.b32 %d, %a, %b;", &[4, 8], 0xFF0),
        case("b32 b32 b32", "szext.wrap.s32 %d, %a, %b;", &[0x8F, 36], M),
        case("b32 b32 b32", "szext.clamp.s32 %d, %a, %b;", &[0x8F, 36], 0x8F),
        case("b32 b32 b32", "szext.clamp.u32 %d, %a, %b;", &[M, 31], M >> 1),
        case("b32 b32 b32", "szext.wrap.s32 %d, %a, %b;", &[M, 32], 0),
        case("b32 b32 b32 b32", "fns.b32 %d, %a, %b, %c;", &[0b101_0110, 0, 3], 4),
        case("b32 b32 b32 b32", "fns.b32 %d, %a, %b, %c;", &[0b101_0110, 31, (-1_i32) as u32 as u64], 6),
        case(
            "b32 b32 b32 b32",
            "dp4a.s32.u32 %d, %a, %b, %c;",
            &[0x01FF_0203, 0x0102_0304, 10],
            10 + 12 + 6 - 2 + 1,
        ),
        case(
            "b32 b32 b32 b32",
            "dp2a.hi.u32.u32 %d, %a, %b, %c;",
            &[0x0002_0003, 0x0405_0000, 1],
            1 + 15 + 8,
        ),
        case("b32 b32 b32 b32", "lop3.b32 %d, %a, %b, %c, 0x96;", &[0xF0, 0xCC, 0xAA], 0xF0 ^ 0xCC ^ 0xAA),
        case("b32 b32 b32 b32", "lop3.b32 %d, %a, %b, %c, 0xEA;", &[0xF0, 0xCC, 0xAA], (0xF0 & 0xCC) | 0xAA),
        case("b32 b32 b32 b32", "prmt.b32 %d, %a, %b, %c;", &[0x3322_1180, 0x7766_5544, 0x8740], 0xFF77_4480),
        case("b32 b32 b32 b32", "prmt.b32.rc8 %d, %a, %b, %c;", &[0x3322_1100, 0, 2], 0x2222_2222),
        case("b32 b32 b32 b32", "prmt.b32.f4e %d, %a, %b, %c;", &[0x3322_1100, 0x7766_5544, 1], 0x4433_2211),
    ]);
}

#[test]
fn logic_and_shifts() {
    run(&[
        case("b32 b32 b32", "shl.b32 %d, %a, %b;", &[1, 31], 0x8000_0000),
        case("b32 b32 b32", "shl.b32 %d, %a, %b;", &[1, 32], 0),
        case("b64 b64 b32", "shl.b64 %d, %a, %b;", &[1, 64], 0),
        case("b64 b64 b32", "shr.u64 %d, %a, %b;", &[u64::MAX, 63], 1),
        case("b64 b64 b32", "shr.s64 %d, %a, %b;", &[1 << 63, 200], u64::MAX),
        case("b32 b32 b32", "shr.s32 %d, %a, %b;", &[0x8000_0000, 40], M),
        case("b32 b32 b32", "shr.u32 %d, %a, %b;", &[0x8000_0000, 31], 1),
        case("b16 b16 b32", "shr.s16 %d, %a, %b;", &[0x8000, 3], 0xF000),
        case("b16 b16 b32", "shl.b16 %d, %a, %b;", &[0xFFFF, 4], 0xFFF0),
        case("b32 b32 b32 b32", "shf.l.wrap.b32 %d, %a, %b, %c;", &[0x8000_0000, 1, 33], 3),
        case("b32 b32 b32 b32", "shf.l.clamp.b32 %d, %a, %b, %c;", &[0x8000_0000, 1, 33], 0x8000_0000),
        case("b32 b32 b32 b32", "shf.r.wrap.b32 %d, %a, %b, %c;", &[0x10, 3, 4], 0x3000_0001),
        case("b32 b32 b32 b32", "shf.r.clamp.b32 %d, %a, %b, %c;", &[0x10, 3, 40], 3),
        case("b32 b32", "not.b32 %d, %a;", &[0], M),
        case("b16 b16", "not.b16 %d, %a;", &[0], 0xFFFF),
        case("b32 b32", "cnot.b32 %d, %a;", &[0], 1),
        case("b64 b64 b64", "xor.b64 %d, %a, %b;", &[5, u64::MAX], u64::MAX - 5),
        case(
            "b32 b32",
            "setp.ne.s32 %p, %a, 0; not.pred %q, %p; and.pred %q, %q, %p; or.pred %q, %q, %p; selp.u32 %d, 1, 2, %q;",
            &[3],
            1,
        ),
        case(
            "b32 b32 b32",
            "setp.lt.s32 %p|%q, %a, %b; selp.u32 %d, 1, 0, %p; @%q mov.u32 %d, 9;",
            &[M, 1],
            1,
        ),
        case(
            "b32 b32 b32",
            "setp.lt.u32 %p|%q, %a, %b; selp.u32 %d, 1, 0, %p; @%q mov.u32 %d, 9;",
            &[M, 1],
            9,
        ),
        case(
            "b32 b32 b32",
            "setp.eq.s32 %p, 1, 1; setp.gt.and.s32 %q, %a, %b, !%p; selp.u32 %d, 1, 0, %q;",
            &[5, 1],
            0,
        ),
        case("b32 b16 b16", "setp.lt.s16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", &[0xFFFF, 0], 1),
        case("b32 b64 b64", "setp.hi.u64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", &[u64::MAX, 0], 1),
        case("b32 b32 b32", "set.ge.u32.s32 %d, %a, %b;", &[1, 1], M),
        case("b32 b32 b32", "set.ge.f32.s32 %d, %a, %b;", &[1, 1], 0x3F80_0000),
        case("b32 b32 b32 b32", "slct.s32.s32 %d, %a, %b, %c;", &[1, 2, M], 2),
        case("b32 b32 b32 b32", "slct.u32.f32 %d, %a, %b, %c;", &[1, 2, 0x8000_0000], 1),
        case("b64 b64 b64", "selp.b64 %d, %a, %b, 0;", &[1, 2], 2),
    ]);
}
