//! The instruction set, written once: one row per mnemonic with its modifiers, its types and what it means.
//!
//! The mnemonic enum, the check of modifiers before lowering, and the coverage page all come from these rows.
//! A row says which words may follow the mnemonic; [`crate::lower`] says which combinations mean something.

macro_rules! instructions {
    ($($(#[$group:ident])? $variant:ident $text:literal [$($words:literal)*] [$($types:literal)*] $operands:literal $doc:literal;)*) => {
        /// Every mnemonic the machine executes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Mnemonic {
            $(#[doc = $doc] $variant,)*
        }

        impl Mnemonic {
            /// The mnemonic written `text`.
            pub fn parse(text: &str) -> Option<Mnemonic> {
                match text { $($text => Some(Mnemonic::$variant),)* _ => None }
            }
        }

        /// The rows, in the order of the manual.
        pub static TABLE: &[Form] = &[
            $(Form {
                mnemonic: Mnemonic::$variant,
                text: $text,
                words: &[$($words),*],
                types: &[$($types),*],
                operands: $operands,
                doc: $doc,
            },)*
        ];
    };
}

/// One row.
#[derive(Debug)]
pub struct Form {
    /// Which mnemonic.
    pub mnemonic: Mnemonic,
    /// As written.
    pub text: &'static str,
    /// Modifiers that may follow, without dots.
    pub words: &'static [&'static str],
    /// Types that may follow.
    pub types: &'static [&'static str],
    /// Operands as the manual writes them.
    pub operands: &'static str,
    /// Semantics in one line.
    pub doc: &'static str,
}

impl Mnemonic {
    /// The row of the mnemonic.
    pub fn form(self) -> &'static Form {
        // The table has one row per variant, in the order of the variants.
        &TABLE[self as usize]
    }
}

instructions! {
    // Integer arithmetic
    Add "add" ["rn" "rz" "rm" "rp" "ftz" "sat" "cc"] ["u16" "u32" "u64" "s16" "s32" "s64" "u16x2" "s16x2" "f16" "f16x2" "bf16" "bf16x2" "f32" "f64"] "d, a, b" "d = a + b; .cc sets the carry";
    Sub "sub" ["rn" "rz" "rm" "rp" "ftz" "sat" "cc"] ["u16" "u32" "u64" "s16" "s32" "s64" "f16" "f16x2" "bf16" "bf16x2" "f32" "f64"] "d, a, b" "d = a - b; .cc sets the borrow";
    Addc "addc" ["cc"] ["u32" "s32" "u64" "s64"] "d, a, b" "d = a + b + carry";
    Subc "subc" ["cc"] ["u32" "s32" "u64" "s64"] "d, a, b" "d = a - b - borrow";
    Mul "mul" ["hi" "lo" "wide" "rn" "rz" "rm" "rp" "ftz" "sat"] ["u16" "u32" "u64" "s16" "s32" "s64" "f16" "f16x2" "bf16" "bf16x2" "f32" "f64"] "d, a, b" "d = a * b: low half, high half or all of it";
    Mad "mad" ["hi" "lo" "wide" "cc" "rn" "rz" "rm" "rp" "ftz" "sat"] ["u16" "u32" "u64" "s16" "s32" "s64" "f32" "f64"] "d, a, b, c" "d = a * b + c; on floats the same as fma";
    Madc "madc" ["hi" "lo" "cc"] ["u32" "s32" "u64" "s64"] "d, a, b, c" "d = a * b + c + carry";
    Mul24 "mul24" ["hi" "lo"] ["u32" "s32"] "d, a, b" "product of the low 24 bits";
    Mad24 "mad24" ["hi" "lo" "sat"] ["u32" "s32"] "d, a, b, c" "mul24 plus c";
    Sad "sad" [] ["u16" "u32" "u64" "s16" "s32" "s64"] "d, a, b, c" "d = c + |a - b|";
    Div "div" ["rn" "rz" "rm" "rp" "ftz" "approx" "full"] ["u16" "u32" "u64" "s16" "s32" "s64" "f32" "f64"] "d, a, b" "d = a / b; an integer divided by zero gives all ones";
    Rem "rem" [] ["u16" "u32" "u64" "s16" "s32" "s64"] "d, a, b" "d = a % b, the sign of a; by zero gives a";
    Abs "abs" ["ftz"] ["s16" "s32" "s64" "f16" "f16x2" "bf16" "bf16x2" "f32" "f64"] "d, a" "d = |a|";
    Neg "neg" ["ftz"] ["s16" "s32" "s64" "f16" "f16x2" "bf16" "bf16x2" "f32" "f64"] "d, a" "d = -a";
    Min "min" ["ftz" "NaN" "xorsign" "abs"] ["u16" "u32" "u64" "s16" "s32" "s64" "u16x2" "s16x2" "f16" "f16x2" "bf16" "bf16x2" "f32" "f64"] "d, a, b" "the smaller; a NaN loses unless .NaN";
    Max "max" ["ftz" "NaN" "xorsign" "abs"] ["u16" "u32" "u64" "s16" "s32" "s64" "u16x2" "s16x2" "f16" "f16x2" "bf16" "bf16x2" "f32" "f64"] "d, a, b" "the larger; a NaN loses unless .NaN";
    Popc "popc" [] ["b32" "b64"] "d, a" "number of one bits";
    Clz "clz" [] ["b32" "b64"] "d, a" "number of leading zeros";
    Bfind "bfind" ["shiftamt"] ["u32" "u64" "s32" "s64"] "d, a" "position of the top bit that is not sign; none gives all ones";
    Fns "fns" [] ["b32"] "d, mask, base, offset" "the offset-th set bit from base";
    Brev "brev" [] ["b32" "b64"] "d, a" "bits reversed";
    Bfe "bfe" [] ["u32" "u64" "s32" "s64"] "d, a, pos, len" "bit field, zero or sign extended";
    Bfi "bfi" [] ["b32" "b64"] "d, a, b, pos, len" "a's low bits put into b";
    Bmsk "bmsk" ["clamp" "wrap"] ["b32"] "d, pos, len" "a mask of len ones at pos";
    Szext "szext" ["clamp" "wrap"] ["u32" "s32"] "d, a, n" "the low n bits, zero or sign extended";
    Dp4a "dp4a" [] ["u32" "s32"] "d, a, b, c" "four byte products added to c";
    Dp2a "dp2a" ["lo" "hi"] ["u32" "s32"] "d, a, b, c" "two products of 16 by 8 bits added to c";
    // Floating point
    Fma "fma" ["rn" "rz" "rm" "rp" "ftz" "sat" "relu"] ["f16" "f16x2" "bf16" "bf16x2" "f32" "f64"] "d, a, b, c" "d = a * b + c, rounded once";
    Testp "testp" ["finite" "infinite" "number" "notanumber" "normal" "subnormal"] ["f32" "f64"] "p, a" "class of a float";
    Copysign "copysign" [] ["f32" "f64"] "d, a, b" "b with the sign of a";
    Rcp "rcp" ["rn" "rz" "rm" "rp" "ftz" "approx"] ["f32" "f64"] "d, a" "d = 1 / a";
    Sqrt "sqrt" ["rn" "rz" "rm" "rp" "ftz" "approx"] ["f32" "f64"] "d, a" "square root";
    Rsqrt "rsqrt" ["approx" "ftz"] ["f32" "f64"] "d, a" "d = 1 / sqrt(a)";
    Sin "sin" ["approx" "ftz"] ["f32"] "d, a" "sine of radians";
    Cos "cos" ["approx" "ftz"] ["f32"] "d, a" "cosine of radians";
    Lg2 "lg2" ["approx" "ftz"] ["f32"] "d, a" "logarithm to base 2";
    Ex2 "ex2" ["approx" "ftz"] ["f32" "f16" "f16x2" "bf16" "bf16x2"] "d, a" "2 to the a";
    Tanh "tanh" ["approx"] ["f32" "f16" "f16x2" "bf16" "bf16x2"] "d, a" "hyperbolic tangent";
    // Comparison and selection
    Set "set" ["eq" "ne" "lt" "le" "gt" "ge" "lo" "ls" "hi" "hs" "equ" "neu" "ltu" "leu" "gtu" "geu" "num" "nan" "ftz" "and" "or" "xor"] ["b16" "b32" "b64" "u16" "u32" "u64" "s16" "s32" "s64" "f16" "bf16" "f16x2" "bf16x2" "f32" "f64"] "d, a, b[, p]" "comparison as all ones or 1.0";
    Setp "setp" ["eq" "ne" "lt" "le" "gt" "ge" "lo" "ls" "hi" "hs" "equ" "neu" "ltu" "leu" "gtu" "geu" "num" "nan" "ftz" "and" "or" "xor"] ["b16" "b32" "b64" "u16" "u32" "u64" "s16" "s32" "s64" "f16" "bf16" "f16x2" "bf16x2" "f32" "f64"] "p[|q], a, b[, c]" "comparison as predicate, q its complement, both combined with c";
    Selp "selp" [] ["b16" "b32" "b64" "u16" "u32" "u64" "s16" "s32" "s64" "f32" "f64"] "d, a, b, p" "d = p ? a : b";
    Slct "slct" ["ftz"] ["b16" "b32" "b64" "u16" "u32" "u64" "s16" "s32" "s64" "f32" "f64"] "d, a, b, c" "d = c >= 0 ? a : b";
    // Logic and shift
    And "and" [] ["pred" "b16" "b32" "b64"] "d, a, b" "bitwise and";
    Or "or" [] ["pred" "b16" "b32" "b64"] "d, a, b" "bitwise or";
    Xor "xor" [] ["pred" "b16" "b32" "b64"] "d, a, b" "bitwise exclusive or";
    Not "not" [] ["pred" "b16" "b32" "b64"] "d, a" "bitwise complement";
    Cnot "cnot" [] ["b16" "b32" "b64"] "d, a" "d = a == 0 ? 1 : 0";
    Lop3 "lop3" ["or" "and"] ["b32"] "d[|p], a, b, c, table[, q]" "any logic of three inputs";
    Shl "shl" [] ["b16" "b32" "b64"] "d, a, n" "left shift, n clamped to the width";
    Shr "shr" [] ["b16" "b32" "b64" "u16" "u32" "u64" "s16" "s32" "s64"] "d, a, n" "right shift, n clamped to the width";
    Shf "shf" ["l" "r" "wrap" "clamp"] ["b32"] "d, a, b, n" "funnel shift of b:a";
    Prmt "prmt" ["f4e" "b4e" "rc8" "ecl" "ecr" "rc16"] ["b32"] "d, a, b, c" "bytes of b:a picked by c";
    // Moves and conversions
    Mov "mov" [] ["pred" "b16" "b32" "b64" "b128" "u16" "u32" "u64" "s16" "s32" "s64" "f16" "bf16" "f16x2" "bf16x2" "f32" "f64"] "d, a" "copy, pack, unpack, address of a variable, special register";
    Cvt "cvt" ["rn" "rz" "rm" "rp" "rna" "rni" "rzi" "rmi" "rpi" "ftz" "sat" "relu" "satfinite"] ["u8" "u16" "u32" "u64" "s8" "s16" "s32" "s64" "f16" "bf16" "f16x2" "bf16x2" "tf32" "f32" "f64"] "d, a[, b]" "conversion between number types";
    CvtPack "cvt.pack" ["sat"] ["u16" "s16" "u8" "s8" "s32" "b32"] "d, a, b[, c]" "two integers saturated and packed";
    Cvta "cvta" ["to" "const" "global" "local" "shared" "shared::cta" "param" "param::entry"] ["u64"] "d, a" "address to generic, or back with .to";
    Isspacep "isspacep" ["const" "global" "local" "shared" "shared::cta" "param"] [] "p, a" "whether a generic address lies in a space";
    // Memory
    Ld "ld" ["const" "global" "local" "param" "param::entry" "param::func" "shared" "shared::cta" "weak" "volatile" "relaxed" "acquire" "cta" "gpu" "sys" "cluster" "ca" "cg" "cs" "lu" "cv" "nc" "unified" "L1::evict_normal" "L1::evict_unchanged" "L1::evict_first" "L1::evict_last" "L1::no_allocate" "L2::cache_hint" "L2::64B" "L2::128B" "L2::256B" "v2" "v4"] ["b8" "b16" "b32" "b64" "b128" "u8" "u16" "u32" "u64" "s8" "s16" "s32" "s64" "f32" "f64"] "d, [a]" "load";
    Ldu "ldu" ["global" "v2" "v4"] ["b8" "b16" "b32" "b64" "u8" "u16" "u32" "u64" "s8" "s16" "s32" "s64" "f32" "f64"] "d, [a]" "load from an address that is uniform";
    St "st" ["global" "local" "param" "param::func" "shared" "shared::cta" "weak" "volatile" "relaxed" "release" "cta" "gpu" "sys" "cluster" "wb" "cg" "cs" "wt" "L1::evict_normal" "L1::evict_unchanged" "L1::evict_first" "L1::evict_last" "L1::no_allocate" "L2::cache_hint" "v2" "v4"] ["b8" "b16" "b32" "b64" "b128" "u8" "u16" "u32" "u64" "s8" "s16" "s32" "s64" "f32" "f64"] "[a], b" "store";
    Atom "atom" ["global" "shared" "shared::cta" "relaxed" "acquire" "release" "acq_rel" "cta" "gpu" "sys" "cluster" "noftz" "L2::cache_hint" "and" "or" "xor" "cas" "exch" "add" "inc" "dec" "min" "max"] ["b16" "b32" "b64" "u32" "u64" "s32" "s64" "f16" "f16x2" "bf16" "bf16x2" "f32" "f64"] "d, [a], b[, c]" "read, combine, write as one; d is the old value";
    Red "red" ["global" "shared" "shared::cta" "relaxed" "release" "cta" "gpu" "sys" "cluster" "noftz" "L2::cache_hint" "and" "or" "xor" "add" "inc" "dec" "min" "max"] ["b32" "b64" "u32" "u64" "s32" "s64" "f16" "f16x2" "bf16" "bf16x2" "f32" "f64"] "[a], b" "atom without the old value";
    Prefetch "prefetch" ["global" "local" "L1" "L2" "L2::evict_last" "L2::evict_normal" "tensormap"] [] "[a]" "hint, does nothing";
    Prefetchu "prefetchu" ["L1"] [] "[a]" "hint, does nothing";
    Discard "discard" ["global" "L2"] [] "[a], 128" "hint, does nothing";
    Applypriority "applypriority" ["global" "L2::evict_normal"] [] "[a], 128" "hint, does nothing";
    Createpolicy "createpolicy" ["fractional" "range" "cvt" "L2" "global" "L2::evict_last" "L2::evict_normal" "L2::evict_first" "L2::evict_unchanged"] ["b64"] "d, ..." "an opaque policy; d = 0";
    CpAsync "cp.async" ["ca" "cg" "shared" "shared::cta" "global" "L2::cache_hint" "L2::64B" "L2::128B" "L2::256B" "commit_group" "wait_group" "wait_all" "mbarrier" "arrive" "noinc"] ["b64"] "[dst], [src], size[, n]" "copy global to shared, seen after the wait";
    // Control
    Bra "bra" ["uni"] [] "label" "jump";
    Brx "brx" ["idx" "uni"] [] "index, table" "jump through a table";
    Call "call" ["uni"] [] "(r), f, (a)" "call, direct or through a register";
    Ret "ret" ["uni"] [] "" "return; from a kernel the thread ends";
    Exit "exit" [] [] "" "the thread ends";
    Trap "trap" [] [] "" "the launch fails";
    Brkpt "brkpt" [] [] "" "the launch fails: no debugger is attached";
    Nanosleep "nanosleep" [] ["u32"] "t" "let others run";
    Pmevent "pmevent" ["mask"] [] "a" "does nothing";
    // Synchronisation
    Bar "bar" ["sync" "arrive" "red" "warp" "cta" "popc" "and" "or"] ["u32" "pred"] "a[, b]" "block barrier, optionally with a reduction";
    Barrier "barrier" ["sync" "arrive" "red" "cta" "aligned" "popc" "and" "or"] ["u32" "pred"] "a[, b]" "block barrier";
    Mbarrier "mbarrier" ["init" "inval" "arrive" "arrive_drop" "test_wait" "try_wait" "pending_count" "parity" "noComplete" "shared" "shared::cta" "release" "acquire" "relaxed" "cta" "cluster"] ["b64"] "[d,] [a][, b]" "barrier in shared memory";
    Membar "membar" ["cta" "gl" "sys"] [] "" "orders memory accesses";
    Fence "fence" ["sc" "acq_rel" "acquire" "release" "cta" "gpu" "sys" "cluster"] [] "" "orders memory accesses";
    Griddepcontrol "griddepcontrol" ["launch_dependents" "wait"] [] "" "does nothing: launches of a stream are in order";
    // Warp
    Shfl "shfl" ["sync" "up" "down" "bfly" "idx"] ["b32"] "d[|p], a, b, c, mask" "a of another lane";
    Vote "vote" ["sync" "all" "any" "uni" "ballot"] ["pred" "b32"] "d, p, mask" "predicate over the warp";
    Match "match" ["any" "all" "sync"] ["b32" "b64"] "d[|p], a, mask" "lanes with the same value";
    Activemask "activemask" [] ["b32"] "d" "lanes that run together now";
    Redux "redux" ["sync" "add" "min" "max" "and" "or" "xor"] ["u32" "s32" "b32"] "d, a, mask" "reduction over the warp";
    Elect "elect" ["sync"] [] "d|p, mask" "one lane chosen, the lowest";
    // Tensor cores
    Ldmatrix "ldmatrix" ["sync" "aligned" "m8n8" "x1" "x2" "x4" "trans" "shared" "shared::cta"] ["b16"] "d, [a]" "8 by 8 matrices from shared memory to fragments";
    Stmatrix "stmatrix" ["sync" "aligned" "m8n8" "x1" "x2" "x4" "trans" "shared" "shared::cta"] ["b16"] "[a], d" "fragments to shared memory";
    Movmatrix "movmatrix" ["sync" "aligned" "m8n8" "trans"] ["b16"] "d, a" "transpose of one fragment";
    Mma "mma" ["sync" "aligned" "m16n8k4" "m16n8k8" "m16n8k16" "m16n8k32" "m8n8k4" "m8n8k16" "row" "col" "satfinite"] ["f16" "bf16" "tf32" "f32" "f64" "s8" "u8" "s32"] "d, a, b, c" "d = a * b + c over fragments";
    Wmma "wmma" ["load" "store" "mma" "a" "b" "c" "d" "sync" "aligned" "row" "col" "m16n16k16" "m8n32k16" "m32n8k16" "shared" "shared::cta" "global" "satfinite"] ["f16" "bf16" "f32" "s8" "u8" "s32"] "..." "fragments by the older names";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stands_at_its_variants_place() {
        for form in TABLE {
            assert_eq!(form.mnemonic.form().text, form.text);
            assert_eq!(Mnemonic::parse(form.text), Some(form.mnemonic));
            for name in form.types {
                assert!(crate::isa::Scalar::parse(name).is_some(), "{name}");
            }
        }
    }
}
