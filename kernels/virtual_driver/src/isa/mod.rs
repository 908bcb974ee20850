//! The instruction set, in two layers: the [`table`] of what PTX may say, and [`Op`], what the machine does.

pub mod arith;
pub mod convert;
pub mod coverage;
pub mod memory;
mod op;
mod operands;
pub mod refused;
mod scalar;
pub mod special;
pub mod table;
pub mod tensor;

pub use op::{
    BarrierKind, Builtin, CallPlan, Clock, Cond, GroupOp, Inst, Op, P, Packing, Passed, R, ShuffleMode,
    VoteMode, Width,
};
pub use operands::Touch;
pub use scalar::{Float, Scalar};
pub use table::{Form, Mnemonic};
