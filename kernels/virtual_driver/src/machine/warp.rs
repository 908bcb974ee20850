//! A warp: 32 lanes, their registers, their local memory, and where they stand.

use super::context::{Context, Filled};
use super::copies::Copies;
use super::fragments::{Fragment, Frame, PATIENCE, Wait};
use super::lanes::{self, L32, L64, LANES};
use super::trap::{Fault, TrapKind};
use crate::isa::{CallPlan, Cond, P, R};

/// Deepest nesting of calls.
const DEEPEST: usize = 512;

/// See the module.
pub(crate) struct Warp {
    pub(super) index: u32,
    pub(super) block: [u32; 3],
    /// The fragment that runs.
    pub(super) f: Fragment,
    /// All other fragments.
    pub(super) others: Vec<Fragment>,
    /// The running fragment must look around when it reaches this instruction.
    pub(super) stop: u32,
    pub(super) patience: u32,
    /// Lanes that exist.
    pub(super) existing: u32,
    /// Lanes that do not run any more, or never existed.
    pub(super) exited: u32,
    pub(super) steps: u64,
    pub(super) registers: Vec<L32>,
    pub(super) predicates: Vec<u32>,
    /// Local memory: word w of lane l is at `local[w].0[l]`.
    pub(super) local: Vec<L32>,
    pub(super) copies: Copies,
    /// The live range of device memory that was hit last.
    pub(super) hit: (u64, u64),
}

impl Warp {
    pub(super) fn new(index: u32) -> Self {
        let f = Fragment {
            pc: 0,
            mask: 0,
            wait: Wait::Ready,
            function: 0,
            registers: 0,
            predicates: 0,
            local: 0,
            callers: Vec::new(),
            ran: 0,
        };
        Self {
            index,
            block: [0; 3],
            f,
            others: Vec::new(),
            stop: u32::MAX,
            patience: PATIENCE,
            existing: 0,
            exited: u32::MAX,
            steps: 0,
            registers: Vec::new(),
            predicates: Vec::new(),
            local: Vec::new(),
            copies: Copies::default(),
            hit: (0, 0),
        }
    }

    /// Puts the warp at the start of the kernel, as a warp of the block.
    pub(super) fn start(&mut self, context: &Context<'_>, block: [u32; 3]) -> Result<(), Box<Fault>> {
        let first = self.index * LANES as u32;
        let lanes = (context.threads - first).min(LANES as u32);
        self.block = block;
        self.existing = if lanes == 32 { u32::MAX } else { (1 << lanes) - 1 };
        self.exited = !self.existing;
        self.others.clear();
        self.stop = u32::MAX;
        self.steps = 0;
        self.patience = PATIENCE;
        self.copies.clear();
        self.registers.clear();
        self.predicates.clear();
        self.local.clear();
        let pc = context.program.functions[context.kernel as usize].start;
        let mut callers = std::mem::take(&mut self.f.callers);
        callers.clear();
        self.f = Fragment {
            pc,
            mask: self.existing,
            wait: Wait::Ready,
            function: context.kernel,
            registers: 0,
            predicates: 0,
            local: 0,
            callers,
            ran: 0,
        };
        self.enter(context)
    }

    /// Makes room for the running fragment's function and fills its constants, in the fragment's lanes.
    fn enter(&mut self, context: &Context<'_>) -> Result<(), Box<Fault>> {
        let function = &context.program.functions[self.f.function as usize];
        let registers = (self.f.registers + function.slots) as usize;
        if self.registers.len() < registers {
            self.registers.resize(registers, L32::ZERO);
        }
        let predicates = (self.f.predicates + function.predicates) as usize;
        if self.predicates.len() < predicates {
            self.predicates.resize(predicates, 0);
        }
        let local = (self.f.local + function.frame_bytes) as usize;
        if local > context.options.local_bytes as usize || self.f.callers.len() > DEEPEST {
            let what = format!(
                "{local} bytes of local memory and {} nested calls; at most {} and {DEEPEST}",
                self.f.callers.len(),
                context.options.local_bytes
            );
            return Err(Fault::new(TrapKind::StackOverflow, self.f.mask.trailing_zeros(), what));
        }
        if self.local.len() < local.div_ceil(4) {
            self.local.resize(local.div_ceil(4), L32([0xCDCD_CDCD; LANES]));
        }
        self.predicates[self.f.predicates as usize] = u32::MAX;
        for &(r, filled) in &context.constants[self.f.function as usize] {
            match filled {
                Filled::Bits32(bits) => self.write32(context, r, self.f.mask, &L32([bits; LANES])),
                Filled::Bits64(bits) => self.write64(context, r, self.f.mask, &L64([bits; LANES])),
                Filled::Bits128(bits) => {
                    self.write64(context, r, self.f.mask, &L64([bits as u64; LANES]));
                    self.write64(context, R(r.0 + 2), self.f.mask, &L64([(bits >> 64) as u64; LANES]));
                }
                Filled::Special(special) => {
                    let value = context.special(special, self.block, self.index);
                    self.write32(context, r, self.f.mask, &value);
                }
            }
        }
        Ok(())
    }

    /// The running fragment calls a function.
    pub(super) fn call(
        &mut self,
        context: &Context<'_>,
        function: u32,
        plan: &CallPlan,
    ) -> Result<(), Box<Fault>> {
        let caller = &context.program.functions[self.f.function as usize];
        let frame = Frame {
            function: self.f.function,
            call: self.f.pc,
            registers: self.f.registers,
            predicates: self.f.predicates,
            local: self.f.local,
        };
        self.f.callers.push(frame);
        self.f.registers += caller.slots;
        self.f.predicates += caller.predicates;
        self.f.local += caller.frame_bytes;
        self.f.function = function;
        self.f.pc = context.program.functions[function as usize].start;
        self.enter(context)?;
        for passed in &plan.arguments {
            self.copy_local(frame.local + passed.caller, self.f.local + passed.callee, passed.bytes);
        }
        Ok(())
    }

    /// The running fragment returns to its caller.
    pub(super) fn return_to(&mut self, plan: &CallPlan) {
        let Some(frame) = self.f.callers.pop() else { return };
        for passed in &plan.results {
            self.copy_local(self.f.local + passed.callee, frame.local + passed.caller, passed.bytes);
        }
        self.f.function = frame.function;
        self.f.pc = frame.call + 1;
        self.f.registers = frame.registers;
        self.f.predicates = frame.predicates;
        self.f.local = frame.local;
    }

    /// Copies bytes of local memory in the fragment's lanes. Both ranges lie in frames that exist.
    fn copy_local(&mut self, from: u32, to: u32, bytes: u32) {
        for lane in (0..LANES).filter(|lane| self.f.mask >> lane & 1 == 1) {
            for i in 0..bytes {
                let (source, target) = (from + i, to + i);
                let byte = self.local[source as usize / 4].0[lane] >> (source % 4 * 8) & 0xFF;
                let word = &mut self.local[target as usize / 4].0[lane];
                *word = (*word & !(0xFF << (target % 4 * 8))) | byte << (target % 4 * 8);
            }
        }
    }

    #[inline(always)]
    pub(super) fn r32(&self, r: R) -> &L32 {
        if r.is_some() { &self.registers[(self.f.registers + r.0) as usize] } else { &L32::ZERO }
    }

    #[inline(always)]
    pub(super) fn r64(&self, r: R) -> &L64 {
        if !r.is_some() {
            return &L64::ZERO;
        }
        let at = (self.f.registers + r.0) as usize;
        let pair = &self.registers[at..at + 2];
        // SAFETY: two L32 are 256 bytes, the size of an L64; both are aligned to 128 and hold plain integers.
        unsafe { &*pair.as_ptr().cast::<L64>() }
    }

    #[inline(always)]
    pub(super) fn r32_mut(&mut self, r: R) -> &mut L32 {
        &mut self.registers[(self.f.registers + r.0) as usize]
    }

    #[inline(always)]
    pub(super) fn r64_mut(&mut self, r: R) -> &mut L64 {
        let at = (self.f.registers + r.0) as usize;
        let pair = &mut self.registers[at..at + 2];
        // SAFETY: two L32 are 256 bytes, the size of an L64; both are aligned to 128 and hold plain integers.
        unsafe { &mut *pair.as_mut_ptr().cast::<L64>() }
    }

    /// Writes the lanes of `mask`; for R::NONE nothing.
    #[inline(always)]
    pub(super) fn write32(&mut self, context: &Context<'_>, d: R, mask: u32, value: &L32) {
        if !d.is_some() {
            return;
        }
        let register = self.r32_mut(d);
        if mask == u32::MAX { *register = *value } else { lanes::blend32(context.isa, register, value, mask) }
    }

    /// Writes the lanes of `mask`; for R::NONE nothing.
    #[inline(always)]
    pub(super) fn write64(&mut self, context: &Context<'_>, d: R, mask: u32, value: &L64) {
        if !d.is_some() {
            return;
        }
        let register = self.r64_mut(d);
        if mask == u32::MAX { *register = *value } else { lanes::blend64(context.isa, register, value, mask) }
    }

    #[inline(always)]
    pub(super) fn condition(&self, condition: Cond) -> u32 {
        lanes::lanes_of(condition, self.predicates[(self.f.predicates + condition.p.0) as usize])
    }

    #[inline(always)]
    pub(super) fn write_predicate(&mut self, d: P, mask: u32, value: u32) {
        if d.is_some() {
            let predicate = &mut self.predicates[(self.f.predicates + d.0) as usize];
            *predicate = (*predicate & !mask) | (value & mask);
        }
    }

    /// Lanes that have not exited.
    pub(super) fn live(&self) -> u32 {
        !self.exited
    }

    /// The value of a register in a lane.
    pub(super) fn lane32(&self, r: R, lane: u32) -> u32 {
        self.r32(r).0[lane as usize]
    }
}
