//! Operations on numbers: integers, floats, 16-bit floats, comparisons.

/// Integer operations; which of them exist on which width is decided by lowering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntOp {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a + b, saturated as signed
    AddSat,
    /// a - b, saturated as signed
    SubSat,
    /// low half of a * b
    MulLo,
    /// high half of the signed product
    MulHiS,
    /// high half of the unsigned product
    MulHiU,
    /// a * b + c
    MadLo,
    /// signed product of the low 24 bits, low 32 bits
    Mul24LoS,
    /// unsigned product of the low 24 bits, low 32 bits
    Mul24LoU,
    /// signed product of the low 24 bits, bits 16 to 47
    Mul24HiS,
    /// unsigned product of the low 24 bits, bits 16 to 47
    Mul24HiU,
    /// c + |a - b| signed
    SadS,
    /// c + |a - b| unsigned
    SadU,
    /// signed quotient
    DivS,
    /// unsigned quotient
    DivU,
    /// signed remainder
    RemS,
    /// unsigned remainder
    RemU,
    /// |a|
    Abs,
    /// -a
    Neg,
    /// signed minimum
    MinS,
    /// unsigned minimum
    MinU,
    /// signed maximum
    MaxS,
    /// unsigned maximum
    MaxU,
    /// two 16-bit sums
    Add16x2,
    /// two signed 16-bit minima
    MinS16x2,
    /// two unsigned 16-bit minima
    MinU16x2,
    /// two signed 16-bit maxima
    MaxS16x2,
    /// two unsigned 16-bit maxima
    MaxU16x2,
    /// a & b
    And,
    /// a | b
    Or,
    /// a ^ b
    Xor,
    /// !a
    Not,
    /// a == 0
    Cnot,
    /// a << b, clamped
    Shl,
    /// a >> b arithmetic, clamped
    ShrS,
    /// a >> b logical, clamped
    ShrU,
    /// high word of (b:a) << (c & 31)
    FunnelLeftWrap,
    /// high word of (b:a) << min(c, 32)
    FunnelLeftClamp,
    /// low word of (b:a) >> (c & 31)
    FunnelRightWrap,
    /// low word of (b:a) >> min(c, 32)
    FunnelRightClamp,
    /// bytes of b:a picked by c, sign replication included
    Permute,
    /// prmt.f4e
    PermuteF4e,
    /// prmt.b4e
    PermuteB4e,
    /// prmt.rc8
    PermuteRc8,
    /// prmt.ecl
    PermuteEcl,
    /// prmt.ecr
    PermuteEcr,
    /// prmt.rc16
    PermuteRc16,
    /// signed bit field of a at b, length c
    BfeS,
    /// unsigned bit field of a at b, length c
    BfeU,
    /// mask of b bits at a, clamped
    MaskClamp,
    /// mask of b bits at a, wrapped
    MaskWrap,
    /// number of ones
    Popc,
    /// leading zeros
    Clz,
    /// bits reversed
    Brev,
    /// position of the top bit that is not sign
    FindS,
    /// position of the top one
    FindU,
    /// the same as a left shift amount
    FindShiftS,
    /// the same as a left shift amount
    FindShiftU,
    /// the c-th set bit of a from b
    FindNth,
    /// four products, bytes of a and b signed
    Dp4aSS,
    /// a signed, b unsigned
    Dp4aSU,
    /// a unsigned, b signed
    Dp4aUS,
    /// both unsigned
    Dp4aUU,
    /// two products: halves of a, low bytes of b
    Dp2aLoSS,
    /// a signed, b unsigned
    Dp2aLoSU,
    /// a unsigned, b signed
    Dp2aLoUS,
    /// both unsigned
    Dp2aLoUU,
    /// high bytes of b
    Dp2aHiSS,
    /// a signed, b unsigned
    Dp2aHiSU,
    /// a unsigned, b signed
    Dp2aHiUS,
    /// both unsigned
    Dp2aHiUU,
    /// low 8 bits, sign extended
    Sign8,
    /// low 16 bits, sign extended
    Sign16,
    /// low 32 bits, sign extended (64-bit lanes only)
    Sign32,
    /// low 8 bits
    Zero8,
    /// low 16 bits
    Zero16,
    /// low 32 bits (64-bit lanes only)
    Zero32,
}

/// Float operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatOp {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// a * b + c
    Fma,
    /// a / b
    Div,
    /// 1 / a
    Rcp,
    /// square root
    Sqrt,
    /// 1 / sqrt(a)
    Rsqrt,
    /// minimum, a NaN loses
    Min,
    /// maximum, a NaN loses
    Max,
    /// minimum, a NaN wins
    MinNan,
    /// maximum, a NaN wins
    MaxNan,
    /// minimum of magnitudes, sign by exclusive or
    MinXorsign,
    /// maximum of magnitudes, sign by exclusive or
    MaxXorsign,
    /// the same, a NaN wins
    MinNanXorsign,
    /// the same, a NaN wins
    MaxNanXorsign,
    /// -a
    Neg,
    /// |a|
    Abs,
    /// b with the sign of a
    CopySign,
    /// 2^a
    Ex2,
    /// log2(a)
    Lg2,
    /// sin(a)
    Sin,
    /// cos(a)
    Cos,
    /// tanh(a)
    Tanh,
    /// a, rounded to an integer as the mode says
    RoundInt,
    /// a, for its mode's effects only
    Copy,
}

/// Rounding of a float result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To nearest, ties to even
    #[default]
    Nearest,
    /// Toward zero
    Zero,
    /// Toward minus infinity
    Down,
    /// Toward plus infinity
    Up,
    /// To nearest, ties away from zero
    NearestAway,
}

/// What happens around a float operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FloatMode {
    /// Rounding of the result
    pub rounding: Rounding,
    /// Subnormal inputs and results become zero with their sign
    pub ftz: bool,
    /// The result is clamped to [0, 1], NaN to 0
    pub sat: bool,
    /// Negative results become 0, NaN stays
    pub relu: bool,
}

/// Operations on 16-bit floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HalfOp {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// a * b + c, rounded once
    Fma,
    /// minimum
    Min,
    /// maximum
    Max,
    /// minimum, a NaN wins
    MinNan,
    /// maximum, a NaN wins
    MaxNan,
    /// minimum of magnitudes, sign by exclusive or
    MinXorsign,
    /// maximum of magnitudes, sign by exclusive or
    MaxXorsign,
    /// the same, a NaN wins
    MinNanXorsign,
    /// the same, a NaN wins
    MaxNanXorsign,
    /// -a
    Neg,
    /// |a|
    Abs,
    /// 2^a
    Ex2,
    /// tanh(a)
    Tanh,
}

/// Which 16-bit float, one or two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HalfType {
    /// IEEE half
    F16,
    /// two of them
    F16x2,
    /// bfloat16
    BF16,
    /// two of them
    BF16x2,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareType {
    /// 32-bit unsigned, or narrower zero-extended
    U32,
    /// 32-bit signed
    S32,
    /// 64-bit unsigned
    U64,
    /// 64-bit signed
    S64,
    /// f32
    F32,
    /// f64
    F64,
    /// 16-bit floats
    Half(HalfType),
}

/// Comparisons; the `u` forms are true where an operand is NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names of the manual")]
pub enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Equ,
    Neu,
    Ltu,
    Leu,
    Gtu,
    Geu,
    /// neither is NaN
    Num,
    /// one is NaN
    Nan,
}

/// Logic of two predicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Logic {
    /// both
    And,
    /// either
    Or,
    /// one of them
    Xor,
}

/// `testp` classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names of the manual")]
pub enum FloatClass {
    Finite,
    Infinite,
    Number,
    NotANumber,
    Normal,
    Subnormal,
}
