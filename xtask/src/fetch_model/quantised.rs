//! The block formats of GGUF tensors that a fetched model uses, and their values.

use half::f16;

/// Storage format of a tensor: values in blocks that share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockType {
    /// Plain IEEE binary32.
    F32,
    /// 32 values of 4 bits: `scale * q + minimum`.
    Q4_1,
    /// 32 signed bytes: `scale * q`.
    Q8_0,
}

impl BlockType {
    /// The format with this `ggml_type`.
    pub(super) fn from_tag(tag: u32) -> Option<Self> {
        match tag {
            0 => Some(Self::F32),
            3 => Some(Self::Q4_1),
            8 => Some(Self::Q8_0),
            _ => None,
        }
    }

    pub(super) fn values_per_block(self) -> u64 {
        match self {
            Self::F32 => 1,
            Self::Q4_1 | Self::Q8_0 => 32,
        }
    }

    pub(super) fn bytes_per_block(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Q4_1 => 20,
            Self::Q8_0 => 34,
        }
    }

    /// The values of whole blocks, as llama.cpp computes them: products and sums rounded to f32 separately.
    pub(super) fn dequantise(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => bytes.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)).collect(),
            Self::Q4_1 => bytes.as_chunks().0.iter().flat_map(q4_1).collect(),
            Self::Q8_0 => bytes.as_chunks().0.iter().flat_map(q8_0).collect(),
        }
    }
}

/// Scale and minimum in f16, then 16 bytes: values 0 to 15 in their low halves, 16 to 31 in their high ones.
fn q4_1(block: &[u8; 20]) -> [f32; 32] {
    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
    let minimum = f16::from_le_bytes([block[2], block[3]]).to_f32();
    std::array::from_fn(|index| {
        let pair = block[4 + index % 16];
        let quant = if index < 16 { pair & 0xF } else { pair >> 4 };
        f32::from(quant) * scale + minimum
    })
}

/// Scale in f16, then 32 signed bytes.
fn q8_0(block: &[u8; 34]) -> [f32; 32] {
    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
    std::array::from_fn(|index| f32::from(block[2 + index] as i8) * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q4_1_keeps_low_halves_before_high_ones() {
        let mut block = [0_u8; 20];
        block[..2].copy_from_slice(&f16::from_f32(0.5).to_le_bytes());
        block[2..4].copy_from_slice(&f16::from_f32(-1.0).to_le_bytes());
        block[4] = 0xA3;
        block[19] = 0x0F;
        let values = BlockType::Q4_1.dequantise(&block);
        assert_eq!((values[0], values[16]), (3.0 * 0.5 - 1.0, 10.0 * 0.5 - 1.0));
        assert_eq!((values[15], values[31]), (15.0 * 0.5 - 1.0, -1.0));
    }

    #[test]
    fn q8_0_is_signed() {
        let mut block = [0_u8; 34];
        block[..2].copy_from_slice(&f16::from_f32(0.25).to_le_bytes());
        (block[2], block[33]) = (0x80, 0x7F);
        let values = BlockType::Q8_0.dequantise(&block);
        assert_eq!((values[0], values[31]), (-32.0, 31.75));
    }
}
