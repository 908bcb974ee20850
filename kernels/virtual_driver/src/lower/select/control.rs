//! Jumps, calls, returns.

use super::super::program::Param;
use super::super::scope::Meaning;
use super::words::Words;
use super::{Selected, Selector, Shape};
use crate::isa::{Builtin, CallPlan, Op, Passed, Scalar};
use crate::ptx::ast::Operand;

/// A result to be loaded after a call: where to, offset in the frame, bytes.
type Pending<'o> = (&'o Operand, u32, u32);

/// The functions the machine provides.
fn builtin(name: &str) -> Option<Builtin> {
    match name {
        "vprintf" => Some(Builtin::Vprintf),
        "__assertfail" => Some(Builtin::Assertfail),
        "malloc" => Some(Builtin::Malloc),
        "free" => Some(Builtin::Free),
        _ => None,
    }
}

fn group(operand: &Operand) -> Option<&[Operand]> {
    if let Operand::Group(items) = operand { Some(items) } else { None }
}

impl Selector<'_> {
    fn label_number(&mut self, operand: &Operand) -> Result<u32, String> {
        let Operand::Name(name) = operand else { return Err("a label is needed".to_owned()) };
        match self.meaning(name) {
            Some(Meaning::Label(number)) => Ok(number),
            Some(_) | None => Err(format!("`{name}` is not a label in reach")),
        }
    }

    pub(super) fn branch(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        words.ignore(&["uni"]);
        words.finish()?;
        self.count(operands, 1)?;
        let target = self.label_number(&operands[0])?;
        self.emit(Op::Branch { target });
        Ok(())
    }

    pub(super) fn ret(&mut self) -> Selected {
        self.return_from_function();
        Ok(())
    }

    pub(super) fn branch_indexed(&mut self, operands: &[Operand]) -> Selected {
        self.count(operands, 2)?;
        let index = self.source(&operands[0], Scalar::U32)?;
        let Operand::Name(name) = &operands[1] else { return Err("a table is needed".to_owned()) };
        let Some(Meaning::Targets(labels)) = self.meaning(name) else {
            return Err(format!("`{name}` is not a table of labels"));
        };
        let mut targets = Vec::new();
        for label in labels {
            targets.push(self.label_number(&Operand::Name(label))?);
        }
        self.emit(Op::BranchIndexed { index, targets: targets.into() });
        Ok(())
    }

    /// `call (results), target, (arguments), table`, where all but the target may be missing.
    pub(super) fn call(&mut self, operands: &[Operand]) -> Selected {
        let mut rest = operands;
        let mut results: &[Operand] = &[];
        if let Some(items) = rest.first().and_then(group) {
            results = items;
            rest = &rest[1..];
        }
        let Some(Operand::Name(name)) = rest.first() else { return Err("a function is needed".to_owned()) };
        rest = &rest[1..];
        let mut arguments: &[Operand] = &[];
        if let Some(items) = rest.first().and_then(group) {
            arguments = items;
            rest = &rest[1..];
        }
        if let Some(Meaning::Function(index)) = self.meaning(name) {
            let callee = &self.program.functions[index as usize];
            if callee.is_entry {
                return Err(format!("`{name}` is a kernel; kernels cannot be called"));
            }
            let shape = Shape { returns: callee.returns.clone(), params: callee.params.clone() };
            let (plan, loads) = self.call_plan(&shape, results, arguments)?;
            let plan = Box::new(plan);
            let op = match builtin(name) {
                Some(builtin) => {
                    // Which piece of the heap a thread gets hangs on who asked before.
                    self.function.is_order_dependent |= matches!(builtin, Builtin::Malloc | Builtin::Free);
                    Op::CallBuiltin { builtin, plan }
                }
                None => {
                    self.function.calls.push(index);
                    Op::Call { function: index, plan }
                }
            };
            self.emit(op);
            return self.load_results(loads);
        }
        self.call_indirect(name, results, arguments, rest)
    }

    fn call_indirect(
        &mut self,
        name: &str,
        results: &[Operand],
        arguments: &[Operand],
        rest: &[Operand],
    ) -> Selected {
        let address = self.source(&Operand::Name(name.to_owned()), Scalar::B64)?;
        let Some(Operand::Name(table)) = rest.first() else {
            return Err("an indirect call needs a prototype or a table of functions".to_owned());
        };
        let shape = match self.meaning(table) {
            Some(Meaning::Prototype(number)) => self.prototypes[number as usize].clone(),
            Some(Meaning::Targets(names)) => {
                let first = names.first().and_then(|first| self.meaning(first));
                let Some(Meaning::Function(index)) = first else {
                    return Err(format!("`{table}` names no function"));
                };
                let function = &self.program.functions[index as usize];
                Shape { returns: function.returns.clone(), params: function.params.clone() }
            }
            Some(_) | None => {
                return Err(format!("`{table}` is neither a prototype nor a table of functions"));
            }
        };
        self.function.calls_indirectly = true;
        let (plan, loads) = self.call_plan(&shape, results, arguments)?;
        self.emit(Op::CallIndirect { address, plan: Box::new(plan) });
        self.load_results(loads)
    }

    /// Which bytes go where; a result that is a plain register is loaded after the call.
    fn call_plan<'o>(
        &mut self,
        shape: &Shape,
        results: &'o [Operand],
        arguments: &'o [Operand],
    ) -> Result<(CallPlan, Vec<Pending<'o>>), String> {
        if results.len() != shape.returns.len() || arguments.len() != shape.params.len() {
            return Err(format!(
                "the function takes {} arguments and returns {}; the call gives {} and takes {}",
                shape.params.len(),
                shape.returns.len(),
                arguments.len(),
                results.len()
            ));
        }
        let mut plan = self.plan();
        let mut loads = Vec::new();
        for (operand, param) in arguments.iter().zip(&shape.params) {
            let caller = match self.frame_place(operand, param)? {
                Some(at) => at,
                None => self.store_argument(operand, param.bytes)?,
            };
            plan.arguments.push(Passed { caller, callee: param.offset, bytes: param.bytes });
        }
        for (operand, param) in results.iter().zip(&shape.returns) {
            let caller = match self.frame_place(operand, param)? {
                Some(at) => at,
                None => {
                    let at = self.frame_bytes(u64::from(param.bytes), 16).ok_or("too much local memory")?;
                    loads.push((operand, at, param.bytes));
                    at
                }
            };
            plan.results.push(Passed { caller, callee: param.offset, bytes: param.bytes });
        }
        Ok((plan, loads))
    }

    /// Where a parameter variable of the caller lies; `None` for registers and literals.
    fn frame_place(&mut self, operand: &Operand, param: &Param) -> Result<Option<u32>, String> {
        if matches!(operand, Operand::Number(_)) {
            return Ok(None);
        }
        let Operand::Name(name) = operand else { return Err(format!("`{operand}` cannot be passed")) };
        match self.meaning(name) {
            Some(Meaning::Frame(at, bytes)) if bytes >= param.bytes => Ok(Some(at)),
            Some(Meaning::Frame(_, bytes)) => {
                Err(format!("`{name}` has {bytes} bytes where {} are passed", param.bytes))
            }
            _ => Ok(None),
        }
    }

    fn load_results(&mut self, loads: Vec<Pending<'_>>) -> Selected {
        use crate::isa::R;
        use crate::isa::memory::{Address, Base, MemorySpace};
        for (operand, at, bytes) in loads {
            let scalar = match bytes {
                1 | 2 => Scalar::B16,
                4 => Scalar::B32,
                _ => Scalar::B64,
            };
            let d = [self.destination(operand, scalar)?, R::NONE, R::NONE, R::NONE];
            let address = Address { base: Base::Frame, offset: i64::from(at) };
            self.emit(Op::Load {
                space: MemorySpace::Local,
                bytes: bytes as u8,
                signed: false,
                count: 1,
                volatile: false,
                d,
                address,
            });
        }
        Ok(())
    }
}
