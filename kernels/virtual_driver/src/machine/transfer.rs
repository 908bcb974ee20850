//! Calls, returns, jump tables, ends.

use super::block::BlockSpace;
use super::context::Context;
use super::observer::BlockObserver;
use super::trap::{Fault, TrapKind};
use super::warp::Warp;
use crate::isa::Op;

impl Warp {
    /// Operations that leave the straight line; they set where the lanes go on themselves.
    pub(super) fn transfer<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        op: &Op,
        lanes: u32,
    ) -> Result<(), Box<Fault>> {
        match op {
            Op::BranchIndexed { index, targets } => {
                let wanted = *self.r32(*index);
                self.narrow_to(lanes);
                let first = lanes.trailing_zeros();
                let chosen = wanted.0[first as usize];
                let Some(&target) = targets.get(chosen as usize) else {
                    return Err(Fault::new(
                        TrapKind::IllegalInstruction,
                        first,
                        format!("jump table index {chosen}, the table has {}", targets.len()),
                    ));
                };
                let alike =
                    (0..32).filter(|&lane| wanted.0[lane] == chosen).fold(0, |mask, lane| mask | 1 << lane)
                        & lanes;
                // The rest comes back to this instruction with the next index.
                if alike != lanes {
                    let mut rest = self.f.clone();
                    rest.mask = lanes & !alike;
                    self.others.push(rest);
                    self.f.mask = alike;
                }
                self.f.pc = target;
                self.reschedule();
            }
            Op::Call { function, plan } => {
                self.narrow_to(lanes);
                self.call(context, *function, plan)?;
                self.reschedule();
            }
            Op::CallIndirect { address, plan } => {
                let first = lanes.trailing_zeros();
                let pointers = *self.r64(*address);
                let pointer = pointers.0[first as usize];
                let Some(function) = context.image.function_at(pointer) else {
                    return Err(Fault::at(
                        TrapKind::IllegalInstruction,
                        first,
                        pointer,
                        "call through a pointer that is no function of this module",
                    ));
                };
                let alike = (0..32)
                    .filter(|&lane| pointers.0[lane] == pointer)
                    .fold(0, |mask, lane| mask | 1 << lane)
                    & lanes;
                self.narrow_to(lanes);
                if alike != lanes {
                    let mut rest = self.f.clone();
                    rest.mask = lanes & !alike;
                    self.others.push(rest);
                    self.f.mask = alike;
                }
                let callee = &context.program.functions[function as usize];
                let fits =
                    plan.arguments.len() == callee.params.len() && plan.results.len() == callee.returns.len();
                let inside = plan
                    .arguments
                    .iter()
                    .chain(&plan.results)
                    .all(|passed| passed.callee + passed.bytes <= callee.frame_bytes);
                if !fits || !inside {
                    return Err(Fault::at(
                        TrapKind::IllegalInstruction,
                        first,
                        pointer,
                        format!("`{}` has other parameters than this call", callee.name),
                    ));
                }
                self.call(context, function, plan)?;
                self.reschedule();
            }
            Op::CallBuiltin { builtin, plan } => {
                self.builtin(context, block, *builtin, plan, lanes)?;
                self.f.pc += 1;
            }
            Op::Return if !self.f.callers.is_empty() => {
                self.narrow_to(lanes);
                let call = self.f.callers.last().map_or(0, |frame| frame.call);
                if let Op::Call { plan, .. } | Op::CallIndirect { plan, .. } =
                    &context.program.code[call as usize].op
                {
                    self.return_to(plan);
                }
                self.reschedule();
            }
            Op::Return | Op::Exit => self.exit(context, block, lanes),
            _ => {
                return Err(Fault::new(
                    TrapKind::IllegalInstruction,
                    lanes.trailing_zeros(),
                    "the program trapped",
                ));
            }
        }
        Ok(())
    }

    fn exit<B: BlockObserver>(&mut self, context: &Context<'_>, block: &mut BlockSpace<B>, lanes: u32) {
        if B::ON {
            let mut site = self.site(context);
            site.mask = lanes;
            let pending = self.copies.has_open(lanes);
            if let Some(observer) = &mut block.observer {
                observer.exited(&site, pending);
            }
        }
        self.exited |= lanes;
        self.f.mask &= !lanes;
        self.f.pc += 1;
        self.reschedule();
    }
}
