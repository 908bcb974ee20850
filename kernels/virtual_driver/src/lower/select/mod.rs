//! Pass 3: syntax to typed operations on virtual registers.
//!
//! One file per family of instructions. An instruction that no operation fits exactly becomes several (16-bit integer
//! division: extend, divide, truncate); each of them runs under the same guard.

mod atomics;
mod bits;
mod body;
mod compare;
mod control;
mod convert;
mod float;
mod integer;
mod mbarrier;
mod memory;
mod moves;
mod operands;
mod tensor;
mod warp;
mod words;

use std::collections::HashMap;

pub(super) use body::select;

use super::lay_out_variables::Globals;
use super::program::{Constant, Function, Origin, Program};
use super::scope::{Meaning, Scopes};
use crate::isa::refused;
use crate::isa::{CallPlan, Cond, Inst, Mnemonic, Op, P, R, Width};
use crate::ptx::ast::{Instruction, Location};
use crate::ptx::{Diagnostic, Position};
use words::Words;

/// What a family's function answers; the text says what is unsupported or wrong.
type Selected = Result<(), String>;

/// Code of one function with virtual registers.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) code: Vec<Inst>,
    pub(super) origins: Vec<Origin>,
    /// Width of each virtual register.
    pub(super) widths: Vec<Width>,
    /// Predicates used, the true one counted.
    pub(super) predicates: u32,
    /// Registers with fixed contents.
    pub(super) constants: Vec<(R, Constant)>,
    /// Where each label stands, by number; targets of jumps are label numbers until resolved.
    pub(super) labels: Vec<Option<u32>>,
}

/// A prototype's frame layout.
#[derive(Clone, Debug, Default)]
struct Shape {
    returns: Vec<super::program::Param>,
    params: Vec<super::program::Param>,
}

/// The state of selecting one function.
struct Selector<'p> {
    program: &'p mut Program,
    globals: &'p Globals,
    function: Function,
    out: Selection,
    scopes: Scopes,
    constants: HashMap<Constant, R>,
    prototypes: Vec<Shape>,
    /// First free byte of the frame.
    frame: u32,
    guard: Cond,
    location: Option<Location>,
    position: Position,
    carry: Option<P>,
    /// Results that are declared as registers: register, offset in the frame, bytes.
    register_results: Vec<(R, u32, u8)>,
    diagnostics: Vec<Diagnostic>,
}

impl Selector<'_> {
    fn emit(&mut self, op: Op) {
        self.out.code.push(Inst { guard: self.guard, op });
        let (file, source_line) = self.location.map_or((0, 0), |location| (location.file, location.line));
        let text = self.program.texts.len().saturating_sub(1) as u32;
        self.out.origins.push(Origin { ptx_line: self.position.line, file, source_line, text });
    }

    fn register(&mut self, width: Width) -> R {
        self.out.widths.push(width);
        R(self.out.widths.len() as u32 - 1)
    }

    fn predicate(&mut self) -> P {
        self.out.predicates += 1;
        P(self.out.predicates - 1)
    }

    /// A register that always holds the constant.
    fn constant(&mut self, constant: Constant) -> R {
        if let Some(&r) = self.constants.get(&constant) {
            return r;
        }
        let width = match constant {
            Constant::Bits32(_) | Constant::Special(_) | Constant::Shared32(..) => Width::W32,
            Constant::Bits64(_) | Constant::Variable(..) | Constant::Shared(..) | Constant::Function(_) => {
                Width::W64
            }
            Constant::Bits128(_) => Width::W128,
        };
        if let Constant::Shared(index, _) | Constant::Shared32(index, _) = constant
            && !self.function.shared.contains(&index)
        {
            self.function.shared.push(index);
        }
        let r = self.register(width);
        self.out.constants.push((r, constant));
        self.constants.insert(constant, r);
        r
    }

    fn bits32(&mut self, bits: u32) -> R {
        self.constant(Constant::Bits32(bits))
    }

    fn bits64(&mut self, bits: u64) -> R {
        self.constant(Constant::Bits64(bits))
    }

    fn meaning(&mut self, name: &str) -> Option<Meaning> {
        let out = &mut self.out;
        let found = self.scopes.find(name, |scalar| {
            if scalar == crate::isa::Scalar::Pred {
                out.predicates += 1;
                return Meaning::Predicate(P(out.predicates - 1));
            }
            out.widths.push(operands::width(scalar));
            Meaning::Register(R(out.widths.len() as u32 - 1), scalar)
        });
        found.or_else(|| {
            use super::lay_out_variables::Global;
            self.globals.get(name).map(|global| match *global {
                Global::Variable(index) => Meaning::Variable(index),
                Global::Shared(index) => Meaning::Shared(index),
                Global::Function(index) => Meaning::Function(index),
            })
        })
    }

    /// Mnemonic and remaining modifiers; `cp.async` and `cvt.pack` are mnemonics of two words.
    fn mnemonic(instruction: &Instruction) -> Option<(Mnemonic, &[String])> {
        if let Some(second) = instruction.modifiers.first()
            && let Some(mnemonic) = Mnemonic::parse(&format!("{}.{second}", instruction.opcode))
        {
            return Some((mnemonic, &instruction.modifiers[1..]));
        }
        Mnemonic::parse(&instruction.opcode).map(|mnemonic| (mnemonic, &instruction.modifiers[..]))
    }

    /// Selects one instruction; the guard is set already.
    fn instruction(&mut self, instruction: &Instruction) -> Selected {
        if let Some(reason) = refused::reason(&instruction.opcode, &instruction.modifiers) {
            return Err(reason.to_owned());
        }
        let Some((mnemonic, modifiers)) = Self::mnemonic(instruction) else {
            return Err("no instruction of PTX ISA 8.8".to_owned());
        };
        let form = mnemonic.form();
        for word in modifiers {
            if !form.words.contains(&word.as_str()) && !form.types.contains(&word.as_str()) {
                return Err(format!(".{word} is not supported with {}", form.text));
            }
        }
        let words = Words::new(modifiers.iter().map(String::as_str));
        self.family(mnemonic, words, &instruction.operands)
    }

    fn family(
        &mut self,
        mnemonic: Mnemonic,
        words: Words<'_>,
        operands: &[crate::ptx::ast::Operand],
    ) -> Selected {
        use Mnemonic as M;
        match mnemonic {
            M::Add | M::Sub | M::Mul | M::Mad | M::Div | M::Abs | M::Neg | M::Min | M::Max => {
                self.arithmetic(mnemonic, words, operands)
            }
            M::Addc | M::Subc | M::Madc => self.extended(mnemonic, words, operands),
            M::Mul24 | M::Mad24 => self.product24(mnemonic, words, operands),
            M::Sad | M::Rem => self.integer(mnemonic, words, operands),
            M::Popc | M::Clz | M::Bfind | M::Brev | M::Fns | M::Bmsk => self.bits(mnemonic, words, operands),
            M::Bfe => self.bit_extract(words, operands),
            M::Bfi => self.bit_insert(words, operands),
            M::Szext => self.szext(words, operands),
            M::Dp4a | M::Dp2a => self.dot_product(mnemonic, words, operands),
            M::Testp => self.testp(words, operands),
            M::Fma | M::Copysign | M::Rcp | M::Sqrt | M::Rsqrt => self.float(mnemonic, words, operands),
            M::Sin | M::Cos | M::Lg2 | M::Ex2 | M::Tanh => self.float(mnemonic, words, operands),
            M::Set | M::Setp => self.compare(mnemonic, words, operands),
            M::Selp => self.selp(words, operands),
            M::Slct => self.slct(words, operands),
            M::And | M::Or | M::Xor | M::Not | M::Cnot | M::Shl | M::Shr => {
                self.logic(mnemonic, words, operands)
            }
            M::Lop3 => self.lop3(words, operands),
            M::Shf => self.shf(words, operands),
            M::Prmt => self.prmt(words, operands),
            M::Mov => self.mov(words, operands),
            M::Cvt => self.cvt(words, operands),
            M::CvtPack => self.cvt_pack(words, operands),
            M::Cvta => self.cvta(words, operands),
            M::Isspacep => self.isspacep(words, operands),
            M::Ld | M::Ldu => self.load(words, operands),
            M::St => self.store(words, operands),
            M::Atom | M::Red => self.atomic(mnemonic, words, operands),
            M::Prefetch | M::Prefetchu | M::Discard | M::Applypriority | M::Pmevent | M::Griddepcontrol => {
                Ok(())
            }
            M::Createpolicy => self.createpolicy(operands),
            M::Mbarrier => self.mbarrier(words, operands),
            M::CpAsync => self.cp_async(words, operands),
            M::Bra => self.branch(words, operands),
            M::Brx => self.branch_indexed(operands),
            M::Call => self.call(operands),
            M::Ret => self.ret(),
            M::Exit => self.only(Op::Exit),
            M::Trap | M::Brkpt => self.only(Op::Trap),
            M::Nanosleep => self.only(Op::Yield),
            M::Bar | M::Barrier => self.barrier(words, operands),
            M::Membar | M::Fence => self.only(Op::Fence),
            M::Activemask => self.activemask(words, operands),
            M::Shfl => self.shuffle(words, operands),
            M::Vote => self.vote(words, operands),
            M::Match => self.match_lanes(words, operands),
            M::Redux => self.redux(words, operands),
            M::Elect => self.elect(words, operands),
            M::Ldmatrix => self.matrix(true, words, operands),
            M::Stmatrix => self.matrix(false, words, operands),
            M::Movmatrix => self.move_matrix(operands),
            M::Mma => self.mma(words, operands),
            M::Wmma => self.wmma(words, operands),
        }
    }

    /// An instruction that is one operation, whatever its modifiers and operands.
    fn only(&mut self, op: Op) -> Selected {
        self.emit(op);
        Ok(())
    }

    fn plan(&self) -> CallPlan {
        CallPlan::default()
    }
}
