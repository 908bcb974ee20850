//! Which registers an operation reads and writes: the one place that lists every operand of every operation.

use super::memory::{Address, Base};
use super::op::{GroupOp, Op, P, R};
use super::tensor::Tensor;

/// One operand, as a visitor meets it.
#[derive(Debug)]
pub enum Touch<'o> {
    /// A register that is written.
    Def(&'o mut R),
    /// A register that is read.
    Use(&'o mut R),
    /// A predicate that is written.
    DefPredicate(&'o mut P),
    /// A predicate that is read.
    UsePredicate(&'o mut P),
}

struct Visitor<'v>(&'v mut dyn FnMut(Touch<'_>));

impl Visitor<'_> {
    fn def(&mut self, r: &mut R) {
        if r.is_some() {
            (self.0)(Touch::Def(r));
        }
    }

    fn uses<'r>(&mut self, registers: impl IntoIterator<Item = &'r mut R>) {
        for r in registers {
            if r.is_some() {
                (self.0)(Touch::Use(r));
            }
        }
    }

    fn defs<'r>(&mut self, registers: impl IntoIterator<Item = &'r mut R>) {
        for r in registers {
            self.def(r);
        }
    }

    fn def_predicate(&mut self, p: &mut P) {
        if p.is_some() {
            (self.0)(Touch::DefPredicate(p));
        }
    }

    fn use_predicate(&mut self, p: &mut P) {
        if p.is_some() {
            (self.0)(Touch::UsePredicate(p));
        }
    }

    fn address(&mut self, address: &mut Address) {
        match &mut address.base {
            Base::R32(r) | Base::R64(r) => self.uses([r]),
            Base::Frame => {}
        }
    }

    fn tensor(&mut self, tensor: &mut Tensor) {
        match tensor {
            Tensor::LoadMatrix { d, address, .. } => {
                self.address(address);
                self.defs(d);
            }
            Tensor::StoreMatrix { a, address, .. } => {
                self.address(address);
                self.uses(a);
            }
            Tensor::MoveMatrix { d, a } => {
                self.uses([a]);
                self.def(d);
            }
            Tensor::Multiply { d, a, b, c, .. } | Tensor::MultiplyFragments { d, a, b, c, .. } => {
                self.uses(a.iter_mut().chain(b).chain(c));
                self.defs(d);
            }
            Tensor::LoadFragment { d, address, stride, .. } => {
                self.address(address);
                self.uses([stride]);
                self.defs(d);
            }
            Tensor::StoreFragment { a, address, stride, .. } => {
                self.address(address);
                self.uses(a.iter_mut().chain([stride]));
            }
        }
    }

    /// Sources before destinations: a register may be both.
    fn touch<const A: usize, const B: usize, const C: usize, const D: usize>(
        &mut self,
        uses: [&mut R; A],
        predicates: [&mut P; B],
        defs: [&mut R; C],
        outcomes: [&mut P; D],
    ) {
        self.uses(uses);
        for p in predicates {
            self.use_predicate(p);
        }
        self.defs(defs);
        for p in outcomes {
            self.def_predicate(p);
        }
    }

    fn op(&mut self, op: &mut Op) {
        match op {
            Op::Move { d, a, .. } => self.touch([a], [], [d], []),
            Op::Int32 { d, a, b, c, .. }
            | Op::Int64 { d, a, b, c, .. }
            | Op::Lop3 { d, a, b, c, .. }
            | Op::MulWide { d, a, b, c, .. }
            | Op::Float32 { d, a, b, c, .. }
            | Op::Float64 { d, a, b, c, .. }
            | Op::Half { d, a, b, c, .. } => self.touch([a, b, c], [], [d], []),
            Op::BitInsert { d, a, b, pos, len, .. } => self.touch([a, b, pos, len], [], [d], []),
            Op::Carry { d, a, b, carry_in, carry_out, .. } => {
                self.touch([a, b], [carry_in], [d], [carry_out]);
            }
            Op::Compare { d, e, a, b, c, .. } => self.touch([a, b], [&mut c.p], [], [d, e]),
            Op::TestFloat { d, a, .. } | Op::IsSpace { d, a, .. } => self.touch([a], [], [], [d]),
            Op::Select { d, a, b, c, .. } => self.touch([a, b], [&mut c.p], [d], []),
            Op::Predicate { d, a, b, .. } => self.touch([], [&mut a.p, &mut b.p], [], [d]),
            Op::Convert { d, a, b, .. } => self.touch([a, b], [], [d], []),
            Op::Pack { d, parts, .. } => self.touch(parts.each_mut(), [], [d], []),
            Op::Unpack { parts, a, .. } => self.touch([a], [], parts.each_mut(), []),
            Op::FrameAddress { d, .. } | Op::ActiveMask { d } | Op::ReadClock { d, .. } => self.def(d),
            Op::Tensor(tensor) => self.tensor(tensor),
            Op::Load { d, address, .. } => {
                self.address(address);
                self.defs(d);
            }
            Op::Store { a, address, .. } => {
                self.address(address);
                self.uses(a);
            }
            Op::LoadParam { d, .. } => self.defs(d),
            Op::Atomic { d, b, c, address, .. } => {
                self.address(address);
                self.touch([b, c], [], [d], []);
            }
            Op::CopyAsync { source_bytes, to, from, .. } => {
                self.address(to);
                self.address(from);
                self.uses([source_bytes]);
            }
            Op::Barrier { id, threads, d, e, c, .. } => {
                self.touch([id, threads], [&mut c.p], [d], [e]);
            }
            Op::Group { op, members } => self.group(op, members),
            Op::BranchIndexed { index: a, .. } | Op::CallIndirect { address: a, .. } => self.uses([a]),
            Op::CopyCommit
            | Op::CopyWait { .. }
            | Op::Branch { .. }
            | Op::Call { .. }
            | Op::CallBuiltin { .. }
            | Op::Return
            | Op::Exit
            | Op::Trap
            | Op::Yield
            | Op::Fence => {}
        }
    }

    fn group(&mut self, op: &mut GroupOp, members: &mut R) {
        match op {
            GroupOp::Sync => self.uses([members]),
            GroupOp::Shuffle { d, e, a, b, c, .. } => self.touch([a, b, c, members], [], [d], [e]),
            GroupOp::Vote { d, e, c, .. } => self.touch([members], [&mut c.p], [d], [e]),
            GroupOp::Match { d, e, a, .. } => self.touch([a, members], [], [d], [e]),
            GroupOp::Redux { d, a, .. } => self.touch([a, members], [], [d], []),
            GroupOp::Elect { d, e } => self.touch([members], [], [d], [e]),
        }
    }
}

impl Op {
    /// Where a jump goes: instruction indices, or label numbers before they are resolved. Nothing for other operations.
    pub fn targets(&self) -> &[u32] {
        if let Op::Branch { target } = self {
            std::slice::from_ref(target)
        } else if let Op::BranchIndexed { targets, .. } = self {
            targets
        } else {
            &[]
        }
    }

    /// As [`Op::targets`], to be changed.
    pub fn targets_mut(&mut self) -> &mut [u32] {
        if let Op::Branch { target } = self {
            std::slice::from_mut(target)
        } else if let Op::BranchIndexed { targets, .. } = self {
            targets
        } else {
            &mut []
        }
    }

    /// Shows every register operand to `visit`, sources before destinations; the guard is not among them.
    pub fn visit(&mut self, visit: &mut dyn FnMut(Touch<'_>)) {
        Visitor(visit).op(self);
    }
}
