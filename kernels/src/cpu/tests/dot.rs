//! The dot kernel: the contract's chain on every path, with inputs that hurt.

use super::{Random, available, path, widen};
use crate::cpu::dot::{Dot, MAX_TILES, PANELS, Segment, dot};
use crate::cpu::row_operands::{pack_row, panels};
use crate::cpu::simd::{Kernel, Simd};

/// Pairs of a row that is no panel, as attention has them.
const TILE_PAIRS: usize = 32;

/// Operands of a product with tiles in one piece or in several.
#[derive(Clone)]
struct Case {
    rows: usize,
    tiles: usize,
    pairs: usize,
    /// Pairs of each stretch.
    cuts: Vec<usize>,
    a: Vec<u16>,
    /// `[tile][pair][16][2]`
    b: Vec<u16>,
}

impl Case {
    fn random(random: &mut Random) -> Self {
        let (rows, tiles, pairs) = (1 + random.below(14), 1 + random.below(MAX_TILES), 1 + random.below(70));
        let first = random.below(pairs + 1);
        let a = random.operands(rows * pairs * 2);
        let b = random.operands(tiles * pairs * 32);
        Self { rows, tiles, pairs, cuts: vec![first, pairs - first], a, b }
    }

    /// The contract, written down literally.
    fn expected(&self) -> Vec<f32> {
        let a = |row: usize, k: usize| widen(self.a[row * self.pairs * 2 + k]) as f32;
        let b = |tile: usize, lane: usize, k: usize| {
            widen(self.b[(tile * self.pairs + k / 2) * 32 + lane * 2 + k % 2]) as f32
        };
        let mut out = Vec::new();
        for row in 0..self.rows {
            for tile in 0..self.tiles {
                for lane in 0..16 {
                    let mut sum = 0.0f32;
                    for pair in 0..self.pairs {
                        sum = a(row, 2 * pair + 1).mul_add(b(tile, lane, 2 * pair + 1), sum);
                        sum = a(row, 2 * pair).mul_add(b(tile, lane, 2 * pair), sum);
                    }
                    out.push(sum);
                }
            }
        }
        out
    }
}

impl Kernel for &Case {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        // Words need an alignment of 4.
        let words = |halves: &[u16]| -> Vec<u32> {
            {
                halves
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|&[even, odd]| u32::from(even) | u32::from(odd) << 16)
                    .collect()
            }
        };
        let b = words(&self.b);
        let mut start = 0;
        let segments: Vec<Segment> = self
            .cuts
            .iter()
            .map(|&pairs| {
                let mut tiles = [std::ptr::null(); MAX_TILES];
                for (tile, pointer) in tiles[..self.tiles].iter_mut().enumerate() {
                    *pointer = b[(tile * self.pairs + start) * 16..].as_ptr();
                }
                start += pairs;
                Segment { tiles, pairs }
            })
            .collect();
        let in_panels = self.product::<S, PANELS>(s, self.pairs, &segments);
        if self.pairs <= TILE_PAIRS {
            let in_rows = self.product::<S, TILE_PAIRS>(s, TILE_PAIRS, &segments);
            let bits = |out: &[f32]| out.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&in_rows), bits(&in_panels));
        }
        in_panels
    }
}

impl Case {
    /// The product with rows that take `row_pairs` pairs each.
    #[inline(always)]
    fn product<S: Simd, const ROW_PAIRS: usize>(
        &self,
        s: S,
        row_pairs: usize,
        segments: &[Segment],
    ) -> Vec<f32> {
        let row_words = row_pairs * S::ROW_WORDS;
        let mut a = vec![0; self.rows * row_words];
        for (first, rows) in panels::<S>(self.rows) {
            for row in 0..rows {
                let from = &self.a[(first + row) * self.pairs * 2..][..self.pairs * 2];
                if ROW_PAIRS == PANELS {
                    pack_row(s, from, row, rows, &mut a[first * row_words..][..rows * row_words]);
                } else {
                    pack_row(s, from, 0, 1, &mut a[(first + row) * row_words..][..row_words]);
                }
            }
        }
        let mut out = vec![f32::NAN; self.rows * self.tiles * 16];
        let d = Dot::<ROW_PAIRS> {
            rows: a.as_ptr(),
            row_words,
            first_pair: 0,
            num_rows: self.rows,
            segments,
            num_tiles: self.tiles,
            pair_stride: 16,
            out: out.as_mut_ptr(),
            out_stride: self.tiles * 16,
            continues: false,
            ahead: 0,
        };
        // SAFETY: the buffers have just these extents.
        unsafe { dot(s, d) };
        out
    }
}

#[test]
fn every_path_computes_the_chain_of_the_contract() {
    let mut random = Random::new(1);
    for _ in 0..300 {
        let case = Case::random(&mut random);
        let expected = case.expected();
        for isa in available() {
            let got = path(isa).run(&case);
            let same = got.iter().zip(&expected).all(|(got, expected)| got.to_bits() == expected.to_bits());
            assert!(same, "{isa}: {} rows, {} tiles, {} pairs", case.rows, case.tiles, case.pairs);
        }
    }
}

/// The smallest products there are, alone and as what is left of a cancellation: nothing is flushed.
#[test]
fn products_at_the_operand_floor_survive() {
    let floor = 0x2680u16; // 2^-50
    let one_up = 0x2681u16; // 2^-50 (1 + 2^-7)
    for (a, b, expected) in [
        ([floor, 0], [floor, 0], 2f64.powi(-100)),
        ([one_up, one_up], [floor, floor ^ 0x8000], 0.0),
        ([one_up, floor], [one_up, one_up ^ 0x8000], 2f64.powi(-100) * (1.0 + 1.0 / 128.0) / 128.0),
    ] {
        let mut tile = [0u16; 32];
        tile.chunks_mut(2).for_each(|pair| pair.copy_from_slice(&b));
        let case = Case { rows: 1, tiles: 1, pairs: 1, cuts: vec![1], a: a.to_vec(), b: tile.to_vec() };
        for isa in available() {
            assert_eq!(f64::from(path(isa).run(&case)[0]), expected, "{isa} {a:x?} {b:x?}");
        }
    }
}
