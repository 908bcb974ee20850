//! Functions and their statements: declarations, scopes, labels, frames.

use std::collections::HashMap;

use super::super::lay_out_variables::{Globals, add_shared, add_variable};
use super::super::program::{Function, Param, Program};
use super::super::scope::{Meaning, Scopes};
use super::operands::width;
use super::{Selection, Selector, Shape};
use crate::isa::memory::{Address, Base, MemorySpace};
use crate::isa::{Cond, Op, R, Scalar};
use crate::ptx::ast::{self, Instruction, Space, Statement, Variable};
use crate::ptx::{Diagnostic, Position};

/// Largest frame of one function, in bytes; CUDA allows 512 KiB of local memory a thread.
const LARGEST_FRAME: u64 = 512 << 10;

/// Lays parameters out one after the other from `from`; returns the end.
fn lay_out(variables: &[Variable], from: u32, out: &mut Vec<Param>) -> Result<u32, Diagnostic> {
    let mut end = from;
    for variable in variables {
        let bytes = variable.bytes();
        let start = u64::from(end).next_multiple_of(variable.alignment().max(1));
        if start + bytes > LARGEST_FRAME {
            return Err(Diagnostic::new(
                variable.position,
                format!("parameters of more than {LARGEST_FRAME} bytes"),
            ));
        }
        out.push(Param { name: variable.name.clone(), offset: start as u32, bytes: bytes as u32 });
        end = (start + bytes) as u32;
    }
    Ok(end)
}

/// Frame offsets of results and parameters: the same for every function of the same shape, so that indirect calls agree.
fn frame_shape(returns: &[Variable], params: &[Variable]) -> Result<(Shape, u32), Diagnostic> {
    let mut shape = Shape::default();
    let end = lay_out(returns, 0, &mut shape.returns)?;
    let end = lay_out(params, end.next_multiple_of(16), &mut shape.params)?;
    Ok((shape, end))
}

/// Fills in what callers need to know of a function before any body is selected.
fn declare(source: &ast::Function, function: &mut Function) -> Result<(), Diagnostic> {
    function.is_entry = source.is_entry;
    if source.is_entry {
        function.params.clear();
        function.param_bytes = lay_out(&source.params, 0, &mut function.params)?;
    } else {
        let (shape, end) = frame_shape(&source.returns, &source.params)?;
        (function.returns, function.params, function.frame_bytes) = (shape.returns, shape.params, end);
    }
    for (word, numbers) in &source.directives {
        let mut three = [1; 3];
        for (to, from) in three.iter_mut().zip(numbers) {
            *to = *from;
        }
        match word.as_str() {
            "maxntid" => function.max_threads = Some(three),
            "reqntid" => function.required_threads = Some(three),
            "maxnreg" => function.max_registers = numbers.first().copied(),
            _ => {}
        }
    }
    Ok(())
}

/// Selects every function that has a body, in the order of the text.
pub(in super::super) fn select(
    module: &ast::Module,
    program: &mut Program,
    globals: &Globals,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(u32, Selection)> {
    let number = |program: &Program, name: &str| program.functions.iter().position(|f| f.name == name);
    for source in &module.functions {
        if let Some(index) = number(program, &source.name)
            && let Err(diagnostic) = declare(source, &mut program.functions[index])
        {
            diagnostics.push(diagnostic);
        }
    }
    let mut selections = Vec::new();
    let mut bodies: HashMap<&str, Position> = HashMap::new();
    for source in &module.functions {
        let (Some(body), Some(index)) = (&source.body, number(program, &source.name)) else { continue };
        if let Some(first) = bodies.insert(&source.name, source.position) {
            diagnostics.push(Diagnostic::new(
                source.position,
                format!("`{}` is defined already at {first}", source.name),
            ));
            continue;
        }
        let (function, selection) =
            Selector::new(program, globals, index, source).run(source, body, diagnostics);
        program.functions[index] = function;
        selections.push((index as u32, selection));
    }
    selections
}

impl<'p> Selector<'p> {
    fn new(program: &'p mut Program, globals: &'p Globals, index: usize, source: &ast::Function) -> Self {
        let function = program.functions[index].clone();
        Self {
            program,
            globals,
            frame: function.frame_bytes,
            function,
            out: Selection { predicates: 1, ..Selection::default() },
            scopes: Scopes::default(),
            constants: HashMap::new(),
            prototypes: Vec::new(),
            guard: Cond::TRUE,
            location: None,
            position: source.position,
            carry: None,
            register_results: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    fn run(
        mut self,
        source: &ast::Function,
        body: &[Statement],
        diagnostics: &mut Vec<Diagnostic>,
    ) -> (Function, Selection) {
        self.scopes.open(self.frame);
        self.program.texts.push(format!("entry of {}", source.name).into());
        self.formals(source);
        self.statements(body);
        // Falling off the end returns.
        self.guard = Cond::TRUE;
        self.program.texts.push("ret".into());
        self.return_from_function();
        let missing = self.out.labels.iter().filter(|label| label.is_none()).count();
        debug_assert!(
            missing == 0 || !self.diagnostics.is_empty(),
            "labels are created where they are defined"
        );
        self.function.frame_bytes = self.function.frame_bytes.next_multiple_of(16);
        diagnostics.append(&mut self.diagnostics);
        (self.function, self.out)
    }

    fn formals(&mut self, source: &ast::Function) {
        let params: Vec<Param> = self.function.params.clone();
        for (variable, param) in source.params.iter().zip(params) {
            if source.is_entry {
                self.scopes.define(&variable.name, Meaning::KernelParam(param.offset, param.bytes));
            } else if variable.space == Space::Reg {
                let r = self.formal_register(variable);
                let count = 1;
                let address = Address { base: Base::Frame, offset: i64::from(param.offset) };
                let d = [r, R::NONE, R::NONE, R::NONE];
                self.emit(Op::Load {
                    space: MemorySpace::Local,
                    bytes: param.bytes.min(16) as u8,
                    signed: false,
                    count,
                    volatile: false,
                    d,
                    address,
                });
            } else {
                self.scopes.define(&variable.name, Meaning::Frame(param.offset, param.bytes));
            }
        }
        let returns: Vec<Param> = self.function.returns.clone();
        for (variable, param) in source.returns.iter().zip(returns) {
            if variable.space == Space::Reg {
                let r = self.formal_register(variable);
                self.register_results.push((r, param.offset, param.bytes.min(16) as u8));
            } else {
                self.scopes.define(&variable.name, Meaning::Frame(param.offset, param.bytes));
            }
        }
    }

    fn formal_register(&mut self, variable: &Variable) -> R {
        if variable.scalar == Scalar::Pred {
            self.diagnostics.push(Diagnostic::new(
                variable.position,
                "a predicate cannot be passed to or from a function",
            ));
        }
        let r = self.register(width(variable.scalar));
        self.scopes.define(&variable.name, Meaning::Register(r, variable.scalar));
        r
    }

    /// Stores results kept in registers, then returns.
    pub(super) fn return_from_function(&mut self) {
        for (r, offset, bytes) in self.register_results.clone() {
            let address = Address { base: Base::Frame, offset: i64::from(offset) };
            self.emit(Op::Store {
                space: MemorySpace::Local,
                bytes,
                count: 1,
                volatile: false,
                a: [r, R::NONE, R::NONE, R::NONE],
                address,
            });
        }
        self.emit(if self.function.is_entry { Op::Exit } else { Op::Return });
    }

    fn statements(&mut self, statements: &[Statement]) {
        for statement in statements {
            if let Statement::Label(_, name) = statement {
                self.out.labels.push(None);
                self.scopes.define(name, Meaning::Label(self.out.labels.len() as u32 - 1));
            }
            if let Statement::BranchTargets(_, name, targets) | Statement::CallTargets(_, name, targets) =
                statement
            {
                self.scopes.define(name, Meaning::Targets(targets.clone()));
            }
        }
        for statement in statements {
            match statement {
                Statement::Label(position, name) => self.label(*position, name),
                Statement::Variable(variable) => self.declare(variable),
                Statement::Block(inner) => {
                    self.scopes.open(self.frame);
                    self.statements(inner);
                    self.frame = self.scopes.close();
                }
                Statement::Instruction(instruction) => self.guarded(instruction),
                Statement::Location(location) => self.location = Some(*location),
                Statement::BranchTargets(..) | Statement::CallTargets(..) => {}
                Statement::CallPrototype(prototype) => {
                    match frame_shape(&prototype.returns, &prototype.params) {
                        Ok((shape, _)) => {
                            self.prototypes.push(shape);
                            self.scopes.define(
                                &prototype.name,
                                Meaning::Prototype(self.prototypes.len() as u32 - 1),
                            );
                        }
                        Err(diagnostic) => self.diagnostics.push(diagnostic),
                    }
                }
            }
        }
    }

    fn label(&mut self, position: Position, name: &str) {
        let here = self.out.code.len() as u32;
        if let Some(Meaning::Label(number)) = self.meaning(name) {
            let place = &mut self.out.labels[number as usize];
            if place.is_some() {
                self.diagnostics.push(Diagnostic::new(
                    position,
                    format!("label `{name}` is defined twice in this scope"),
                ));
            }
            *place = Some(here);
        }
    }

    fn declare(&mut self, variable: &Variable) {
        let result = match variable.space {
            Space::Reg => {
                self.declare_registers(variable);
                Ok(())
            }
            Space::Local | Space::Param => self.declare_in_frame(variable),
            Space::Shared => {
                let index = add_shared(self.program, variable);
                self.scopes.define(&variable.name, Meaning::Shared(index));
                Ok(())
            }
            Space::Global | Space::Const => add_variable(self.program, variable, self.globals).map(|index| {
                self.scopes.define(&variable.name, Meaning::Variable(index));
            }),
        };
        if let Err(diagnostic) = result {
            self.diagnostics.push(diagnostic);
        }
    }

    fn declare_registers(&mut self, variable: &Variable) {
        if let Some(count) = variable.count {
            self.scopes.define_family(&variable.name, variable.scalar, count);
        } else if variable.vector > 1 {
            let parts = (0..variable.vector)
                .map(|_| (self.register(width(variable.scalar)), variable.scalar))
                .collect();
            self.scopes.define(&variable.name, Meaning::Vector(parts));
        } else if variable.scalar == Scalar::Pred {
            let p = self.predicate();
            self.scopes.define(&variable.name, Meaning::Predicate(p));
        } else {
            let r = self.register(width(variable.scalar));
            self.scopes.define(&variable.name, Meaning::Register(r, variable.scalar));
        }
    }

    /// Takes frame bytes and returns where they start.
    pub(super) fn frame_bytes(&mut self, bytes: u64, alignment: u64) -> Option<u32> {
        let start = u64::from(self.frame).next_multiple_of(alignment.max(1));
        let end = start.checked_add(bytes)?;
        if end > LARGEST_FRAME {
            return None;
        }
        self.frame = end as u32;
        self.function.frame_bytes = self.function.frame_bytes.max(self.frame);
        Some(start as u32)
    }

    fn declare_in_frame(&mut self, variable: &Variable) -> Result<(), Diagnostic> {
        let bytes = variable.bytes();
        let Some(start) = self.frame_bytes(bytes, variable.alignment()) else {
            return Err(Diagnostic::new(
                variable.position,
                format!("more than {LARGEST_FRAME} bytes of local memory in one function"),
            ));
        };
        self.scopes.define(&variable.name, Meaning::Frame(start, bytes as u32));
        Ok(())
    }

    fn guarded(&mut self, instruction: &Instruction) {
        self.position = instruction.position;
        self.program.texts.push(instruction.to_string().into());
        let before = self.out.code.len();
        let result = self.guard_of(instruction).and_then(|guard| {
            self.guard = guard;
            self.instruction(instruction)
        });
        self.guard = Cond::TRUE;
        if let Err(reason) = result {
            self.out.code.truncate(before);
            self.out.origins.truncate(before);
            self.diagnostics.push(Diagnostic::new(
                instruction.position,
                format!("unsupported: `{instruction}`: {reason}"),
            ));
        }
    }

    fn guard_of(&mut self, instruction: &Instruction) -> Result<Cond, String> {
        let Some(guard) = &instruction.guard else { return Ok(Cond::TRUE) };
        match self.meaning(&guard.register) {
            Some(Meaning::Predicate(p)) => Ok(Cond { p, negated: guard.negated }),
            Some(_) | None => Err(format!("the guard `{}` is not a declared predicate", guard.register)),
        }
    }
}
