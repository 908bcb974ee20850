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

/// Eight rows by eight columns, row-major.
type Tile = [f32; 64];
/// By k, then column.
type Columns<const K: usize> = [[f32; 8]; K];

/// Adds a * b to eight rows of the sum. `a` holds eight k a tile. The eight rows are independent chains of additions,
/// which keeps the vector units busy.
#[inline(always)]
fn accumulate<const K: usize>(a: [&Tile; 2], b: &Columns<K>, sum: &mut Tile) {
    let mut rows: [[f32; 8]; 8] =
        std::array::from_fn(|row| std::array::from_fn(|column| sum[8 * row + column]));
    for k in 0..K {
        for row in 0..8 {
            let left = a[k / 8][8 * row + k % 8];
            for column in 0..8 {
                rows[row][column] = left.mul_add(b[k][column], rows[row][column]);
            }
        }
    }
    for row in 0..8 {
        sum[8 * row..8 * row + 8].copy_from_slice(&rows[row]);
    }
}

/// Two registers hold the even and the odd columns of a tile.
#[inline(always)]
fn gather_sum(even: &L32, odd: &L32) -> Tile {
    let mut sum = [0.0; 64];
    for lane in 0..LANES {
        sum[2 * lane] = f32::from_bits(even.0[lane]);
        sum[2 * lane + 1] = f32::from_bits(odd.0[lane]);
    }
    sum
}

#[inline(always)]
fn canonical(value: f32) -> u32 {
    if value.is_nan() { 0x7FFF_FFFF } else { value.to_bits() }
}

#[inline(always)]
fn scatter_sum(sum: &Tile) -> [L32; 2] {
    let mut d = [L32::ZERO; 2];
    for lane in 0..LANES {
        d[0].0[lane] = canonical(sum[2 * lane]);
        d[1].0[lane] = canonical(sum[2 * lane + 1]);
    }
    d
}

/// Both halves of the sum: rows 0 to 7, rows 8 to 15. `left` by half, then by eight k.
#[inline(always)]
fn product<const K: usize>(left: [[&Tile; 2]; 2], right: &Columns<K>, c: [&L32; 4]) -> [L32; 4] {
    let (mut upper, mut lower) = (gather_sum(c[0], c[1]), gather_sum(c[2], c[3]));
    accumulate(left[0], right, &mut upper);
    accumulate(left[1], right, &mut lower);
    let ([d0, d1], [d2, d3]) = (scatter_sum(&upper), scatter_sum(&lower));
    [d0, d1, d2, d3]
}

/// A register of pairs is a tile: its words in lane order are the rows.
#[inline(always)]
fn tile_of_pairs(register: &L32, widen: impl Fn(u32) -> f32) -> Tile {
    let mut tile = [0.0; 64];
    for lane in 0..LANES {
        tile[2 * lane] = widen(register.0[lane] & 0xFFFF);
        tile[2 * lane + 1] = widen(register.0[lane] >> 16);
    }
    tile
}

/// 16-bit factors: registers come in tiles, rows 0 to 7, then 8 to 15, then the next eight k.
#[inline(always)]
fn product16<const K: usize>(
    a: &[&L32; 4],
    b: &[&L32; 4],
    c: [&L32; 4],
    widen: impl Fn(u32) -> f32 + Copy,
) -> [L32; 4] {
    let tiles = a.map(|register| tile_of_pairs(register, widen));
    let mut right: Columns<K> = [[0.0; 8]; K];
    for block in 0..K / 8 {
        // Word 4 * column + t holds k = 2t and 2t + 1.
        let mut words = [[0_u32; 8]; 4];
        for lane in 0..LANES {
            words[lane % 4][lane / 4] = b[block].0[lane];
        }
        for t in 0..4 {
            right[8 * block + 2 * t] = words[t].map(|word| widen(word & 0xFFFF));
            right[8 * block + 2 * t + 1] = words[t].map(|word| widen(word >> 16));
        }
    }
    product([[&tiles[0], &tiles[2]], [&tiles[1], &tiles[3]]], &right, c)
}

/// tf32 factors, four k a register: the low 13 bits of each word do not count.
#[inline(always)]
fn product_tf32<const K: usize>(a: &[&L32; 4], b: &[&L32; 4], c: [&L32; 4]) -> [L32; 4] {
    let value = |bits: u32| f32::from_bits(bits & !0x1FFF);
    let mut left = [[0.0; 64]; 2];
    let mut right: Columns<K> = [[0.0; 8]; K];
    for block in 0..K / 4 {
        for lane in 0..LANES {
            let at = 8 * (lane / 4) + 4 * block + lane % 4;
            left[0][at] = value(a[2 * block].0[lane]);
            left[1][at] = value(a[2 * block + 1].0[lane]);
            right[4 * block + lane % 4][lane / 4] = value(b[block].0[lane]);
        }
    }
    product([[&left[0], &left[0]], [&left[1], &left[1]]], &right, c)
}

for_each_isa! {
    /// Products with f32 sums.
    fn multiply(ty: Scalar, k: u8, a: &[&L32; 4], b: &[&L32; 4], c: [&L32; 4]) -> [L32; 4] {
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
        if c_type == Scalar::S32 {
            let how = (a_type == Scalar::S8, b_type == Scalar::S8, sat);
            return self.multiply_bytes(context, lanes, shape, how, [d, a, b, c]);
        }
        if c_type == Scalar::F64 {
            return self.multiply_double(context, lanes, [d, a, b, c]);
        }
        let registers = |list: &[R]| -> [&L32; 4] {
            std::array::from_fn(|i| self.r32(list.get(i).copied().unwrap_or(R::NONE)))
        };
        let (left, right) = (registers(a), registers(b));
        if c_type == Scalar::F32 {
            let result = multiply(context.isa, a_type, shape.k, &left, &right, registers(c));
            for (&d, value) in d.iter().zip(&result) {
                self.write32(context, d, lanes, value);
            }
            return;
        }
        let part = |r: R, high: u32| {
            L32(self.r32(r).0.map(|word| f16_to_f32(word >> (16 * high) & 0xFFFF).to_bits()))
        };
        let sums = [part(c[0], 0), part(c[0], 1), part(c[1], 0), part(c[1], 1)];
        let result = multiply(context.isa, a_type, shape.k, &left, &right, sums.each_ref());
        for (i, &d) in d.iter().enumerate() {
            let narrow = |index: usize, lane: usize| f32_to_f16(f32::from_bits(result[index].0[lane]));
            let value = L32(std::array::from_fn(|lane| narrow(2 * i, lane) | narrow(2 * i + 1, lane) << 16));
            self.write32(context, d, lanes, &value);
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
