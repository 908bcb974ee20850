//! PTX text to a tree: a lexer and a recursive-descent parser for PTX ISA up to 8.8.
//!
//! The parser knows the grammar, not the instructions: an instruction is a word, its dotted modifiers and its operands;
//! [`crate::isa`] says which of them exist and [`crate::lower`] what they mean. Debug sections and pragmas are skipped.
//! After an error the parser goes on at the next statement, so that one run tells several things; it never panics and its
//! recursion is bounded, whatever the text.

pub mod ast;
mod constants;
mod diagnostic;
mod module;
mod operands;
mod parser;
mod print;
mod statements;
mod token;
mod variables;

pub use ast::Module;
pub use diagnostic::{Diagnostic, Position};

/// Parses a module.
///
/// # Errors
/// Everything that is wrong with the text, in the order of the text; never empty.
pub fn parse(text: &str) -> Result<Module, Vec<Diagnostic>> {
    let mut parser = parser::Parser::new(text);
    let module = parser.module();
    if parser.diagnostics.is_empty() {
        return Ok(module);
    }
    let mut diagnostics = parser.diagnostics;
    diagnostics.sort_by_key(|diagnostic| diagnostic.position);
    Err(diagnostics)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ast::{Initial, Operand, Statement};
    use super::*;

    const SAXPY: &str = include_str!("../../tests/ptx/saxpy.ptx");
    const FEATURES: &str = include_str!("../../tests/ptx/features.ptx");

    #[test]
    fn nvrtc_output_is_read_whole() {
        let module = parse(SAXPY).expect("saxpy");
        assert_eq!((module.version, module.target[0].as_str()), ((8, 8), "sm_80"));
        let saxpy = &module.functions[0];
        assert!(saxpy.is_entry && saxpy.params.len() == 4);
        let module = parse(FEATURES).expect("features");
        assert!(
            module
                .variables
                .iter()
                .any(|v| v.name == "names" && matches!(&v.initial[0], Initial::Symbol { generic: true, .. }))
        );
        assert!(module.functions.iter().any(|f| f.name == "calls" && f.params.len() == 3));
    }

    #[test]
    fn a_printed_instruction_is_read_back_the_same() {
        let module = parse(FEATURES).expect("features");
        let mut seen = 0;
        for function in &module.functions {
            let mut stack: Vec<&Statement> = function.body.iter().flatten().collect();
            while let Some(statement) = stack.pop() {
                if let Statement::Block(inner) = statement {
                    stack.extend(inner);
                } else if let Statement::Instruction(instruction) = statement {
                    let text = format!(".version 8.0\n.func f () {{\n{instruction};\n}}");
                    let again = parse(&text).expect(&text);
                    let Some([Statement::Instruction(back)]) = again.functions[0].body.as_deref() else {
                        panic!("{text}")
                    };
                    assert_eq!(
                        (&back.opcode, &back.modifiers, &back.operands),
                        (&instruction.opcode, &instruction.modifiers, &instruction.operands)
                    );
                    seen += 1;
                }
            }
        }
        assert!(seen > 200, "{seen}");
    }

    #[test]
    fn pragmas_and_aliases_of_a_module_are_read() {
        let text = ".version 9.0\n.target sm_80\n.address_size 64\n.pragma \"one\", \"two\";\n.alias f, g;\n";
        assert_eq!(parse(text).unwrap().pragmas, ["one", "two"]);
        assert!(parse(".version 9.9\n.target sm_80\n").is_err());
    }

    #[test]
    fn several_errors_are_told_with_their_places() {
        let text = ".version 8.8\n.target sm_80\n.visible .entry k(\n)\n{\n\tadd.s32 %r1, %r2 %r3;\n\tmov.u32 %r1, ];\n\tret;\n}\n";
        let diagnostics = parse(text).unwrap_err();
        let places: Vec<_> = diagnostics.iter().map(|d| (d.position.line, d.position.column)).collect();
        assert_eq!(places, [(6, 19), (7, 15)], "{diagnostics:?}");
        assert_eq!(diagnostics[0].to_string(), "line 6, column 19: expected `,` or `;`, got `%r3`");
    }

    #[test]
    fn call_groups_vectors_and_pairs() {
        let text = ".version 8.0\n.func f () {\n call.uni (r0), g, (p0, p1), proto;\n shfl.sync.idx.b32 %r1|%p1, %r2, 3, 31, -1;\n ld.v2.f32 {%f1, _}, [%rd1+-8];\n}";
        let module = parse(text).unwrap();
        let body = module.functions[0].body.as_ref().unwrap();
        let operands: Vec<_> = body
            .iter()
            .filter_map(|s| if let Statement::Instruction(i) = s { Some(i.operands.clone()) } else { None })
            .collect();
        assert!(matches!(&operands[0][0], Operand::Group(g) if g.len() == 1));
        assert!(matches!(&operands[1][0], Operand::Pair(..)));
        assert_eq!(operands[2][1], Operand::Address(Some("%rd1".into()), -8));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[ -~\n]{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn broken_ptx_is_answered(at in 0_usize..4000, length in 0_usize..60, with in "[ -~]{0,8}") {
            let mut text = FEATURES.to_owned();
            let start = at.min(text.len());
            text.replace_range(start..(start + length).min(text.len()), &with);
            let _ = parse(&text);
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        for pattern in ["{", "(", "-", "["] {
            let text = format!(".version 8.0\n.func f () {{ mov.b32 a, {} }}", pattern.repeat(100_000));
            assert!(parse(&text).is_err());
        }
        assert!(parse(&format!(".version 8.0\n.func f () {}", "{".repeat(100_000))).is_err());
    }
}
