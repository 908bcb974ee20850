//! Floating-point arithmetic and conversions.

use super::{case, d, f, run};

const NAN: u64 = 0x7FFF_FFFF;
const QUIET: u64 = 0x7FF8_0000_0000_0000;
const TINY: u64 = 1;

#[test]
fn single_precision() {
    let f3 = "f32 f32 f32";
    let third = 1.0_f32 / 3.0;
    run(&[
        case(f3, "add.f32 %d, %a, %b;", &[f(1.5), f(2.25)], f(3.75)),
        case(f3, "add.f32 %d, %a, %b;", &[f(f32::INFINITY), f(f32::NEG_INFINITY)], NAN),
        case(f3, "add.rz.f32 %d, %a, %b;", &[f(1.0), f(-1e-20)], f(1.0_f32.next_down())),
        case(f3, "add.rp.f32 %d, %a, %b;", &[f(1.0), f(1e-20)], f(1.0_f32.next_up())),
        case(f3, "add.rm.f32 %d, %a, %b;", &[f(1.0), f(-1.0)], f(-0.0)),
        case(f3, "sub.ftz.f32 %d, %a, %b;", &[TINY, 0], 0),
        case(f3, "sub.f32 %d, %a, %b;", &[TINY, 0], TINY),
        case(f3, "mul.ftz.f32 %d, %a, %b;", &[f(1e-30), f(-1e-10)], f(-0.0)),
        case(f3, "mul.rm.f32 %d, %a, %b;", &[f(1e30), f(1e30)], f(f32::MAX)),
        case(f3, "mul.rp.f32 %d, %a, %b;", &[f(1e-30), f(1e-30)], TINY),
        case(f3, "mul.sat.f32 %d, %a, %b;", &[f(3.0), f(3.0)], f(1.0)),
        case(f3, "add.sat.f32 %d, %a, %b;", &[f(f32::NAN), f(3.0)], 0),
        case(
            "f32 f32 f32 f32",
            "fma.rn.f32 %d, %a, %b, %c;",
            &[f(third), f(3.0), f(-1.0)],
            f(third.mul_add(3.0, -1.0)),
        ),
        case("f32 f32 f32 f32", "fma.rm.f32 %d, %a, %b, %c;", &[f(third), f(3.0), f(0.0)], f(1.0)),
        case(
            "f32 f32 f32 f32",
            "fma.rz.f32 %d, %a, %b, %c;",
            &[f(1.0), f(1.0), f(-1e-30)],
            f(1.0_f32.next_down()),
        ),
        case("f32 f32 f32 f32", "mad.rn.f32 %d, %a, %b, %c;", &[f(2.0), f(3.0), f(4.0)], f(10.0)),
        case(f3, "div.rn.f32 %d, %a, %b;", &[f(1.0), f(3.0)], f(third)),
        case(f3, "div.rp.f32 %d, %a, %b;", &[f(1.0), f(3.0)], f(third)),
        case(f3, "div.rm.f32 %d, %a, %b;", &[f(1.0), f(3.0)], f(third.next_down())),
        case(f3, "div.full.f32 %d, %a, %b;", &[f(1.0), f(0.0)], f(f32::INFINITY)),
    ]);
}

#[test]
fn single_precision_functions_and_comparisons() {
    let f3 = "f32 f32 f32";
    let third = 1.0_f32 / 3.0;
    run(&[
        case("f32 f32", "rcp.approx.ftz.f32 %d, %a;", &[TINY], f(f32::INFINITY)),
        case("f32 f32", "rcp.rn.f32 %d, %a;", &[f(3.0)], f(third)),
        case("f32 f32", "sqrt.rn.f32 %d, %a;", &[f(2.0)], f(2.0_f32.sqrt())),
        case("f32 f32", "sqrt.rp.f32 %d, %a;", &[f(2.0)], f(2.0_f32.sqrt().next_up())),
        case("f32 f32", "sqrt.rn.f32 %d, %a;", &[f(-2.0)], NAN),
        case("f32 f32", "rsqrt.approx.f32 %d, %a;", &[f(4.0)], f(0.5)),
        case("f32 f32", "ex2.approx.f32 %d, %a;", &[f(-3.0)], f(0.125)),
        case("f32 f32", "ex2.approx.ftz.f32 %d, %a;", &[f(-140.0)], 0),
        case("f32 f32", "lg2.approx.f32 %d, %a;", &[f(0.125)], f(-3.0)),
        case("f32 f32", "tanh.approx.f32 %d, %a;", &[f(100.0)], f(1.0)),
        case("f32 f32", "sin.approx.f32 %d, %a;", &[0], 0),
        case("f32 f32", "cos.approx.f32 %d, %a;", &[0], f(1.0)),
        case(f3, "min.f32 %d, %a, %b;", &[f(f32::NAN), f(3.0)], f(3.0)),
        case(f3, "min.NaN.f32 %d, %a, %b;", &[f(f32::NAN), f(3.0)], NAN),
        case(f3, "max.f32 %d, %a, %b;", &[f(-0.0), f(0.0)], f(0.0)),
        case(f3, "min.f32 %d, %a, %b;", &[f(0.0), f(-0.0)], f(-0.0)),
        case(f3, "max.xorsign.abs.f32 %d, %a, %b;", &[f(-5.0), f(3.0)], f(-5.0)),
        case("f32 f32", "neg.ftz.f32 %d, %a;", &[TINY], f(-0.0)),
        case("f32 f32", "abs.f32 %d, %a;", &[f(-3.0)], f(3.0)),
        case(f3, "copysign.f32 %d, %a, %b;", &[f(-1.0), f(3.0)], f(-3.0)),
        case("b32 f32", "testp.subnormal.f32 %p, %a; selp.u32 %d, 1, 0, %p;", &[TINY], 1),
        case("b32 f32", "testp.notanumber.f32 %p, %a; selp.u32 %d, 1, 0, %p;", &[f(f32::NAN)], 1),
        case("b32 f32 f32", "setp.ltu.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", &[f(f32::NAN), 0], 1),
        case("b32 f32 f32", "setp.ne.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", &[f(f32::NAN), 0], 0),
        case("b32 f32 f32", "setp.neu.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", &[f(f32::NAN), 0], 1),
        case("b32 f32 f32", "setp.nan.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", &[f(f32::NAN), 0], 1),
        case("b32 f32 f32", "setp.eq.ftz.f32 %p, %a, %b; selp.u32 %d, 1, 0, %p;", &[TINY, 0], 1),
    ]);
}

#[test]
fn double_precision() {
    let d3 = "f64 f64 f64";
    run(&[
        case(d3, "add.f64 %d, %a, %b;", &[d(1.5), d(2.25)], d(3.75)),
        case(d3, "add.rz.f64 %d, %a, %b;", &[d(1.0), d(-1e-30)], d(1.0_f64.next_down())),
        case(d3, "mul.rp.f64 %d, %a, %b;", &[d(1e-200), d(1e-200)], 1),
        case(d3, "sub.f64 %d, %a, %b;", &[d(f64::INFINITY), d(f64::INFINITY)], QUIET),
        case(
            "f64 f64 f64 f64",
            "fma.rn.f64 %d, %a, %b, %c;",
            &[d(0.1), d(10.0), d(-1.0)],
            d(0.1_f64.mul_add(10.0, -1.0)),
        ),
        case(
            "f64 f64 f64 f64",
            "fma.rm.f64 %d, %a, %b, %c;",
            &[d(1.0), d(1.0), d(-1e-300)],
            d(1.0_f64.next_down()),
        ),
        case(d3, "div.rn.f64 %d, %a, %b;", &[d(1.0), d(3.0)], d(1.0 / 3.0)),
        case(d3, "div.rp.f64 %d, %a, %b;", &[d(1.0), d(3.0)], d((1.0_f64 / 3.0).next_up())),
        case("f64 f64", "sqrt.rn.f64 %d, %a;", &[d(2.0)], d(2.0_f64.sqrt())),
        case(d3, "max.f64 %d, %a, %b;", &[d(f64::NAN), d(-1.0)], d(-1.0)),
        case("b32 f64 f64", "setp.gtu.f64 %p, %a, %b; selp.u32 %d, 1, 0, %p;", &[d(f64::NAN), 0], 1),
    ]);
}

#[test]
fn half_precision() {
    run(&[
        case("b16 b16 b16", "add.f16 %d, %a, %b;", &[0x3C00, 0x3C00], 0x4000),
        case("b16 b16 b16", "mul.f16 %d, %a, %b;", &[0x7BFF, 0x4000], 0x7C00),
        case("b16 b16 b16", "add.sat.f16 %d, %a, %b;", &[0x3C00, 0x3C00], 0x3C00),
        case("b16 b16 b16", "mul.ftz.f16 %d, %a, %b;", &[0x0001, 0x3C00], 0),
        case(
            "b32 b32 b32 b32",
            "fma.rn.f16x2 %d, %a, %b, %c;",
            &[0x4000_3C00, 0x4200_4200, 0x3C00_3C00],
            0x4700_4400,
        ),
        case(
            "b32 b32 b32 b32",
            "fma.rn.relu.bf16x2 %d, %a, %b, %c;",
            &[0xBF80_3F80, 0x3F80_3F80, 0x0000_3F80],
            0x0000_4000,
        ),
        case("b16 b16 b16", "sub.bf16 %d, %a, %b;", &[0x3F80, 0x4000], 0xBF80),
        case("b32 b32 b32", "min.NaN.bf16x2 %d, %a, %b;", &[0x7FC0_3F80, 0x3F80_4000], 0x7FFF_3F80),
        case("b32 b32 b32", "max.f16x2 %d, %a, %b;", &[0x7E00_3C00, 0x3C00_4000], 0x3C00_4000),
        case("b32 b32", "neg.f16x2 %d, %a;", &[0x3C00_BC00], 0xBC00_3C00),
        case("b32 b32", "abs.bf16x2 %d, %a;", &[0xBF80_3F80], 0x3F80_3F80),
        case("b32 b32", "ex2.approx.f16x2 %d, %a;", &[0x4000_3C00], 0x4400_4000),
        case("b16 b16", "tanh.approx.bf16 %d, %a;", &[0x0000], 0),
        case("b32 b16 b16", "setp.lt.f16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", &[0xBC00, 0x3C00], 1),
        case(
            "b32 b32 b32",
            "setp.gt.f16x2 %p|%q, %a, %b; selp.u32 %d, 1, 0, %p; @%q add.u32 %d, %d, 2;",
            &[0x3C00_BC00, 0],
            2,
        ),
        case("b32 b32 b32", "set.gt.f16x2.f16x2 %d, %a, %b;", &[0x3C00_BC00, 0], 0x3C00_0000),
    ]);
}

#[test]
fn conversions() {
    run(&[
        case("b32 f32", "cvt.rni.s32.f32 %d, %a;", &[f(2.5)], 2),
        case("b32 f32", "cvt.rzi.s32.f32 %d, %a;", &[f(-2.7)], 0xFFFF_FFFE),
        case("b32 f32", "cvt.rmi.s32.f32 %d, %a;", &[f(-2.1)], 0xFFFF_FFFD),
        case("b32 f32", "cvt.rpi.u32.f32 %d, %a;", &[f(2.1)], 3),
        case("b32 f32", "cvt.rzi.s32.f32 %d, %a;", &[f(1e20)], 0x7FFF_FFFF),
        case("b32 f32", "cvt.rzi.u32.f32 %d, %a;", &[f(-5.0)], 0),
        case("b32 f32", "cvt.rzi.s32.f32 %d, %a;", &[f(f32::NAN)], 0),
        case("b64 f64", "cvt.rzi.s64.f64 %d, %a;", &[d(f64::NAN)], 1 << 63),
        case("b32 f32", "cvt.rzi.s8.f32 %d, %a;", &[f(-300.0)], 0xFFFF_FF80),
        case("b16 f32", "cvt.rzi.u8.f32 %d, %a;", &[f(300.0)], 255),
        case("f32 b32", "cvt.rn.f32.s32 %d, %a;", &[0xFFFF_FFFF], f(-1.0)),
        case("f32 b32", "cvt.rz.f32.u32 %d, %a;", &[0xFFFF_FFFF], f(4_294_967_040.0)),
        case("f32 b64", "cvt.rp.f32.u64 %d, %a;", &[(1 << 24) + 1], f(16_777_218.0)),
        case("f64 b64", "cvt.rn.f64.s64 %d, %a;", &[u64::MAX], d(-1.0)),
        case("f64 f32", "cvt.f64.f32 %d, %a;", &[f(1.5)], d(1.5)),
        case("f32 f64", "cvt.rn.f32.f64 %d, %a;", &[d(1e300)], f(f32::INFINITY)),
        case("f32 f64", "cvt.rz.f32.f64 %d, %a;", &[d(1e300)], f(f32::MAX)),
        case("f32 f32", "cvt.rni.f32.f32 %d, %a;", &[f(-0.4)], f(-0.0)),
        case("f32 f32", "cvt.rpi.ftz.f32.f32 %d, %a;", &[TINY], 0),
        case("f32 f32", "cvt.sat.f32.f32 %d, %a;", &[f(1.5)], f(1.0)),
        case("b16 f32", "cvt.rn.f16.f32 %d, %a;", &[f(65520.0)], 0x7C00),
        case("b16 f32", "cvt.rz.f16.f32 %d, %a;", &[f(65520.0)], 0x7BFF),
        case("b16 f32", "cvt.rn.bf16.f32 %d, %a;", &[f(1.003_906_3)], 0x3F80),
        case("b16 f32", "cvt.rn.relu.bf16.f32 %d, %a;", &[f(-1.0)], 0),
        case("b32 f32 f32", "cvt.rn.bf16x2.f32 %d, %a, %b;", &[f(2.0), f(1.0)], 0x4000_3F80),
        case("b32 f32 f32", "cvt.rn.f16x2.f32 %d, %a, %b;", &[f(2.0), f(1.0)], 0x4000_3C00),
        case("f32 b16", "cvt.f32.f16 %d, %a;", &[0x0001], f(2.0_f32.powi(-24))),
        case("f32 b16", "cvt.f32.bf16 %d, %a;", &[0x3F80], f(1.0)),
        case("b32 f32", "cvt.rna.tf32.f32 %d, %a;", &[0x3F80_1000], 0x3F80_2000),
        case("b16 b32", "cvt.rn.f16.s32 %d, %a;", &[3], 0x4200),
        case("b32 b32", "cvt.s8.s32 %d, %a;", &[0x1FF], 0xFFFF_FFFF),
        case("b16 b32", "cvt.s8.s32 %d, %a;", &[0x1FF], 0xFFFF),
        case("b32 b32", "cvt.u8.u32 %d, %a;", &[0x1FF], 0xFF),
        case("b32 b32", "cvt.sat.u8.s32 %d, %a;", &[0xFFFF_FFFF], 0),
        case("b32 b32", "cvt.sat.s8.s32 %d, %a;", &[300], 127),
        case("b64 b32", "cvt.s64.s32 %d, %a;", &[0xFFFF_FFFF], u64::MAX),
        case("b64 b32", "cvt.u64.u32 %d, %a;", &[0xFFFF_FFFF], 0xFFFF_FFFF),
        case("b32 b64", "cvt.u32.u64 %d, %a;", &[0x1_2345_6789], 0x2345_6789),
        case("b32 b16", "cvt.s32.s16 %d, %a;", &[0x8000], 0xFFFF_8000),
        case("b64 b16", "cvt.s64.s16 %d, %a;", &[0x8000], 0xFFFF_FFFF_FFFF_8000),
        case("b16 b64", "cvt.u16.u64 %d, %a;", &[0x1_FFFE], 0xFFFE),
        case("b32 b32 b32", "cvt.pack.sat.s16.s32 %d, %a, %b;", &[0x8000_0000, 40000], 0x8000_7FFF),
        case(
            "b32 b32 b32 b32",
            "cvt.pack.sat.u8.s32.b32 %d, %a, %b, %c;",
            &[300, 0xFFFF_FFFF, 0x1234],
            0x1234_FF00,
        ),
    ]);
}

#[test]
fn what_an_exact_evaluator_found() {
    let largest = f(f32::MAX);
    run(&[
        // Denominators that are subnormal.
        case("f32 f32", "rcp.rz.f32 %d, %a;", &[TINY], largest),
        case("f64 f64", "rcp.rp.f64 %d, %a;", &[TINY], d(f64::INFINITY)),
        case("f32 f32 f32", "div.rz.f32 %d, %a, %b;", &[f(2_147_483_648.0), TINY], largest),
        // .satfinite keeps numbers as they are.
        case("b16 f32", "cvt.rn.satfinite.bf16.f32 %d, %a;", &[f(f32::INFINITY)], 0x7F7F),
        case("b16 f32", "cvt.rn.satfinite.f16.f32 %d, %a;", &[f(-1e30)], 0xFBFF),
        case("b16 f32", "cvt.rz.satfinite.f16.f32 %d, %a;", &[f(-2.0)], 0xC000),
        case("b16 f32", "cvt.rn.satfinite.f16.f32 %d, %a;", &[NAN], 0x7FFF),
        case("b32 f32", "cvt.rn.tf32.f32 %d, %a;", &[NAN], NAN),
        // Large 16-bit floats as 64-bit integers; NaN as narrow ones.
        case("b64 b16", "cvt.rzi.s64.bf16 %d, %a;", &[0x5800], 1 << 49),
        case("b32 f64", "cvt.rni.s8.f64 %d, %a;", &[QUIET], 0xFFFF_FF80),
        // Zero is a normal number to testp; subnormal halves are flushed before they are compared.
        case("b32 f32", "testp.normal.f32 %p, %a; selp.u32 %d, 1, 0, %p;", &[f(-0.0)], 1),
        case("b32 b16", "setp.eq.ftz.f16 %p, %a, 0; selp.u32 %d, 1, 0, %p;", &[TINY], 1),
    ]);
}
