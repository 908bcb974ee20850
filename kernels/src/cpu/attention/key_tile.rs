//! Products with a tile of the cache: scores of up to 64 keys, and the sum of their values.

use crate::cpu::CpuKvCache;
use crate::cpu::dot::{Dot, MAX_TILES, PANELS, Segment, dot};
use crate::cpu::simd::{LANES, Simd};
use crate::cpu::stream::{self, Part, Stream, stream};
use crate::ops::KvCacheInfo;
use crate::ops::attention::KEY_TILE;
use crate::ops::kv_cache::KEY_GROUP;

/// Pairs of the next tile's keys (of 64, at 128 channels) that are asked for during softmax, the rest during the scores: memory has something
/// to do meanwhile.
const EARLY_KEY_PAIRS: usize = 8;
/// Pairs of each group of the next tile's values (of 8) that are asked for before the output is rescaled, the rest during the products.
const EARLY_VALUE_PAIRS: usize = 1;
/// Pairs of keys in a tile.
pub(super) const TILE_PAIRS: usize = KEY_TILE / 2;
/// Groups of 16 keys in a tile.
const GROUPS: usize = KEY_TILE / KEY_GROUP;

/// Up to 64 keys of one head, in groups of 16 that may lie in different blocks.
pub(super) struct KeyTile<'a> {
    pub(super) cache: &'a CpuKvCache,
    pub(super) layer: usize,
    pub(super) kv_head: usize,
    /// Blocks of the sequence.
    pub(super) blocks: &'a [u32],
    pub(super) first_key: usize,
    /// Keys that any of the query vectors attends to, in this tile and those before and after it.
    pub(super) keys: usize,
}

impl KeyTile<'_> {
    /// Groups with a key that counts.
    fn groups(&self) -> usize {
        (self.keys - self.first_key).div_ceil(KEY_GROUP).min(GROUPS)
    }

    /// Block and slot of the first key of a group, here or in a later tile.
    #[inline(always)]
    fn place(&self, group: usize) -> (u32, usize) {
        let key = self.first_key + group * KEY_GROUP;
        let block_size = self.cache.geometry().block_size;
        (self.blocks[key / block_size], key % block_size)
    }

    /// Keys of a group: pairs of channels, each [`CpuKvCache::key_width`] words behind the one before.
    #[inline(always)]
    fn keys(&self, group: usize) -> *const u32 {
        let (block, slot) = self.place(group);
        let (width, pairs) = (self.cache.key_width(), self.cache.padded_dim() / 2);
        let keys = &self.cache.keys(self.layer, block, self.kv_head)[slot / width * width * pairs..];
        keys[slot % width..][..(pairs - 1) * width + KEY_GROUP].as_ptr()
    }

    /// Values of a group: pairs of keys.
    #[inline(always)]
    fn values(&self, group: usize) -> *const u32 {
        let (block, slot) = self.place(group);
        let words = self.cache.padded_dim() / 2;
        self.cache.values(self.layer, block, self.kv_head)[slot * words..][..KEY_GROUP * words].as_ptr()
    }

    /// The same group of the next tile where there is one, else this group.
    #[inline(always)]
    fn next(&self, group: usize) -> usize {
        let next = group + GROUPS;
        if self.first_key + next * KEY_GROUP < self.keys { next } else { group }
    }

    /// Asks for the first of the next tile's keys; to be called between [`Self::score`] and [`Self::weigh`].
    #[inline(always)]
    pub(super) fn ask_for_keys<S: Simd>(&self, s: S, count: usize) {
        let width = self.cache.key_width();
        if stream::suits::<S>(count) {
            for group in (0..self.groups()).step_by(width / KEY_GROUP) {
                stream::ask(s, self.keys(self.next(group)), EARLY_KEY_PAIRS * width);
            }
        }
    }

    /// Asks for the first of the next tile's values; to be called after [`Self::weigh`].
    #[inline(always)]
    pub(super) fn ask_for_values<S: Simd>(&self, s: S, count: usize) {
        if stream::suits::<S>(count) {
            for group in 0..self.groups() {
                let values = self.values(self.next(group));
                stream::ask(s, values, EARLY_VALUE_PAIRS * self.cache.padded_dim());
            }
        }
    }

    /// `scores[v, key] = q[v] . k[key]`
    #[inline(always)]
    pub(super) fn score<S: Simd>(&self, s: S, queries: &[u32], count: usize, scores: &mut [f32]) {
        let pairs = self.cache.padded_dim() / 2;
        let row_words = pairs * S::ROW_WORDS;
        assert!(queries.len() >= count * row_words && scores.len() >= count * KEY_TILE);
        if stream::suits::<S>(count) {
            return self.score_few(s, queries, count, scores);
        }
        let mut tiles = [std::ptr::null(); MAX_TILES];
        for (group, tile) in tiles[..self.groups()].iter_mut().enumerate() {
            *tile = self.keys(group);
        }
        let d = Dot::<PANELS> {
            rows: queries.as_ptr(),
            row_words,
            first_pair: 0,
            num_rows: count,
            segments: &[Segment { tiles, pairs }],
            num_tiles: self.groups(),
            pair_stride: self.cache.key_width(),
            out: scores.as_mut_ptr(),
            out_stride: KEY_TILE,
            continues: false,
            ahead: 0,
        };
        // SAFETY: lengths of queries and scores are asserted; `keys` has checked each tile.
        unsafe { dot(s, d) }
    }

    /// [`Self::score`] of few vectors, under its precondition.
    #[inline(always)]
    fn score_few<S: Simd>(&self, s: S, queries: &[u32], count: usize, scores: &mut [f32]) {
        let (pairs, width) = (self.cache.padded_dim() / 2, self.cache.key_width());
        for group in (0..self.groups()).step_by(width / KEY_GROUP) {
            let d = Stream {
                rows: queries.as_ptr(),
                row_step: S::ROW_WORDS,
                pair_step: count * S::ROW_WORDS,
                num_rows: count,
                parts: &[Part { words: self.keys(group), next: self.keys(self.next(group)) }],
                pairs,
                asked: EARLY_KEY_PAIRS,
                pair_stride: width,
                num_tiles: width / LANES,
                out: scores[group * KEY_GROUP..].as_mut_ptr(),
                out_stride: KEY_TILE,
            };
            // SAFETY: the caller asserts the lengths of queries and scores; `width` keys lie side by side.
            unsafe { stream(s, d) }
        }
    }

    /// `product[v] = sum over keys of p[v, key] * value[key]`
    #[inline(always)]
    pub(super) fn weigh<S: Simd>(&self, s: S, probabilities: &[u32], count: usize, product: &mut [f32]) {
        let dim = self.cache.padded_dim();
        let row_words = TILE_PAIRS * S::ROW_WORDS;
        assert!(probabilities.len() >= count * row_words && product.len() >= count * dim);
        if stream::suits::<S>(count) {
            return self.weigh_few(s, probabilities, count, product);
        }
        for first in (0..dim / LANES).step_by(MAX_TILES) {
            let num_tiles = MAX_TILES.min(dim / LANES - first);
            let mut segments =
                [Segment { tiles: [std::ptr::null(); MAX_TILES], pairs: KEY_GROUP / 2 }; GROUPS];
            for (group, segment) in segments[..self.groups()].iter_mut().enumerate() {
                let values = self.values(group);
                for (tile, pointer) in segment.tiles[..num_tiles].iter_mut().enumerate() {
                    *pointer = values.wrapping_add((first + tile) * LANES);
                }
            }
            let d = Dot::<TILE_PAIRS> {
                rows: probabilities.as_ptr(),
                row_words,
                first_pair: 0,
                num_rows: count,
                segments: &segments[..self.groups()],
                num_tiles,
                pair_stride: dim,
                out: product[first * LANES..].as_mut_ptr(),
                out_stride: dim,
                continues: false,
                ahead: 0,
            };
            // SAFETY: lengths of probabilities and product are asserted; a group's values are 8 pairs of `dim` words.
            unsafe { dot(s, d) }
        }
    }

    /// [`Self::weigh`] of few vectors, under its precondition.
    #[inline(always)]
    fn weigh_few<S: Simd>(&self, s: S, probabilities: &[u32], count: usize, product: &mut [f32]) {
        let dim = self.cache.padded_dim();
        let mut parts = [Part { words: std::ptr::null(), next: std::ptr::null() }; GROUPS];
        for (group, part) in parts[..self.groups()].iter_mut().enumerate() {
            *part = Part { words: self.values(group), next: self.values(self.next(group)) };
        }
        let d = Stream {
            rows: probabilities.as_ptr(),
            row_step: TILE_PAIRS * S::ROW_WORDS,
            pair_step: S::ROW_WORDS,
            num_rows: count,
            parts: &parts[..self.groups()],
            pairs: KEY_GROUP / 2,
            asked: EARLY_VALUE_PAIRS,
            pair_stride: dim,
            num_tiles: dim / LANES,
            out: product.as_mut_ptr(),
            out_stride: dim,
        };
        // SAFETY: the caller asserts the lengths of probabilities and product; a group's values are 8 pairs of `dim` words.
        unsafe { stream(s, d) }
    }
}
