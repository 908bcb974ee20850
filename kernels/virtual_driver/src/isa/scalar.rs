//! The element types of PTX.

use std::fmt;

macro_rules! scalars {
    ($($name:ident $text:literal $bytes:literal,)*) => {
        /// An element type; `.b32` and friends carry bits without meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each variant is the PTX type of the same name")]
        pub enum Scalar { $($name,)* }

        impl Scalar {
            /// Every type.
            pub const ALL: &[Scalar] = &[$(Scalar::$name,)*];

            /// The type called `text` (without dot).
            pub fn parse(text: &str) -> Option<Scalar> {
                match text { $($text => Some(Scalar::$name),)* _ => None }
            }

            /// The PTX word, without dot.
            pub fn text(self) -> &'static str {
                match self { $(Scalar::$name => $text,)* }
            }

            /// Size in memory in bytes; a predicate counts as one.
            pub fn bytes(self) -> u32 {
                match self { $(Scalar::$name => $bytes,)* }
            }
        }
    };
}

scalars! {
    Pred "pred" 1,
    B8 "b8" 1, B16 "b16" 2, B32 "b32" 4, B64 "b64" 8, B128 "b128" 16,
    U8 "u8" 1, U16 "u16" 2, U32 "u32" 4, U64 "u64" 8,
    S8 "s8" 1, S16 "s16" 2, S32 "s32" 4, S64 "s64" 8,
    F16 "f16" 2, F16x2 "f16x2" 4, BF16 "bf16" 2, BF16x2 "bf16x2" 4, TF32 "tf32" 4, F32 "f32" 4, F64 "f64" 8,
    U16x2 "u16x2" 4, S16x2 "s16x2" 4,
}

/// A floating-point type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the PTX type of the same name")]
pub enum Float {
    F16,
    F16x2,
    BF16,
    BF16x2,
    TF32,
    F32,
    F64,
}

impl Scalar {
    /// Which floating-point type it is, if it is one.
    #[inline]
    pub fn float(self) -> Option<Float> {
        match self {
            Scalar::F16 => Some(Float::F16),
            Scalar::F16x2 => Some(Float::F16x2),
            Scalar::BF16 => Some(Float::BF16),
            Scalar::BF16x2 => Some(Float::BF16x2),
            Scalar::TF32 => Some(Float::TF32),
            Scalar::F32 => Some(Float::F32),
            Scalar::F64 => Some(Float::F64),
            Scalar::Pred | Scalar::B8 | Scalar::B16 | Scalar::B32 | Scalar::B64 | Scalar::B128 => None,
            Scalar::U8 | Scalar::U16 | Scalar::U32 | Scalar::U64 | Scalar::U16x2 => None,
            Scalar::S8 | Scalar::S16 | Scalar::S32 | Scalar::S64 | Scalar::S16x2 => None,
        }
    }

    /// Bits of a value.
    pub fn bits(self) -> u32 {
        self.bytes() * 8
    }

    /// Signed integer.
    pub fn is_signed(self) -> bool {
        matches!(self, Scalar::S8 | Scalar::S16 | Scalar::S32 | Scalar::S64)
    }

    /// Signed or unsigned integer.
    pub fn is_int(self) -> bool {
        self.is_signed() || matches!(self, Scalar::U8 | Scalar::U16 | Scalar::U32 | Scalar::U64)
    }

    /// Untyped bits.
    pub fn is_bits(self) -> bool {
        matches!(self, Scalar::B8 | Scalar::B16 | Scalar::B32 | Scalar::B64 | Scalar::B128)
    }

    /// A 16-bit float or a pair of them.
    pub fn is_half(self) -> bool {
        matches!(self, Scalar::F16 | Scalar::F16x2 | Scalar::BF16 | Scalar::BF16x2)
    }

    /// A floating-point type.
    pub fn is_float(self) -> bool {
        self.float().is_some()
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{}", self.text())
    }
}
