//! Pass 1: module variables get their sizes, initial bytes and relocations; names get numbers.

use std::collections::HashMap;

use super::program::{ModuleVariable, Program, Relocation, SharedVariable, Target};
use crate::isa::Scalar;
use crate::ptx::Diagnostic;
use crate::ptx::ast::{Initial, Linkage, Module, Number, Space, Variable};

/// Largest variable a module may declare, in bytes.
const LARGEST: u64 = 1 << 32;

/// What a module-level name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    Variable(u32),
    Shared(u32),
    Function(u32),
}

/// Module-level names.
pub(super) type Globals = HashMap<String, Global>;

/// The bits of a literal as a value of the type.
pub(super) fn literal_bits(number: Number, scalar: Scalar) -> u64 {
    match (number, scalar) {
        (Number::Single(bits), Scalar::F64) => f64::from(f32::from_bits(bits)).to_bits(),
        (Number::Single(bits), _) => u64::from(bits),
        (Number::Double(bits), Scalar::F32) => u64::from((f64::from_bits(bits) as f32).to_bits()),
        (Number::Double(bits), Scalar::F16) => u64::from(half::f16::from_f64(f64::from_bits(bits)).to_bits()),
        (Number::Double(bits), Scalar::BF16) => {
            u64::from(half::bf16::from_f64(f64::from_bits(bits)).to_bits())
        }
        (Number::Double(bits), _) => bits,
        (Number::Int(value), Scalar::F32) => u64::from((value as f32).to_bits()),
        (Number::Int(value), Scalar::F64) => (value as f64).to_bits(),
        (Number::Int(value), _) => value as u64,
    }
}

struct Writer<'g> {
    globals: &'g Globals,
    scalar: Scalar,
    bytes: Vec<u8>,
    relocations: Vec<Relocation>,
}

impl Writer<'_> {
    /// Writes values from `at`, an inner list filling one inner array of `strides`.
    fn list(&mut self, items: &[Initial], at: u64, strides: &[u64]) -> Result<(), String> {
        let stride = strides.first().copied().unwrap_or(u64::from(self.scalar.bytes()));
        let element = u64::from(self.scalar.bytes());
        let mut place = at;
        for item in items {
            match item {
                Initial::List(inner) => {
                    self.list(inner, place, strides.get(1..).unwrap_or(&[]))?;
                    place += stride;
                }
                Initial::Number(number) => {
                    let bits = literal_bits(*number, self.scalar).to_le_bytes();
                    self.put(place, &bits[..(element as usize).min(8)])?;
                    place += element;
                }
                Initial::Symbol { name, addend, .. } => {
                    let target = match self.globals.get(name) {
                        Some(Global::Variable(index)) => Target::Variable(*index),
                        Some(Global::Function(index)) => Target::Function(*index),
                        Some(Global::Shared(index)) => Target::Shared(*index),
                        None => {
                            return Err(format!(
                                "`{name}` in an initial value is not defined in this module"
                            ));
                        }
                    };
                    self.put(place, &vec![0; element as usize])?;
                    self.relocations.push(Relocation {
                        offset: place,
                        bytes: self.scalar.bytes(),
                        target,
                        addend: *addend,
                    });
                    place += element;
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), String> {
        let end = at as usize + bytes.len();
        if end as u64 > LARGEST {
            return Err("more initial values than a variable can hold".to_owned());
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at as usize..end].copy_from_slice(bytes);
        Ok(())
    }
}

/// Size of the variable: `[]` is as long as its initial values.
fn size(variable: &Variable) -> u64 {
    match variable.dimensions.first() {
        Some(None) if !variable.initial.is_empty() => {
            variable.element_bytes() * variable.initial.len() as u64
        }
        _ => variable.bytes(),
    }
}

fn initialise(variable: &Variable, globals: &Globals) -> Result<ModuleVariable, String> {
    let bytes = size(variable);
    if bytes > LARGEST {
        return Err(format!("`{}` has {bytes} bytes; at most {LARGEST} are supported", variable.name));
    }
    let mut strides = Vec::new();
    for depth in 1..=variable.dimensions.len() {
        let inner = variable.dimensions[depth..]
            .iter()
            .fold(variable.element_bytes(), |n, d| n.saturating_mul(d.unwrap_or(0)));
        strides.push(inner);
    }
    let mut writer = Writer { globals, scalar: variable.scalar, bytes: Vec::new(), relocations: Vec::new() };
    writer.list(&variable.initial, 0, &strides)?;
    if writer.bytes.len() as u64 > bytes {
        return Err(format!(
            "`{}` has {bytes} bytes but initial values for {}",
            variable.name,
            writer.bytes.len()
        ));
    }
    Ok(ModuleVariable {
        name: variable.name.clone(),
        space: variable.space,
        bytes,
        alignment: variable.alignment(),
        initial: writer.bytes,
        relocations: writer.relocations,
    })
}

/// Adds a shared variable to the program and returns its number. An `.extern` array whose size is written is as long as
/// that whatever the launch says (Taichi writes its block-shared arrays so); any other `.extern` lies in the launch's
/// dynamic bytes.
pub(super) fn add_shared(program: &mut Program, variable: &Variable) -> u32 {
    let has_size = !variable.dimensions.is_empty() && variable.bytes() > 0;
    let is_dynamic =
        variable.dimensions.first() == Some(&None) || variable.linkage == Linkage::Extern && !has_size;
    program.shared.push(SharedVariable {
        name: variable.name.clone(),
        bytes: if is_dynamic { 0 } else { variable.bytes().min(LARGEST) },
        alignment: variable.alignment(),
        is_dynamic,
    });
    program.shared.len() as u32 - 1
}

/// Lays out a module-level or function-level global or constant variable.
pub(super) fn add_variable(
    program: &mut Program,
    variable: &Variable,
    globals: &Globals,
) -> Result<u32, Diagnostic> {
    let laid_out =
        initialise(variable, globals).map_err(|message| Diagnostic::new(variable.position, message))?;
    program.variables.push(laid_out);
    Ok(program.variables.len() as u32 - 1)
}

/// Numbers all module-level names, then lays the variables out.
pub(super) fn run(module: &Module, program: &mut Program, diagnostics: &mut Vec<Diagnostic>) -> Globals {
    let mut globals = Globals::new();
    let mut kept: Vec<&Variable> = Vec::new();
    for variable in &module.variables {
        let global = match variable.space {
            Space::Shared => Global::Shared(add_shared(program, variable)),
            Space::Global | Space::Const => {
                // A later definition replaces an `.extern` declaration of the same name.
                if let Some(known) = kept.iter().position(|k| k.name == variable.name) {
                    if kept[known].linkage == Linkage::Extern {
                        kept[known] = variable;
                    }
                    continue;
                }
                kept.push(variable);
                Global::Variable(kept.len() as u32 - 1)
            }
            Space::Reg | Space::Local | Space::Param => {
                diagnostics.push(Diagnostic::new(
                    variable.position,
                    "only .global, .const and .shared variables can stand outside a function",
                ));
                continue;
            }
        };
        globals.insert(variable.name.clone(), global);
    }
    for function in &module.functions {
        let known = program.functions.iter().position(|known| known.name == function.name);
        let index = known.unwrap_or_else(|| {
            program
                .functions
                .push(super::program::Function { name: function.name.clone(), ..Default::default() });
            program.functions.len() - 1
        });
        globals.insert(function.name.clone(), Global::Function(index as u32));
    }
    for variable in kept {
        if let Err(diagnostic) = add_variable(program, variable, &globals) {
            diagnostics.push(diagnostic);
            program.variables.push(ModuleVariable {
                name: variable.name.clone(),
                space: variable.space,
                bytes: 0,
                alignment: 1,
                initial: Vec::new(),
                relocations: Vec::new(),
            });
        }
    }
    globals
}
