//! Calls, returns, jump tables, ends.

use super::block::BlockSpace;
use super::context::Context;
use super::observer::{Access, AccessKind, BlockObserver};
use super::trap::{Fault, TrapKind};
use super::warp::Warp;
use crate::isa::memory::MemorySpace;
use crate::isa::{CallPlan, Op, R};

impl Warp {
    pub(super) fn call_direct<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        lanes: u32,
        function: u32,
        plan: &CallPlan,
    ) -> Result<(), Box<Fault>> {
        self.narrow_to(lanes);
        self.call_and_tell(context, block, function, plan)
    }

    fn call_and_tell<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        function: u32,
        plan: &CallPlan,
    ) -> Result<(), Box<Fault>> {
        self.call(context, function, plan)?;
        self.tell_call(context, block, plan);
        self.reschedule();
        Ok(())
    }

    /// Leaves the function; out of a kernel's outermost function that ends the lanes.
    pub(super) fn leave<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        lanes: u32,
    ) {
        let Some(call) = self.f.callers.last().map(|frame| frame.call) else {
            return self.exit(context, block, lanes);
        };
        self.narrow_to(lanes);
        if let Op::Call { plan, .. } | Op::CallIndirect { plan, .. } = &context.program.code[call as usize].op
        {
            self.tell_return(context, block, plan);
            self.return_to(plan);
        }
        self.reschedule();
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

    pub(super) fn branch_indexed(&mut self, lanes: u32, index: R, targets: &[u32]) -> Result<(), Box<Fault>> {
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

    pub(super) fn call_indirect<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
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
        self.call_and_tell(context, block, function, plan)
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

    pub(super) fn exit<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        lanes: u32,
    ) {
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
