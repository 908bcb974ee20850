//! What the text says, as a tree: nothing is resolved, every node knows its position.

use super::Position;
use crate::isa::Scalar;

/// A whole PTX module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Module {
    /// `.pragma` texts that stand outside functions.
    pub pragmas: Vec<String>,
    /// `.version major.minor`
    pub version: (u32, u32),
    /// `.target` words, the architecture first.
    pub target: Vec<String>,
    /// `.address_size`, 32 or 64.
    pub address_size: u32,
    /// `.file index "name"`
    pub files: Vec<(u32, String)>,
    /// Variables at module scope.
    pub variables: Vec<Variable>,
    /// Kernels and functions, prototypes (without body) among them.
    pub functions: Vec<Function>,
}

/// `.extern`, `.visible`, `.weak`, `.common`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Linkage {
    /// Known in this module only.
    #[default]
    Internal,
    /// Defined elsewhere.
    Extern,
    /// Known outside.
    Visible,
    /// Known outside, may be replaced.
    Weak,
    /// Merged by name.
    Common,
}

/// A state space in which a variable lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// `.reg`
    Reg,
    /// `.const`
    Const,
    /// `.global`
    Global,
    /// `.local`
    Local,
    /// `.param`
    Param,
    /// `.shared`
    Shared,
}

/// A declaration: `.global .align 4 .v2 .f32 name[3][2] = {...}` or `.reg .b32 %r<10>`.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// Where the name stands.
    pub position: Position,
    /// Linkage word.
    pub linkage: Linkage,
    /// State space.
    pub space: Space,
    /// `.align`, in bytes.
    pub align: Option<u32>,
    /// 1, 2, 4 or 8 components.
    pub vector: u32,
    /// Element type.
    pub scalar: Scalar,
    /// The name, without `<count>`.
    pub name: String,
    /// `<count>` of a parameterised register name.
    pub count: Option<u32>,
    /// Array dimensions; `None` is `[]`.
    pub dimensions: Vec<Option<u64>>,
    /// Initial values; empty means zeros.
    pub initial: Vec<Initial>,
}

impl Variable {
    /// Size in bytes of one element (all components).
    pub fn element_bytes(&self) -> u64 {
        u64::from(self.scalar.bytes()) * u64::from(self.vector)
    }

    /// Size in bytes; an unsized array counts as zero, an overflow as `u64::MAX`.
    pub fn bytes(&self) -> u64 {
        self.dimensions
            .iter()
            .fold(self.element_bytes(), |bytes, dimension| bytes.saturating_mul(dimension.unwrap_or(0)))
    }

    /// Alignment in bytes: as declared, else that of the element.
    pub fn alignment(&self) -> u64 {
        self.align.map_or(self.element_bytes().max(1), u64::from)
    }
}

/// One initial value.
#[derive(Clone, Debug, PartialEq)]
pub enum Initial {
    /// A number; for a float type the literal's value.
    Number(Number),
    /// `symbol+addend`, or `generic(symbol)+addend`.
    Symbol {
        /// The variable or function whose address is meant.
        name: String,
        /// Bytes added.
        addend: i64,
        /// Whether the generic address is asked for.
        generic: bool,
    },
    /// `{...}`
    List(Vec<Initial>),
}

/// A numeric literal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Integer, in two's complement.
    Int(i128),
    /// `0f...`: the bits of a float.
    Single(u32),
    /// `0d...` or a decimal fraction: the bits of a double.
    Double(u64),
}

/// A kernel (`.entry`) or device function (`.func`).
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Where the name stands.
    pub position: Position,
    /// Linkage word.
    pub linkage: Linkage,
    /// `.entry` rather than `.func`.
    pub is_entry: bool,
    /// Its name.
    pub name: String,
    /// Return parameters.
    pub returns: Vec<Variable>,
    /// Parameters.
    pub params: Vec<Variable>,
    /// Performance directives with their numbers: `maxntid`, `reqntid`, `minnctapersm`, `maxnreg`, ...
    pub directives: Vec<(String, Vec<u32>)>,
    /// The body; `None` is a prototype.
    pub body: Option<Vec<Statement>>,
}

/// A statement of a body.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `name:`
    Label(Position, String),
    /// A declaration.
    Variable(Variable),
    /// `{ ... }`, a scope of its own.
    Block(Vec<Statement>),
    /// An instruction.
    Instruction(Instruction),
    /// `.loc file line column`
    Location(Location),
    /// `name: .branchtargets a, b, c;`
    BranchTargets(Position, String, Vec<String>),
    /// `name: .calltargets f, g;`
    CallTargets(Position, String, Vec<String>),
    /// `name: .callprototype (returns) _ (params);`
    CallPrototype(Prototype),
}

/// The shape of an indirect call.
#[derive(Clone, Debug, PartialEq)]
pub struct Prototype {
    /// Where it stands.
    pub position: Position,
    /// Its label.
    pub name: String,
    /// Return parameters.
    pub returns: Vec<Variable>,
    /// Parameters.
    pub params: Vec<Variable>,
}

/// A place in the source the PTX was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Index into the module's files.
    pub file: u32,
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
    /// `inlined_at file line column`
    pub inlined_at: Option<(u32, u32, u32)>,
}

/// `@p` or `@!p`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The predicate register.
    pub register: String,
    /// Runs where the predicate is false.
    pub negated: bool,
}

/// One instruction as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction {
    /// Where its opcode stands.
    pub position: Position,
    /// Its guard.
    pub guard: Option<Guard>,
    /// The word before the first dot.
    pub opcode: String,
    /// The dotted words, in order.
    pub modifiers: Vec<String>,
    /// The operands, in order.
    pub operands: Vec<Operand>,
}

/// One operand.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A register, special register (`%tid.x`), label, function or variable; `_` is the sink.
    Name(String),
    /// A literal.
    Number(Number),
    /// `name+offset` or `name-offset`, the address of a variable.
    Offset(String, i64),
    /// `[name+offset]`; an absolute address has no name.
    Address(Option<String>, i64),
    /// `[name, a, ...]` of textures and tensor maps
    Indexed(Box<Operand>, Vec<Operand>),
    /// `{a, b, ...}`
    Vector(Vec<Operand>),
    /// `a|b`
    Pair(Box<Operand>, Box<Operand>),
    /// `!p`
    Not(String),
    /// `(a, b, ...)` of a call.
    Group(Vec<Operand>),
}

impl Operand {
    /// The two of `a|b`; any other operand alone.
    pub fn pair(&self) -> (&Operand, Option<&Operand>) {
        if let Operand::Pair(first, second) = self { (first, Some(second)) } else { (self, None) }
    }
}
