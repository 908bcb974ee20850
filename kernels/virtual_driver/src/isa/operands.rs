//! Which registers an operation reads and writes: the one place that lists every operand of every operation.

use super::memory::{Address, Base};
use super::op::{Op, P, R};
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

    fn op(&mut self, op: &mut Op) {
        match op {
            Op::Move { d, a, .. } => self.unary(d, a),
            Op::Int32 { d, a, b, c, .. }
            | Op::Int64 { d, a, b, c, .. }
            | Op::Lop3 { d, a, b, c, .. }
            | Op::MulWide { d, a, b, c, .. }
            | Op::Float32 { d, a, b, c, .. }
            | Op::Float64 { d, a, b, c, .. }
            | Op::Half { d, a, b, c, .. } => {
                self.uses([a, b, c]);
                self.def(d);
            }
            Op::BitInsert { d, a, b, pos, len, .. } => {
                self.uses([a, b, pos, len]);
                self.def(d);
            }
            Op::Carry { .. }
            | Op::Compare { .. }
            | Op::TestFloat { .. }
            | Op::IsSpace { .. }
            | Op::Select { .. }
            | Op::Predicate { .. } => self.predicates(op),
            Op::Convert { .. } | Op::Pack { .. } | Op::Unpack { .. } => self.parts(op),
            Op::FrameAddress { d, .. } | Op::ActiveMask { d } | Op::ReadClock { d, .. } => self.def(d),
            Op::Tensor(tensor) => self.tensor(tensor),
            Op::Load { .. }
            | Op::Store { .. }
            | Op::LoadParam { .. }
            | Op::Atomic { .. }
            | Op::CopyAsync { .. } => self.memory(op),
            Op::Barrier { .. }
            | Op::SyncWarp { .. }
            | Op::Shuffle { .. }
            | Op::Vote { .. }
            | Op::Match { .. }
            | Op::Redux { .. }
            | Op::Elect { .. } => self.warp(op),
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

    fn predicates(&mut self, op: &mut Op) {
        match op {
            Op::Carry { d, a, b, carry_in, carry_out, .. } => {
                self.uses([a, b]);
                self.use_predicate(carry_in);
                self.def(d);
                self.def_predicate(carry_out);
            }
            Op::Compare { d, e, a, b, c, .. } => {
                self.uses([a, b]);
                self.use_predicate(&mut c.p);
                self.def_predicate(d);
                self.def_predicate(e);
            }
            Op::TestFloat { d, a, .. } | Op::IsSpace { d, a, .. } => {
                self.uses([a]);
                self.def_predicate(d);
            }
            Op::Select { d, a, b, c, .. } => {
                self.uses([a, b]);
                self.use_predicate(&mut c.p);
                self.def(d);
            }
            Op::Predicate { d, a, b, .. } => {
                self.use_predicate(&mut a.p);
                self.use_predicate(&mut b.p);
                self.def_predicate(d);
            }
            other => unreachable!("{other:?} has no predicate operand"),
        }
    }

    fn parts(&mut self, op: &mut Op) {
        match op {
            Op::Convert { d, a, b, .. } => {
                self.uses([a, b]);
                self.def(d);
            }
            Op::Pack { d, parts, .. } => {
                self.uses(parts);
                self.def(d);
            }
            Op::Unpack { parts, a, .. } => {
                self.uses([a]);
                self.defs(parts);
            }
            other => unreachable!("{other:?} has no parts"),
        }
    }

    fn unary(&mut self, d: &mut R, a: &mut R) {
        self.uses([a]);
        self.def(d);
    }

    fn memory(&mut self, op: &mut Op) {
        match op {
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
                self.uses([b, c]);
                self.def(d);
            }
            Op::CopyAsync { source_bytes, to, from, .. } => {
                self.address(to);
                self.address(from);
                self.uses([source_bytes]);
            }
            other => unreachable!("{other:?} is no memory operation"),
        }
    }

    fn warp(&mut self, op: &mut Op) {
        match op {
            Op::Barrier { id, threads, d, e, c, .. } => {
                self.uses([id, threads]);
                self.use_predicate(&mut c.p);
                self.def(d);
                self.def_predicate(e);
            }
            Op::SyncWarp { members } => self.uses([members]),
            Op::Shuffle { d, e, a, b, c, members, .. } => {
                self.uses([a, b, c, members]);
                self.def(d);
                self.def_predicate(e);
            }
            Op::Vote { d, e, c, members, .. } => {
                self.uses([members]);
                self.use_predicate(&mut c.p);
                self.def(d);
                self.def_predicate(e);
            }
            Op::Match { d, e, a, members, .. } => {
                self.uses([a, members]);
                self.def(d);
                self.def_predicate(e);
            }
            Op::Redux { d, a, members, .. } => {
                self.uses([a, members]);
                self.def(d);
            }
            Op::Elect { d, e, members } => {
                self.uses([members]);
                self.def(d);
                self.def_predicate(e);
            }
            other => unreachable!("{other:?} is no warp operation"),
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
