//! `mma.sync`: d = a * b + c.
//!
//! Every element of d starts from its element of c and adds the products in ascending k, one fused multiply-add in the
//! precision of c (f32 for f16 results) after the other. Hardware adds several products at once with truncation in an order
//! it does not document; results agree within the error of either, not in their last bits. f16 results are rounded once.
//!
//! Fragments (group g = lane / 4, t = lane % 4): c has row g (and g + 8), columns 2t and 2t + 1; a has row g (and g + 8) and
//! as many consecutive k from t * n on as fit a register; b has column g and the same k.

use super::super::context::Context;
use super::super::lanes::{L32, LANES, for_each_isa};
use super::super::math::half::{bf16_to_f32, f16_to_f32, f32_to_f16};
use super::super::warp::Warp;
use crate::isa::tensor::Shape;
use crate::isa::{R, Scalar};

type Rows<const K: usize> = [[f32; K]; 16];
type Columns<const K: usize> = [[f32; 8]; K];
type Sum = [[f32; 8]; 16];

#[inline(always)]
fn accumulate<const K: usize>(a: &Rows<K>, b: &Columns<K>, sum: &mut Sum) {
    for first in [0, 8] {
        // Eight rows at a time: eight independent chains of additions keep the vector units busy.
        let mut part: [[f32; 8]; 8] = std::array::from_fn(|row| sum[first + row]);
        for k in 0..K {
            for row in 0..8 {
                let left = a[first + row][k];
                for column in 0..8 {
                    part[row][column] = left.mul_add(b[k][column], part[row][column]);
                }
            }
        }
        sum[first..first + 8].copy_from_slice(&part);
    }
}

#[inline(always)]
fn gather_sum(c: [&L32; 4]) -> Sum {
    let mut sum = [[0.0; 8]; 16];
    for row in 0..8 {
        for t in 0..4 {
            let lane = row * 4 + t;
            sum[row][2 * t] = f32::from_bits(c[0].0[lane]);
            sum[row][2 * t + 1] = f32::from_bits(c[1].0[lane]);
            sum[row + 8][2 * t] = f32::from_bits(c[2].0[lane]);
            sum[row + 8][2 * t + 1] = f32::from_bits(c[3].0[lane]);
        }
    }
    sum
}

#[inline(always)]
fn canonical(value: f32) -> u32 {
    if value.is_nan() { 0x7FFF_FFFF } else { value.to_bits() }
}

#[inline(always)]
fn scatter_sum(sum: &Sum) -> [L32; 4] {
    let mut d = [L32::ZERO; 4];
    for row in 0..8 {
        for t in 0..4 {
            let lane = row * 4 + t;
            d[0].0[lane] = canonical(sum[row][2 * t]);
            d[1].0[lane] = canonical(sum[row][2 * t + 1]);
            d[2].0[lane] = canonical(sum[row + 8][2 * t]);
            d[3].0[lane] = canonical(sum[row + 8][2 * t + 1]);
        }
    }
    d
}

/// 16-bit factors: registers come in blocks of 8 by 8, rows g then g + 8, then the next eight k.
#[inline(always)]
fn product16<const K: usize>(a: &[&L32], b: &[&L32], c: [&L32; 4], widen: impl Fn(u32) -> f32) -> [L32; 4] {
    let mut left: Rows<K> = [[0.0; K]; 16];
    let mut right: Columns<K> = [[0.0; 8]; K];
    for block in 0..K / 8 {
        for (half, first) in [0, 8].into_iter().enumerate() {
            let register = a[2 * block + half];
            for lane in 0..LANES {
                let row = &mut left[first + lane / 4];
                row[8 * block + lane % 4 * 2] = widen(register.0[lane] & 0xFFFF);
                row[8 * block + lane % 4 * 2 + 1] = widen(register.0[lane] >> 16);
            }
        }
        for t in 0..4 {
            let words: [u32; 8] = std::array::from_fn(|column| b[block].0[column * 4 + t]);
            right[8 * block + 2 * t] = words.map(|word| widen(word & 0xFFFF));
            right[8 * block + 2 * t + 1] = words.map(|word| widen(word >> 16));
        }
    }
    let mut sum = gather_sum(c);
    accumulate(&left, &right, &mut sum);
    scatter_sum(&sum)
}

/// tf32 factors: the low 13 bits of each word do not count.
#[inline(always)]
fn product_tf32<const K: usize>(a: &[&L32], b: &[&L32], c: [&L32; 4]) -> [L32; 4] {
    let value = |bits: u32| f32::from_bits(bits & !0x1FFF);
    let mut left: Rows<K> = [[0.0; K]; 16];
    let mut right: Columns<K> = [[0.0; 8]; K];
    for block in 0..K / 4 {
        for lane in 0..LANES {
            left[lane / 4][4 * block + lane % 4] = value(a[2 * block].0[lane]);
            left[lane / 4 + 8][4 * block + lane % 4] = value(a[2 * block + 1].0[lane]);
            right[4 * block + lane % 4][lane / 4] = value(b[block].0[lane]);
        }
    }
    let mut sum = gather_sum(c);
    accumulate(&left, &right, &mut sum);
    scatter_sum(&sum)
}

for_each_isa! {
    /// Products with f32 sums.
    fn product(ty: Scalar, k: u8, a: &[&L32], b: &[&L32], c: [&L32; 4]) -> [L32; 4] {
        match (ty, k) {
            (Scalar::BF16, 16) => product16::<16>(a, b, c, bf16_to_f32),
            (Scalar::BF16, _) => product16::<8>(a, b, c, bf16_to_f32),
            (Scalar::F16, 16) => product16::<16>(a, b, c, f16_to_f32),
            (Scalar::F16, _) => product16::<8>(a, b, c, f16_to_f32),
            (_, 8) => product_tf32::<8>(a, b, c),
            _ => product_tf32::<4>(a, b, c),
        }
    }
}

fn byte(word: u32, index: usize, signed: bool) -> i64 {
    let value = (word >> (8 * index)) as u8;
    if signed { i64::from(value as i8) } else { i64::from(value) }
}

impl Warp {
    pub(super) fn multiply(
        &mut self,
        context: &Context<'_>,
        lanes: u32,
        shape: Shape,
        (a_type, b_type, c_type, sat): (Scalar, Scalar, Scalar, bool),
        [d, a, b, c]: [&[R]; 4],
    ) {
        match c_type {
            Scalar::S32 => self.multiply_bytes(
                context,
                lanes,
                shape,
                (a_type == Scalar::S8, b_type == Scalar::S8, sat),
                [d, a, b, c],
            ),
            Scalar::F64 => self.multiply_double(context, lanes, [d, a, b, c]),
            _ => {
                let registers = |list: &[R]| -> [&L32; 4] {
                    std::array::from_fn(|i| self.r32(list.get(i).copied().unwrap_or(R::NONE)))
                };
                let (left, right) = (registers(a), registers(b));
                if c_type == Scalar::F32 {
                    let result = product(context.isa, a_type, shape.k, &left, &right, registers(c));
                    for (&d, value) in d.iter().zip(&result) {
                        self.write32(context, d, lanes, value);
                    }
                    return;
                }
                let part = |r: R, high: u32| {
                    L32(self.r32(r).0.map(|word| f16_to_f32(word >> (16 * high) & 0xFFFF).to_bits()))
                };
                let sums = [part(c[0], 0), part(c[0], 1), part(c[1], 0), part(c[1], 1)];
                let result = product(context.isa, a_type, shape.k, &left, &right, sums.each_ref());
                for (i, &d) in d.iter().enumerate() {
                    let narrow =
                        |index: usize, lane: usize| f32_to_f16(f32::from_bits(result[index].0[lane]));
                    let value =
                        L32(std::array::from_fn(|lane| narrow(2 * i, lane) | narrow(2 * i + 1, lane) << 16));
                    self.write32(context, d, lanes, &value);
                }
            }
        }
    }

    fn multiply_bytes(
        &mut self,
        context: &Context<'_>,
        lanes: u32,
        shape: Shape,
        (a_signed, b_signed, sat): (bool, bool, bool),
        [d, a, b, c]: [&[R]; 4],
    ) {
        let row_blocks = usize::from(shape.m) / 8;
        let mut results = vec![L32::ZERO; d.len()];
        for lane in 0..LANES {
            for (index, result) in results.iter_mut().enumerate() {
                let (row_block, column) = (index / 2, lane % 4 * 2 + index % 2);
                let mut sum = i64::from(self.r32(c[index]).0[lane] as i32);
                for k in 0..usize::from(shape.k) {
                    // Sixteen k a block, four in a word.
                    let left = self.r32(a[k / 16 * row_blocks + row_block]).0[lane / 4 * 4 + k % 16 / 4];
                    let right = self.r32(b[k / 16]).0[column * 4 + k % 16 / 4];
                    sum += byte(left, k % 4, a_signed) * byte(right, k % 4, b_signed);
                }
                let clamped = sum.clamp(i32::MIN.into(), i32::MAX.into());
                result.0[lane] = if sat { clamped as u32 } else { sum as u32 };
            }
        }
        for (&d, value) in d.iter().zip(&results) {
            self.write32(context, d, lanes, value);
        }
    }

    /// m8n8k4 in f64.
    fn multiply_double(&mut self, context: &Context<'_>, lanes: u32, [d, a, b, c]: [&[R]; 4]) {
        let (left, right) = (*self.r64(a[0]), *self.r64(b[0]));
        let results: Vec<_> = c
            .iter()
            .enumerate()
            .map(|(index, &c)| {
                let start = *self.r64(c);
                super::super::lanes::L64(std::array::from_fn(|lane| {
                    let (row, column) = (lane / 4, lane % 4 * 2 + index);
                    let sum = (0..4).fold(f64::from_bits(start.0[lane]), |sum, k| {
                        f64::from_bits(left.0[row * 4 + k])
                            .mul_add(f64::from_bits(right.0[column * 4 + k]), sum)
                    });
                    if sum.is_nan() { 0x7FF8_0000_0000_0000 } else { sum.to_bits() }
                }))
            })
            .collect();
        for (&d, value) in d.iter().zip(&results) {
            self.write64(context, d, lanes, value);
        }
    }
}
