//! Names of prompt blocks: equal names mean equal tokens from the start of the prompt to the end of the block.
//! The chain is Megatron-LM's, so that both engines and both coordinators name blocks alike.

use sha2::{Digest, Sha256};

/// Hash of each complete block of `tokens`: digest i = SHA-256(digest i-1 ‖ the block's tokens as i64, little endian),
/// digest -1 = 32 zero bytes; the name is 1 + (the first 8 bytes, little endian, modulo 2^63 - 1).
pub(crate) fn block_hashes(tokens: &[u32], block_size: usize) -> Vec<u64> {
    let mut digest = [0_u8; 32];
    let blocks = tokens.chunks_exact(block_size);
    blocks
        .map(|block| {
            let mut hasher = Sha256::new();
            hasher.update(digest);
            block.iter().for_each(|&token| hasher.update(i64::from(token).to_le_bytes()));
            digest = hasher.finalize().into();
            let [a, b, c, d, e, f, g, h, ..] = digest;
            u64::from_le_bytes([a, b, c, d, e, f, g, h]) % ((1 << 63) - 1) + 1
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_original() {
        let range = |range: std::ops::Range<u32>| range.collect::<Vec<u32>>();
        for (tokens, block_size, expected) in [
            (
                range(0..12),
                4,
                vec![4_832_768_347_186_360_981, 8_533_535_913_844_734_714, 3_905_928_356_911_304_714],
            ),
            (range(1..9), 4, vec![2_169_646_968_702_219_264, 1_548_982_756_790_257_953]),
            (range(0..600), 256, vec![8_211_054_896_306_304_596, 7_423_675_712_169_194_480]),
        ] {
            assert_eq!(block_hashes(&tokens, block_size), expected);
        }
        assert!(block_hashes(&[1, 2, 3], 4).is_empty(), "a block that is not full has no name");
    }
}
