//! What names mean inside a function: nested scopes of registers, variables, parameters, labels.

use std::collections::HashMap;

use crate::isa::{P, R, Scalar};

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Meaning {
    /// A register.
    Register(R, Scalar),
    /// A vector register's components.
    Vector(Vec<(R, Scalar)>),
    /// A predicate register.
    Predicate(P),
    /// A variable in the frame: offset and size.
    Frame(u32, u32),
    /// A kernel parameter: offset and size.
    KernelParam(u32, u32),
    /// A module, or function-level, global or constant variable.
    Variable(u32),
    /// A shared variable.
    Shared(u32),
    /// A function.
    Function(u32),
    /// A jump label.
    Label(u32),
    /// Labels of a jump table.
    Targets(Vec<String>),
    /// Number of a call prototype.
    Prototype(u32),
}

#[derive(Debug, Default)]
struct Level {
    names: HashMap<String, Meaning>,
    /// `%r<10>`: prefix to type and count; members come to life when first named.
    families: HashMap<String, (Scalar, u32)>,
    frame_mark: u32,
}

/// The scopes that are open, innermost last.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    levels: Vec<Level>,
}

impl Scopes {
    pub(super) fn open(&mut self, frame_mark: u32) {
        self.levels.push(Level { frame_mark, ..Level::default() });
    }

    /// Closes the innermost scope and returns the frame mark given at its opening.
    pub(super) fn close(&mut self) -> u32 {
        self.levels.pop().map_or(0, |level| level.frame_mark)
    }

    pub(super) fn define(&mut self, name: &str, meaning: Meaning) {
        if let Some(level) = self.levels.last_mut() {
            level.names.insert(name.to_owned(), meaning);
        }
    }

    pub(super) fn define_family(&mut self, prefix: &str, scalar: Scalar, count: u32) {
        if let Some(level) = self.levels.last_mut() {
            level.families.insert(prefix.to_owned(), (scalar, count));
        }
    }

    /// The meaning of a name; a member of a family is created by `create`.
    pub(super) fn find(&mut self, name: &str, create: impl FnOnce(Scalar) -> Meaning) -> Option<Meaning> {
        let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        for level in self.levels.iter_mut().rev() {
            if let Some(meaning) = level.names.get(name) {
                return Some(meaning.clone());
            }
            // `%r12` may be member 12 of `%r` or member 2 of `%r1`.
            for split in (name.len() - digits)..name.len() {
                let (prefix, number) = name.split_at(split);
                let is_plain = number.len() == 1 || !number.starts_with('0');
                if let (true, Some(&(scalar, count)), Ok(number)) =
                    (is_plain, level.families.get(prefix), number.parse::<u32>())
                    && number < count
                {
                    let meaning = create(scalar);
                    level.names.insert(name.to_owned(), meaning.clone());
                    return Some(meaning);
                }
            }
        }
        None
    }
}
