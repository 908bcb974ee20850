//! Calls, returns, jump tables, ends.

use super::block::BlockSpace;
use super::context::Context;
use super::observer::{Access, AccessKind, BlockObserver};
use super::trap::{Fault, TrapKind};
use super::warp::Warp;
use crate::isa::memory::MemorySpace;
use crate::isa::{CallPlan, Op, R};

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
            Op::BranchIndexed { index, targets } => self.branch_indexed(lanes, *index, targets)?,
            Op::Call { function, plan } => {
                self.narrow_to(lanes);
                self.call(context, *function, plan)?;
                self.tell_call(context, block, plan);
                self.reschedule();
            }
            Op::CallIndirect { address, plan } => {
                self.call_indirect(context, lanes, *address, plan)?;
                self.tell_call(context, block, plan);
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
                    self.tell_return(context, block, plan);
                    self.return_to(plan);
                }
                self.reschedule();
            }
            Op::Return | Op::Exit => self.exit(context, block, lanes),
            other => {
                debug_assert!(matches!(other, Op::Trap), "{other:?} is no transfer");
                return Err(Fault::new(
                    TrapKind::IllegalInstruction,
                    lanes.trailing_zeros(),
                    "the program trapped",
                ));
            }
        }
        Ok(())
    }

    /// Keeps the lanes of `alike` here; the others of `lanes` come back to this instruction.
    fn take_turns(&mut self, lanes: u32, alike: u32) {
        self.narrow_to(lanes);
        if alike != lanes {
            let mut rest = self.f.clone();
            rest.mask = lanes & !alike;
            self.others.push(rest);
            self.f.mask = alike;
        }
    }

    fn branch_indexed(&mut self, lanes: u32, index: R, targets: &[u32]) -> Result<(), Box<Fault>> {
        let first = lanes.trailing_zeros();
        let wanted = self.r32(index).0;
        let chosen = wanted[first as usize];
        let Some(&target) = targets.get(chosen as usize) else {
            let what = format!("jump table index {chosen}, the table has {}", targets.len());
            return Err(Fault::new(TrapKind::IllegalInstruction, first, what));
        };
        let alike = (0..32).filter(|&lane| wanted[lane] == chosen).fold(0, |mask, lane| mask | 1 << lane);
        self.take_turns(lanes, alike & lanes);
        self.f.pc = target;
        self.reschedule();
        Ok(())
    }

    fn call_indirect(
        &mut self,
        context: &Context<'_>,
        lanes: u32,
        address: R,
        plan: &CallPlan,
    ) -> Result<(), Box<Fault>> {
        let first = lanes.trailing_zeros();
        let pointers = self.r64(address).0;
        let pointer = pointers[first as usize];
        let refuse = |what: String| Err(Fault::at(TrapKind::IllegalInstruction, first, pointer, what));
        let Some(function) = context.image.function_at(pointer) else {
            return refuse("call through a pointer that is no function of this module".to_owned());
        };
        let callee = &context.program.functions[function as usize];
        let fits = plan.arguments.len() == callee.params.len() && plan.results.len() == callee.returns.len();
        let mut passed = plan.arguments.iter().chain(&plan.results);
        if !fits || !passed.all(|passed| passed.callee + passed.bytes <= callee.frame_bytes) {
            return refuse(format!("`{}` has other parameters than this call", callee.name));
        }
        let alike = (0..32).filter(|&lane| pointers[lane] == pointer).fold(0, |mask, lane| mask | 1 << lane);
        self.take_turns(lanes, alike & lanes);
        self.call(context, function, plan)
    }

    /// The function just entered has a fresh frame, and its arguments in it.
    fn tell_call<B: BlockObserver>(&self, context: &Context<'_>, block: &mut BlockSpace<B>, plan: &CallPlan) {
        let (Some(observer), Some(caller)) = (&mut block.observer, self.f.callers.last()) else { return };
        if B::ON {
            let site = self.site(context);
            let frame = context.program.functions[self.f.function as usize].frame_bytes;
            observer.frame_opened(&site, self.f.local, frame);
            for passed in &plan.arguments {
                let (from, to) = (caller.local + passed.caller, self.f.local + passed.callee);
                observer.passed(&site, from, to, passed.bytes);
            }
        }
    }

    /// The function about to be left passes its results.
    fn tell_return<B: BlockObserver>(
        &self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        plan: &CallPlan,
    ) {
        let (Some(observer), Some(caller)) = (&mut block.observer, self.f.callers.last()) else { return };
        if B::ON {
            let site = self.site(context);
            for passed in &plan.results {
                let (from, to) = (self.f.local + passed.callee, caller.local + passed.caller);
                observer.passed(&site, from, to, passed.bytes);
            }
        }
    }

    /// The machine itself has written the results of a built-in function to the caller's frame.
    pub(super) fn tell_results<B: BlockObserver>(
        &self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        plan: &CallPlan,
        lanes: u32,
    ) {
        let Some(observer) = &mut block.observer else { return };
        if B::ON {
            let site = self.site(context);
            for result in &plan.results {
                let access = Access {
                    kind: AccessKind::Store,
                    space: MemorySpace::Local,
                    mask: lanes,
                    addresses: &[u64::from(self.f.local + result.caller); 32],
                    bytes: result.bytes,
                    volatile: false,
                    change: None,
                };
                observer.access(&site, &access);
            }
        }
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
