//! The modifiers of one instruction, taken one by one; what nobody takes is unsupported.

use crate::isa::Scalar;
use crate::isa::arith::Rounding;

#[derive(Clone)]
pub(super) struct Words<'w> {
    words: Vec<(&'w str, bool)>,
}

impl<'w> Words<'w> {
    pub(super) fn new(words: impl Iterator<Item = &'w str>) -> Self {
        Self { words: words.map(|word| (word, false)).collect() }
    }

    /// Takes the word if it is there.
    pub(super) fn take(&mut self, wanted: &str) -> bool {
        let found = self.words.iter_mut().find(|(word, used)| !used && *word == wanted);
        found.map(|(_, used)| *used = true).is_some()
    }

    /// Takes the first of the words that is there.
    pub(super) fn choose<T: Copy>(&mut self, choices: &[(&str, T)]) -> Option<T> {
        choices.iter().find(|(word, _)| self.take(word)).map(|&(_, value)| value)
    }

    /// As `choose`, or an error that names what was expected.
    pub(super) fn need<T: Copy>(&mut self, choices: &[(&str, T)]) -> Result<T, String> {
        self.choose(choices).ok_or_else(|| {
            let names: Vec<String> = choices.iter().map(|(word, _)| format!(".{word}")).collect();
            format!("one of {} is needed", names.join(", "))
        })
    }

    /// Takes the next word that is a type.
    pub(super) fn scalar(&mut self) -> Result<Scalar, String> {
        for (word, used) in &mut self.words {
            if let (false, Some(scalar)) = (*used, Scalar::parse(word)) {
                *used = true;
                return Ok(scalar);
            }
        }
        Err("a type is missing".to_owned())
    }

    /// Takes a rounding of float results.
    pub(super) fn rounding(&mut self) -> Option<Rounding> {
        self.choose(&[
            ("rn", Rounding::Nearest),
            ("rz", Rounding::Zero),
            ("rm", Rounding::Down),
            ("rp", Rounding::Up),
            ("rna", Rounding::NearestAway),
        ])
    }

    /// Takes a rounding to integers.
    pub(super) fn integer_rounding(&mut self) -> Option<Rounding> {
        self.choose(&[
            ("rni", Rounding::Nearest),
            ("rzi", Rounding::Zero),
            ("rmi", Rounding::Down),
            ("rpi", Rounding::Up),
        ])
    }

    /// Takes words that mean nothing to this machine.
    pub(super) fn ignore(&mut self, words: &[&str]) {
        for word in words {
            self.take(word);
        }
    }

    /// Fails if a word was not taken.
    pub(super) fn finish(&self) -> Result<(), String> {
        match self.words.iter().find(|(_, used)| !used) {
            Some((word, _)) => Err(format!(".{word} is not supported in this combination")),
            None => Ok(()),
        }
    }
}
