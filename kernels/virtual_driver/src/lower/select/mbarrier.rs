//! `mbarrier`: barriers that lie in shared memory, and the arrival of asynchronous copies at them.
//!
//! The object is opaque to programs. Here it is one 64-bit word: arrivals still to come in bits 0 to 19, arrivals of a
//! whole phase in bits 20 to 39, phases completed from bit 40 on. The state that an arrival gives is the word before it.

use super::moves::space_word;
use super::words::Words;
use super::{Selected, Selector};
use crate::isa::arith::{CompareType, Comparison, IntOp, Logic};
use crate::isa::memory::{Address, AtomicKind, AtomicOp, MemorySpace};
use crate::isa::{Cond, Op, P, R, Scalar, Width};
use crate::machine::{MBARRIER_COUNT_BITS, MBARRIER_PHASE_BIT};
use crate::ptx::ast::Operand;

#[derive(Clone, Copy, PartialEq)]
enum Action {
    Init,
    Invalidate,
    Arrive,
    ArriveDrop,
    TestWait,
    PendingCount,
}

impl Selector<'_> {
    pub(super) fn mbarrier(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let action = words.need(&[
            ("init", Action::Init),
            ("inval", Action::Invalidate),
            ("arrive", Action::Arrive),
            ("arrive_drop", Action::ArriveDrop),
            ("test_wait", Action::TestWait),
            ("try_wait", Action::TestWait),
            ("pending_count", Action::PendingCount),
        ])?;
        let parity = words.take("parity");
        words.ignore(&["noComplete", "release", "acquire", "relaxed", "cta", "cluster"]);
        let written = space_word(&mut words);
        words.ignore(&["b64"]);
        words.finish()?;
        if action == Action::PendingCount {
            self.count(operands, 2)?;
            let state = self.source(&operands[1], Scalar::B64)?;
            let (low, mask) = (self.low_word(state), self.bits32((1 << MBARRIER_COUNT_BITS) - 1));
            let d = self.destination(&operands[0], Scalar::U32)?;
            self.int_op(Scalar::U32, IntOp::And, d, [low, mask, R::NONE]);
            return Ok(());
        }
        let has_result = !matches!(action, Action::Init | Action::Invalidate);
        let (address, named) = self.address(self.nth(operands, usize::from(has_result))?)?;
        let space = named.or(written).unwrap_or(MemorySpace::Generic);
        let rest = &operands[1 + usize::from(has_result)..];
        match action {
            Action::Init => {
                let count = self.source(self.nth(rest, 0)?, Scalar::U32)?;
                let count = self.zero_extend(count);
                self.initialise(space, address, Some(count));
                Ok(())
            }
            Action::Invalidate | Action::PendingCount => {
                self.initialise(space, address, None);
                Ok(())
            }
            Action::Arrive | Action::ArriveDrop => {
                let kind = if action == Action::Arrive { AtomicKind::Arrive } else { AtomicKind::ArriveDrop };
                let (d, _) = self.destination_any(&operands[0], Scalar::B64)?;
                self.arrive(kind, d, rest.first(), space, address)
            }
            Action::TestWait => {
                let d = self.predicate_destination(&operands[0])?;
                let awaited = self.nth(rest, 0)?;
                self.test_wait(parity, d, awaited, space, address)
            }
        }
    }

    /// Writes the word of a phase that has seen nothing, or of no barrier at all.
    fn initialise(&mut self, space: MemorySpace, address: Address, count: Option<R>) {
        let word = match count {
            Some(count) => {
                let by = self.bits64(u64::from(MBARRIER_COUNT_BITS));
                let expected = self.temporary(Scalar::B64, IntOp::Shl, [count, by, R::NONE]);
                self.temporary(Scalar::B64, IntOp::Or, [expected, count, R::NONE])
            }
            None => self.bits64(0),
        };
        let a = [word, R::NONE, R::NONE, R::NONE];
        self.emit(Op::Store { space, bytes: 8, count: 1, volatile: true, a, address });
    }

    fn arrive(
        &mut self,
        kind: AtomicKind,
        d: R,
        count: Option<&Operand>,
        space: MemorySpace,
        address: Address,
    ) -> Selected {
        let b = match count {
            Some(operand) => {
                let count = self.source(operand, Scalar::U32)?;
                self.zero_extend(count)
            }
            None => self.bits64(1),
        };
        self.emit(Op::Fence);
        let op = AtomicOp { kind, ty: Scalar::B64 };
        self.emit(Op::Atomic { space, op, d, b, c: R::NONE, address });
        Ok(())
    }

    /// Whether the phase of a state, or the phase of a parity, is over. Other warps get their turn afterwards.
    fn test_wait(
        &mut self,
        parity: bool,
        d: P,
        awaited: &Operand,
        space: MemorySpace,
        address: Address,
    ) -> Selected {
        let word = self.register(Width::W64);
        let registers = [word, R::NONE, R::NONE, R::NONE];
        self.emit(Op::Load {
            space,
            bytes: 8,
            signed: false,
            count: 1,
            volatile: true,
            d: registers,
            address,
        });
        let by = self.bits64(u64::from(MBARRIER_PHASE_BIT));
        let mut a = self.temporary(Scalar::B64, IntOp::ShrU, [word, by, R::NONE]);
        let b = if parity {
            let one = self.bits64(1);
            a = self.temporary(Scalar::B64, IntOp::And, [a, one, R::NONE]);
            let parity = self.source(awaited, Scalar::U32)?;
            self.zero_extend(parity)
        } else {
            let state = self.source(awaited, Scalar::B64)?;
            self.temporary(Scalar::B64, IntOp::ShrU, [state, by, R::NONE])
        };
        let (ty, cmp) = (CompareType::U64, Comparison::Ne);
        let logic = Logic::And;
        self.emit(Op::Compare { ty, cmp, ftz: false, logic, d, e: P::NONE, a, b, c: Cond::TRUE });
        self.emit(Op::Fence);
        self.emit(Op::Yield);
        Ok(())
    }

    /// `cp.async.mbarrier.arrive`: this machine finishes the thread's copies at once and then arrives. Without `.noinc`
    /// the arrival adds itself to those expected, so that nothing is left to count.
    pub(super) fn copies_arrive(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let counts = words.take("noinc");
        words.ignore(&["arrive", "b64"]);
        let written = space_word(&mut words);
        words.finish()?;
        self.count(operands, 1)?;
        let (address, named) = self.address(&operands[0])?;
        self.emit(Op::CopyWait { pending: 0, all: true });
        if !counts {
            return Ok(());
        }
        let space = named.or(written).unwrap_or(MemorySpace::Generic);
        self.arrive(AtomicKind::Arrive, R::NONE, None, space, address)
    }
}
