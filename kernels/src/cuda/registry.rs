//! Every kernel, written once: its module, its launch shape, its parameters. The committed PTX is embedded in the program.

/// A compiled .cu file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Module {
    /// embedding.cu
    Embedding,
    /// norm.cu
    Norm,
    /// rotary.cu
    Rotary,
    /// matmul.cu
    Matmul,
    /// attention_32.cu
    Attention32,
    /// attention_64.cu
    Attention64,
    /// attention_80.cu
    Attention80,
    /// attention_96.cu
    Attention96,
    /// attention_128.cu
    Attention128,
    /// attention_combine.cu
    AttentionCombine,
    /// lm_head.cu
    LmHead,
    /// sampling.cu
    Sampling,
    /// limits.cu
    Limits,
}

impl Module {
    /// All modules.
    pub const ALL: [Self; 13] = [
        Self::Embedding,
        Self::Norm,
        Self::Rotary,
        Self::Matmul,
        Self::Attention32,
        Self::Attention64,
        Self::Attention80,
        Self::Attention96,
        Self::Attention128,
        Self::AttentionCombine,
        Self::LmHead,
        Self::Sampling,
        Self::Limits,
    ];

    /// Name and text of the module's PTX.
    pub fn ptx(self) -> (&'static str, &'static str) {
        macro_rules! embedded {
            ($name:literal) => {
                (concat!($name, ".ptx"), include_str!(concat!("../../ptx/", $name, ".ptx")))
            };
        }
        match self {
            Self::Embedding => embedded!("embedding"),
            Self::Norm => embedded!("norm"),
            Self::Rotary => embedded!("rotary"),
            Self::Matmul => embedded!("matmul"),
            Self::Attention32 => embedded!("attention_32"),
            Self::Attention64 => embedded!("attention_64"),
            Self::Attention80 => embedded!("attention_80"),
            Self::Attention96 => embedded!("attention_96"),
            Self::Attention128 => embedded!("attention_128"),
            Self::AttentionCombine => embedded!("attention_combine"),
            Self::LmHead => embedded!("lm_head"),
            Self::Sampling => embedded!("sampling"),
            Self::Limits => embedded!("limits"),
        }
    }
}

/// What a kernel's parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// Address in device memory, or 0.
    Pointer,
    /// 32-bit integer.
    Word,
    /// f32.
    Float,
    /// `KvLayout`: four 32-bit integers.
    Layout,
}

impl Parameter {
    /// Size in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::Pointer => 8,
            Self::Word | Self::Float => 4,
            Self::Layout => 16,
        }
    }

    /// Alignment in bytes.
    pub fn alignment(self) -> usize {
        match self {
            Self::Pointer => 8,
            Self::Word | Self::Float | Self::Layout => 4,
        }
    }
}

/// What every launch of a kernel has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchShape {
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of dynamic shared memory of a block.
    pub dynamic_shared: u32,
}

macro_rules! kernels {
    ($($kernel:ident, $name:literal, $module:ident, $threads:expr, $shared:expr, $parameters:expr;)*) => {
        /// A kernel of a module.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kernel {
            $(#[doc = concat!("`", $name, "`")] $kernel,)*
        }

        impl Kernel {
            /// All kernels.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$kernel),*];

            /// Name of the entry point.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kernel => $name,)* }
            }

            /// The module that has it.
            pub fn module(self) -> Module {
                match self { $(Self::$kernel => Module::$module,)* }
            }

            /// Threads and shared memory.
            pub fn launch_shape(self) -> LaunchShape {
                match self { $(Self::$kernel => LaunchShape { threads: $threads, dynamic_shared: $shared },)* }
            }

            /// Parameters in order.
            pub fn parameters(self) -> &'static [Parameter] {
                match self { $(Self::$kernel => $parameters,)* }
            }
        }
    };
}

use Parameter::{Float as F, Layout as L, Pointer as P, Word as W};

const MATMUL: &[Parameter] = &[P, P, P, P, P, W, W, W, W, W, W];
const ATTENTION: &[Parameter] = &[P, P, P, P, P, P, L, W, W, W, W, W, F];
const LM_HEAD: &[Parameter] = &[P, P, P, P, P, P, W, W, W, W];

/// Bytes of 16 rows of 32 inputs, and of a tile's 32 inputs, in shared memory (matmul.cuh).
const A_TILE: u32 = 16 * 40 * 2;
const B_TILE: u32 = 1024;

/// Shared memory of an attention kernel: queries, 64 keys and 64 values, rows padded by 8 elements.
const fn attention(vectors: u32, width: u32) -> u32 {
    (vectors + 128) * (width + 8) * 2
}

kernels! {
    EmbedRows, "embed_rows", Embedding, 128, 0, &[P, P, P, P, W, W];
    NormRows, "norm_rows", Norm, 256, 0, &[P, P, P, P, P, W, W, F, W, W];
    RotaryAngles, "rotary_angles", Rotary, 128, 0, &[P, P, P, W];
    RotateAndAppend, "rotate_and_append", Rotary, 128, 0, &[P, P, P, P, P, P, P, L, W, W, W, W, W, F];
    MatmulFew, "matmul_few", Matmul, 256, 8 * 4 * (A_TILE + B_TILE), MATMUL;
    MatmulFewGated, "matmul_few_gated", Matmul, 256, 8 * 3 * (A_TILE + 2 * B_TILE), MATMUL;
    MatmulBlock, "matmul_block", Matmul, 128, 4 * (4 * A_TILE + 4 * B_TILE), MATMUL;
    MatmulLarge, "matmul_large", Matmul, 256, 128 * (128 + 8) * 4, MATMUL;
    AttentionFew32, "attention_few_32", Attention32, 32, attention(16, 32), ATTENTION;
    AttentionMany32, "attention_many_32", Attention32, 128, attention(64, 32), ATTENTION;
    AttentionFew64, "attention_few_64", Attention64, 32, attention(16, 64), ATTENTION;
    AttentionMany64, "attention_many_64", Attention64, 128, attention(64, 64), ATTENTION;
    AttentionFew80, "attention_few_80", Attention80, 32, attention(16, 80), ATTENTION;
    AttentionMany80, "attention_many_80", Attention80, 128, attention(64, 80), ATTENTION;
    AttentionFew96, "attention_few_96", Attention96, 32, attention(16, 96), ATTENTION;
    AttentionMany96, "attention_many_96", Attention96, 128, attention(64, 96), ATTENTION;
    AttentionFew128, "attention_few_128", Attention128, 32, attention(16, 128), ATTENTION;
    AttentionMany128, "attention_many_128", Attention128, 128, attention(64, 128), ATTENTION;
    AttentionCombine, "attention_combine", AttentionCombine, 128, 0, ATTENTION;
    LmHeadFew, "lm_head_few", LmHead, 256, 4 * (A_TILE + 16 * B_TILE), LM_HEAD;
    LmHeadMany, "lm_head_many", LmHead, 256, 64 * (256 + 8) * 4, LM_HEAD;
    LmHeadCombine, "lm_head_combine", LmHead, 256, 0, &[P, P, P, P, W];
    SampleRows, "sample_rows", Sampling, 512, 0, &[P, P, P, W];
    FindTop, "find_top", Sampling, 512, 0, &[P, P, P, W];
    ReadAll, "read_all", Limits, 256, 0, &[P, P, W];
    MultiplyAll, "multiply_all", Limits, 256, 0, &[P, W];
}
