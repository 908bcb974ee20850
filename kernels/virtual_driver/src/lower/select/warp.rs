//! Barriers, shuffles, votes and other operations between lanes.

use super::words::Words;
use super::{Selected, Selector};
use crate::isa::arith::IntOp;
use crate::isa::{BarrierKind, Cond, GroupOp, Op, P, R, Scalar, ShuffleMode, VoteMode};
use crate::ptx::ast::Operand;

impl Selector<'_> {
    pub(super) fn barrier(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        words.ignore(&["cta", "aligned"]);
        if words.take("warp") {
            words.take("sync");
            words.finish()?;
            self.count(operands, 1)?;
            let members = self.source(&operands[0], Scalar::B32)?;
            self.emit(Op::Group { op: GroupOp::Sync, members });
            return Ok(());
        }
        let (mut d, mut e, mut c) = (R::NONE, P::NONE, Cond::TRUE);
        let mut rest = operands;
        let kind = if words.take("red") {
            let kind = words.need(&[
                ("popc", BarrierKind::Popc),
                ("and", BarrierKind::And),
                ("or", BarrierKind::Or),
            ])?;
            words.scalar()?;
            let (Some(first), Some(last)) = (operands.first(), operands.last()) else {
                return Err("operands are missing".to_owned());
            };
            match kind {
                BarrierKind::Popc => d = self.destination(first, Scalar::U32)?,
                BarrierKind::And | BarrierKind::Or | BarrierKind::Sync | BarrierKind::Arrive => {
                    e = self.predicate_destination(first)?
                }
            }
            c = self.condition(last)?;
            rest = operands.get(1..operands.len() - 1).ok_or("operands are missing")?;
            kind
        } else if words.take("arrive") {
            BarrierKind::Arrive
        } else {
            words.take("sync");
            BarrierKind::Sync
        };
        words.finish()?;
        let id = self.source(self.nth(rest, 0)?, Scalar::U32)?;
        let threads = match rest.get(1) {
            Some(operand) => self.source(operand, Scalar::U32)?,
            None if kind == BarrierKind::Arrive => return Err("arrive needs a number of threads".to_owned()),
            None => R::NONE,
        };
        if rest.len() > 2 {
            return Err("too many operands".to_owned());
        }
        self.emit(Op::Barrier { kind, id, threads, d, e, c });
        Ok(())
    }

    pub(super) fn activemask(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        words.scalar()?;
        words.finish()?;
        self.count(operands, 1)?;
        let d = self.destination(&operands[0], Scalar::B32)?;
        self.emit(Op::ActiveMask { d });
        Ok(())
    }

    /// The forms without `.sync` are gone since sm_70.
    fn sync(words: &mut Words<'_>) -> Selected {
        if words.take("sync") { Ok(()) } else { Err("only the .sync form exists from sm_70 on".to_owned()) }
    }

    /// `d|p` to its parts.
    fn pair(&mut self, operand: &Operand, scalar: Scalar) -> Result<(R, P), String> {
        let (first, second) = operand.pair();
        Ok((self.destination(first, scalar)?, self.second_predicate(second)?))
    }

    pub(super) fn shuffle(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        Self::sync(&mut words)?;
        let mode = words.need(&[
            ("up", ShuffleMode::Up),
            ("down", ShuffleMode::Down),
            ("bfly", ShuffleMode::Butterfly),
            ("idx", ShuffleMode::Index),
        ])?;
        words.scalar()?;
        words.finish()?;
        self.count(operands, 5)?;
        let a = self.source(&operands[1], Scalar::B32)?;
        let b = self.source(&operands[2], Scalar::U32)?;
        let c = self.source(&operands[3], Scalar::U32)?;
        let members = self.source(&operands[4], Scalar::B32)?;
        let (d, e) = self.pair(&operands[0], Scalar::B32)?;
        self.emit(Op::Group { op: GroupOp::Shuffle { mode, d, e, a, b, c }, members });
        Ok(())
    }

    pub(super) fn vote(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        Self::sync(&mut words)?;
        let mode = words.need(&[
            ("all", VoteMode::All),
            ("any", VoteMode::Any),
            ("uni", VoteMode::Uniform),
            ("ballot", VoteMode::Ballot),
        ])?;
        words.scalar()?;
        words.finish()?;
        self.count(operands, 3)?;
        let c = self.condition(&operands[1])?;
        let members = self.source(&operands[2], Scalar::B32)?;
        let (mut d, mut e) = (R::NONE, P::NONE);
        if mode == VoteMode::Ballot {
            d = self.destination(&operands[0], Scalar::B32)?;
        } else {
            e = self.predicate_destination(&operands[0])?;
        }
        self.emit(Op::Group { op: GroupOp::Vote { mode, d, e, c }, members });
        Ok(())
    }

    pub(super) fn match_lanes(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        Self::sync(&mut words)?;
        let all = words.need(&[("any", false), ("all", true)])?;
        let scalar = words.scalar()?;
        words.finish()?;
        self.count(operands, 3)?;
        let a = self.source(&operands[1], scalar)?;
        let members = self.source(&operands[2], Scalar::B32)?;
        let (d, e) = self.pair(&operands[0], Scalar::B32)?;
        let op = GroupOp::Match { all, wide: scalar.bytes() == 8, d, e, a };
        self.emit(Op::Group { op, members });
        Ok(())
    }

    pub(super) fn redux(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        Self::sync(&mut words)?;
        let scalar = words.scalar()?;
        let signed = scalar.is_signed();
        let op = words.need(&[
            ("add", IntOp::Add),
            ("min", if signed { IntOp::MinS } else { IntOp::MinU }),
            ("max", if signed { IntOp::MaxS } else { IntOp::MaxU }),
            ("and", IntOp::And),
            ("or", IntOp::Or),
            ("xor", IntOp::Xor),
        ])?;
        words.finish()?;
        self.count(operands, 3)?;
        let a = self.source(&operands[1], scalar)?;
        let members = self.source(&operands[2], Scalar::B32)?;
        let d = self.destination(&operands[0], scalar)?;
        self.emit(Op::Group { op: GroupOp::Redux { op, d, a }, members });
        Ok(())
    }

    pub(super) fn elect(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        Self::sync(&mut words)?;
        words.finish()?;
        self.count(operands, 2)?;
        let members = self.source(&operands[1], Scalar::B32)?;
        let Operand::Pair(first, second) = &operands[0] else { return Err("d|p is needed".to_owned()) };
        let d = self.destination(first, Scalar::B32)?;
        let e = self.predicate_destination(second)?;
        self.emit(Op::Group { op: GroupOp::Elect { d, e }, members });
        Ok(())
    }
}
