//! Pass 6: every function that is called has a body, or is provided by the machine.

use super::program::Program;
use crate::ptx::{Diagnostic, Position};

/// Reports calls of functions that are declared only.
pub(super) fn run(program: &Program, diagnostics: &mut Vec<Diagnostic>) {
    for caller in &program.functions {
        let mut reported: Vec<u32> = Vec::new();
        for &callee in &caller.calls {
            let function = &program.functions[callee as usize];
            if function.end == function.start && !reported.contains(&callee) {
                reported.push(callee);
                let line = program.origins.get(caller.start as usize).map_or(1, |origin| origin.ptx_line);
                let position = Position { line, column: 1 };
                diagnostics.push(Diagnostic::new(
                    position,
                    format!(
                        "`{}` calls `{}`, which has no body here: link the module that defines it",
                        caller.name, function.name
                    ),
                ));
            }
        }
    }
}
