//! Syntax to a program that can run, in named passes.
//!
//! 1. `lay_out_variables`: module variables get sizes, bytes, relocations; all names get numbers.
//! 2. `select`: each function's syntax becomes typed operations on virtual registers.
//! 3. `resolve_labels`: labels become indices.
//! 4. `assign_registers`: virtual registers become slots that are reused when their value is dead.
//! 5. `link_functions`: one vector of code with the origin of every instruction beside it.
//! 6. `check_calls`: nothing is called that has no body.
//!
//! Whatever the machine cannot do is reported here, all of it at once, each with its line; a program that was lowered
//! contains no unsupported instruction.

mod assign_registers;
mod check_calls;
mod lay_out_variables;
mod link_functions;
pub mod program;
mod resolve_labels;
mod scope;
mod select;

pub use program::Program;

use crate::ptx::{Diagnostic, Module, Position};

/// Lowers a module.
///
/// # Errors
/// Every unsupported instruction, undefined name and malformed declaration, in the order of the text; never empty.
pub fn lower(module: &Module) -> Result<Program, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    if module.address_size != 64 {
        diagnostics.push(Diagnostic::new(
            Position { line: 1, column: 1 },
            format!(".address_size {} is not supported, only 64", module.address_size),
        ));
    }
    let target = module.target.first().cloned().unwrap_or_default();
    let limits = module.pragmas.iter().filter_map(|text| text.strip_prefix(program::MAX_REGISTERS_PRAGMA));
    let max_registers = limits.filter_map(|limit| limit.trim().parse().ok()).min();
    let files = module.files.clone();
    let mut program = Program { version: module.version, target, files, max_registers, ..Program::default() };
    let globals = lay_out_variables::run(module, &mut program, &mut diagnostics);
    for (index, mut selection) in select::select(module, &mut program, &globals, &mut diagnostics) {
        if !diagnostics.is_empty() {
            continue;
        }
        resolve_labels::run(&mut selection);
        let slots = assign_registers::run(&mut selection);
        link_functions::run(&mut program, index, selection, slots);
    }
    if diagnostics.is_empty() {
        check_calls::run(&program, &mut diagnostics);
    }
    if diagnostics.is_empty() {
        return Ok(program);
    }
    diagnostics.sort_by_key(|diagnostic| diagnostic.position);
    Err(diagnostics)
}
