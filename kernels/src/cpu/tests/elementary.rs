//! Vector arithmetic and elementary functions: the same bits on every path, and how far they are from the truth.

use super::{Random, available, path};
use crate::cpu::elementary::{exp, gelu, gelu_tanh, silu, squared_relu};
use crate::cpu::simd::{Kernel, LANES, Scalar, Simd};
use crate::ops::operand::round_to_operand;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Exp,
    Silu,
    GeluTanh,
    Gelu,
    SquaredRelu,
}

const ALL: [Function; 5] =
    [Function::Exp, Function::Silu, Function::GeluTanh, Function::Gelu, Function::SquaredRelu];

struct Apply<'a>(Function, &'a [[f32; LANES]]);

impl Kernel for Apply<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let apply = |x: &[f32; LANES]| {
            let x = s.load(x);
            s.to_array(match self.0 {
                Function::Exp => exp(s, x),
                Function::Silu => silu(s, x),
                Function::GeluTanh => gelu_tanh(s, x),
                Function::Gelu => gelu(s, x),
                Function::SquaredRelu => squared_relu(s, x),
            })
        };
        self.1.iter().flat_map(apply).collect()
    }
}

/// Inputs of every size, the awkward ones included.
fn inputs() -> Vec<[f32; LANES]> {
    let mut random = Random::new(2);
    let mut values: Vec<f32> = (0..60_000).map(|i| (i as f32 - 30_000.0) * 0.0041).collect();
    values.extend((0..20_000).map(|_| f32::from_bits(random.bits())).filter(|x| x.is_finite()));
    values.extend([0.0, -0.0, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-40, -87.0, -86.999, 88.0, 89.0]);
    values.as_chunks().0.to_vec()
}

#[test]
fn functions_have_the_same_bits_on_every_path() {
    let inputs = inputs();
    for function in ALL {
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let expected = bits(Scalar.vectorize(Apply(function, &inputs)));
        for isa in available() {
            assert!(bits(path(isa).run(Apply(function, &inputs))) == expected, "{function:?} {isa}");
        }
    }
}

#[test]
fn exponential_is_right_to_an_ulp() {
    let inputs = inputs();
    let got = Scalar.vectorize(Apply(Function::Exp, &inputs));
    let mut worst = 0.0f64;
    for (x, got) in inputs.as_flattened().iter().zip(got) {
        if *x < -87.0 {
            assert_eq!(got, 0.0, "{x}");
        } else if *x <= 88.0 {
            let expected = f64::from(*x).exp();
            let ulp = 2f64.powi(expected.log2().floor() as i32 - 23);
            worst = worst.max((f64::from(got) - expected).abs() / ulp);
        } else {
            assert!(got.is_finite() && got > 1e38, "{x}");
        }
    }
    println!("exp: at most {worst:.3} ulp");
    assert!(worst < 1.0, "{worst}");
    let exact = Scalar.vectorize(Apply(Function::Exp, &[[0.0; LANES], [f32::NEG_INFINITY; LANES]]));
    assert_eq!((exact[0], exact[LANES]), (1.0, 0.0));
}

fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..400 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    2.0 / std::f64::consts::PI.sqrt() * sum
}

#[test]
fn activations_are_close_to_f64() {
    let inputs: Vec<[f32; LANES]> = inputs();
    for function in [Function::Silu, Function::GeluTanh, Function::Gelu, Function::SquaredRelu] {
        let got = Scalar.vectorize(Apply(function, &inputs));
        let mut worst = 0.0f64;
        for (x, got) in inputs.as_flattened().iter().zip(got).filter(|(x, _)| x.abs() <= 5.0) {
            let x = f64::from(*x);
            let expected = match function {
                Function::Silu => x / (1.0 + (-x).exp()),
                Function::GeluTanh => {
                    0.5 * x
                        * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
                }
                Function::Gelu => 0.5 * x * (1.0 + erf(x / 2f64.sqrt())),
                Function::SquaredRelu => x.max(0.0).powi(2),
                Function::Exp => x.exp(),
            };
            worst = worst.max((f64::from(got) - expected).abs() / x.abs().max(1.0).max(expected));
        }
        println!("{function:?}: at most {worst:.2e}");
        assert!(worst < 4e-7, "{function:?}: {worst:e}");
    }
}

/// Far from zero, activations are the identity or nothing, and never anything but finite.
#[test]
fn activations_saturate() {
    for function in [Function::Silu, Function::GeluTanh, Function::Gelu] {
        for isa in available() {
            let got =
                path(isa).run(Apply(function, &[[1e4; LANES], [-1e4; LANES], [-1e12; LANES], [1e12; LANES]]));
            assert_eq!((got[0], got[3 * LANES]), (1e4, 1e12), "{function:?} {isa}");
            assert!(got[LANES].abs() < 1e-25 && got[2 * LANES].abs() < 1e-25, "{function:?} {isa}");
        }
    }
}

struct Arithmetic([[f32; LANES]; 3]);

impl Kernel for Arithmetic {
    type Output = Vec<u32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<u32> {
        let [a, b, c] = self.0.map(|lanes| s.load(&lanes));
        let results = [
            s.add(a, b),
            s.sub(a, b),
            s.mul(a, b),
            s.div(a, b),
            s.mul_add(a, b, c),
            s.max(a, b),
            s.min(a, b),
            s.abs(a),
            s.select_less(a, b, c, a),
        ];
        let mut operands = [0; LANES];
        s.store_operands(a, &mut operands);
        let mut bits: Vec<u32> = results.iter().flat_map(|&v| s.to_array(v)).map(f32::to_bits).collect();
        bits.extend(operands.map(u32::from));
        bits.push(s.sum_lanes(b).to_bits());
        bits.push(s.max_lanes(b).to_bits());
        bits
    }
}

#[test]
fn arithmetic_has_the_same_bits_on_every_path() {
    let mut random = Random::new(3);
    for round in 0..3000 {
        let mut lanes = || -> [f32; LANES] {
            std::array::from_fn(|_| match f32::from_bits(random.bits()) {
                x if x.is_finite() && round % 2 == 0 => x,
                _ => random.normal(),
            })
        };
        let input = [lanes(), lanes(), lanes()];
        let expected = Scalar.vectorize(Arithmetic(input));
        for (lane, x) in input[0].iter().enumerate() {
            assert_eq!(expected[9 * LANES + lane], u32::from(round_to_operand(*x).to_bits()));
        }
        // Results that are not numbers may differ in their payload.
        let same = |a: u32, b: u32| a == b || (f32::from_bits(a).is_nan() && f32::from_bits(b).is_nan());
        for isa in available() {
            let got = path(isa).run(Arithmetic(input));
            assert!(got.iter().zip(&expected).all(|(&a, &b)| same(a, b)), "{isa}");
        }
    }
}
