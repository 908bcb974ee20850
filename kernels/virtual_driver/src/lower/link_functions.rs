//! Pass 5: all functions' code into one vector; jump targets become absolute.

use super::program::Program;
use super::select::Selection;

/// Appends a function's code to the program.
pub(super) fn run(program: &mut Program, index: u32, mut selection: Selection, slots: u32) {
    let start = program.code.len() as u32;
    for inst in &mut selection.code {
        inst.op.targets_mut().iter_mut().for_each(|target| *target += start);
    }
    program.code.append(&mut selection.code);
    program.origins.append(&mut selection.origins);
    let end = program.code.len() as u32;
    let function = &mut program.functions[index as usize];
    (function.start, function.end) = (start, end);
    (function.slots, function.predicates) = (slots, selection.predicates);
    function.constants = selection.constants;
}
