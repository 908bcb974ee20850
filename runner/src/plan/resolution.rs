//! A plan in the making: flags are taken by name, and every taken value leaves a [`Setting`] with its source.
//! Mistakes and obstacles are collected, so that one listing shows them all.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::config::flags::{self, FlagValue, Support};
use crate::config::{ConfigError, Diagnostic, Environment, KeyPath, Part, RawCase};

use super::arguments::{self, Argument, ArgumentValue};
use super::case_plan::{IgnoredFlag, Origin, Setting};
use super::inputs::PlanInputs;
use super::performance::PerformancePlan;

/// Counts beyond this are mistakes; below it sums and products of a few fit in 64 bits.
const LARGEST_COUNT: i64 = 1 << 31;

/// A mistake in the file.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) path: KeyPath,
    pub(super) part: Part,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// The original accepts it.
    pub(super) only_here: bool,
}

/// Why a case does not run.
struct Obstacle {
    reason: String,
    /// It would not run anywhere: the file asks for what this version lacks. Else something is not there.
    everywhere: bool,
}

/// See the head of this file.
pub(super) struct Resolution<'a> {
    pub(super) inputs: &'a PlanInputs<'a>,
    pub(super) case: &'a RawCase,
    arguments: Vec<Argument<'a>>,
    problems: Vec<Problem>,
    obstacles: Vec<Obstacle>,
    pub(super) settings: Vec<Setting>,
    pub(super) ignored: Vec<IgnoredFlag>,
    /// What a performance case adds.
    pub(super) performance: Option<PerformancePlan>,
    /// Random weights stand for a missing checkpoint.
    pub(super) replaced: bool,
}

/// A path flag.
pub(super) enum PathArgument {
    Absent,
    /// Names a variable that has no value here.
    Unset(&'static str),
    Given {
        path: PathBuf,
        /// The variable it was built from.
        variable: Option<&'static str>,
    },
}

impl<'a> Resolution<'a> {
    pub(super) fn new(inputs: &'a PlanInputs<'a>, case: &'a RawCase) -> Self {
        let mut problems = Vec::new();
        let platform = inputs.platform.to_string();
        let arguments = arguments::merge(case, &platform, inputs.environment, &mut problems);
        let (settings, ignored) = (Vec::with_capacity(64), Vec::with_capacity(64));
        let (obstacles, performance, replaced) = (Vec::new(), None, false);
        let mut this =
            Self { inputs, case, arguments, problems, obstacles, settings, ignored, performance, replaced };
        this.note_unused_flags();
        this
    }

    /// Lists flags that change nothing; flags of a later version with another value than their default are obstacles,
    /// those with one reason told together.
    fn note_unused_flags(&mut self) {
        let mut lacking: Vec<(&str, Vec<&str>)> = Vec::new();
        for argument in &self.arguments {
            let flag = argument.flag;
            let reason = match flag.support {
                Support::Used => match argument.value {
                    ArgumentValue::Dropped => "empty: dropped, as in the original",
                    ArgumentValue::Known(_)
                    | ArgumentValue::Unset(_)
                    | ArgumentValue::Broken
                    | ArgumentValue::Removed => continue,
                },
                Support::Irrelevant(reason) | Support::Removed(reason) => reason,
                Support::NotYet(reason) => {
                    let given = argument.known();
                    if given.is_some() && given != default_of(flag).as_ref() {
                        match lacking.iter_mut().find(|(other, _)| *other == reason) {
                            Some((_, flags)) => flags.push(flag.name),
                            None => lacking.push((reason, vec![flag.name])),
                        }
                        continue;
                    }
                    "its default"
                }
            };
            let value = argument.spelling.to_owned();
            self.ignored.push(IgnoredFlag { flag: flag.name.into(), value, reason: reason.into() });
        }
        // Of names alone nothing is known: they say the least and come last.
        lacking.sort_by_key(|(reason, _)| *reason == flags::NO_COUNTERPART);
        for (reason, flags) in lacking {
            self.obstacle(format!("{}: {reason}", flags.join(", ")));
        }
    }

    /// A mistake at the value of an entry.
    pub(super) fn error_at(&mut self, path: KeyPath, message: impl Into<String>, help: Option<&str>) {
        let help = help.map(str::to_owned);
        let (part, message) = (Part::Value, message.into());
        self.problems.push(Problem { path, part, message, help, only_here: false });
    }

    /// Something in the value of an entry that the original accepts and that is a mistake here. Nobody needs to mend it in a
    /// case of the original's that this version lacks the features for.
    pub(super) fn objection(&mut self, path: KeyPath, message: impl Into<String>, help: Option<&str>) {
        let help = help.map(str::to_owned);
        let (part, message) = (Part::Value, message.into());
        self.problems.push(Problem { path, part, message, help, only_here: true });
    }

    /// A mistake in the name of an entry.
    pub(super) fn error_at_key(&mut self, path: KeyPath, message: impl Into<String>, help: Option<&str>) {
        let help = help.map(str::to_owned);
        let (part, message) = (Part::Key, message.into());
        self.problems.push(Problem { path, part, message, help, only_here: false });
    }

    /// A mistake in a flag's value, or in its absence.
    pub(super) fn error(&mut self, flag: &str, message: impl Into<String>, help: Option<&str>) {
        self.error_at(self.path_of(flag), message, help);
    }

    /// A reason not to run, told once: this version lacks what the file asks for.
    pub(super) fn obstacle(&mut self, reason: impl Into<String>) {
        self.hinder(Obstacle { reason: reason.into(), everywhere: true });
    }

    /// A reason not to run here, told once: something is not there.
    pub(super) fn absence(&mut self, reason: impl Into<String>) {
        self.hinder(Obstacle { reason: reason.into(), everywhere: false });
    }

    fn hinder(&mut self, obstacle: Obstacle) {
        if !self.obstacles.iter().any(|earlier| earlier.reason == obstacle.reason) {
            self.obstacles.push(obstacle);
        }
    }

    /// A flag that turned out to change nothing.
    pub(super) fn ignore(&mut self, flag: &'static str, reason: impl Into<Cow<'static, str>>) {
        if let Some(argument) = self.argument(flag) {
            let value = argument.spelling.to_owned();
            self.ignored.push(IgnoredFlag { flag: flag.into(), value, reason: reason.into() });
        }
    }

    /// What was found wrong, or why not to run; `Ok` if neither.
    pub(super) fn verdict(&self) -> Result<(), Rejection> {
        let diagnostics = self.diagnostics();
        if !diagnostics.is_empty() {
            return Err(Rejection::Invalid(ConfigError { diagnostics }));
        }
        // What somebody can bring comes last.
        let mut obstacles: Vec<&Obstacle> = self.obstacles.iter().collect();
        obstacles.sort_by_key(|obstacle| !obstacle.everywhere);
        let reasons: Vec<&str> = obstacles.iter().map(|obstacle| obstacle.reason.as_str()).collect();
        if reasons.is_empty() { Ok(()) } else { Err(Rejection::Skip(reasons.join("; "))) }
    }

    /// All mistakes in the order of the file. What only Goldlap minds counts where the case could run at all.
    fn diagnostics(&self) -> Vec<Diagnostic> {
        let file = self.inputs.case;
        let runs_nowhere = self.obstacles.iter().any(|obstacle| obstacle.everywhere);
        let told = self.problems.iter().filter(|problem| !(problem.only_here && runs_nowhere));
        let of_problem = |p: &Problem| {
            Diagnostic::of_key(&file.path, &file.text, &p.path, p.part, &p.message, p.help.clone())
        };
        let mut diagnostics: Vec<Diagnostic> = told.map(of_problem).collect();
        if !runs_nowhere {
            diagnostics.extend(file.repeated_flag());
        }
        diagnostics.sort_by_key(|d| d.location.map(|at| (at.line, at.column)));
        diagnostics
    }

    fn argument(&self, name: &str) -> Option<&Argument<'a>> {
        self.arguments.iter().find(|argument| argument.flag.name == name)
    }

    /// Path of a flag: where it is given, or where it would be.
    pub(super) fn path_of(&self, flag: &str) -> KeyPath {
        self.argument(flag).map_or_else(|| KeyPath::new(&["MODEL_ARGS", flag]), Argument::path)
    }

    /// Whether the case gives the flag.
    pub(super) fn is_given(&self, flag: &str) -> bool {
        self.argument(flag).is_some_and(|argument| !matches!(argument.value, ArgumentValue::Dropped))
    }

    /// The flag's value, or its default, noted as a setting.
    fn take(&mut self, name: &'static str) -> Option<FlagValue> {
        let flag = flags::find(name).unwrap_or_else(|| unreachable!("{name} is not in the flag table"));
        debug_assert_eq!(flag.support, Support::Used, "{name}");
        let (value, origin) = match self.argument(name) {
            Some(argument) if argument.known().is_some() => (argument.known()?.clone(), argument.origin()),
            Some(_) | None => (default_of(flag)?, Origin::Default),
        };
        self.note(name, value.to_string(), origin, flag.meaning);
        Some(value)
    }

    /// Notes a setting, once.
    pub(super) fn note(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
        origin: Origin,
        meaning: &'static str,
    ) {
        let name = name.into();
        if !self.settings.iter().any(|setting| setting.name == name) {
            self.settings.push(Setting { name, value: value.into(), origin, meaning });
        }
    }

    pub(super) fn switch(&mut self, name: &'static str) -> bool {
        self.take(name).is_some()
    }

    pub(super) fn integer(&mut self, name: &'static str) -> Option<i64> {
        let given = self.take(name)?;
        let FlagValue::Integer(value) = given else { unreachable!("{name} is an integer flag, got {given}") };
        Some(value)
    }

    /// An integer that counts something.
    pub(super) fn count(&mut self, name: &'static str) -> Option<usize> {
        let value = self.integer(name)?;
        if value > LARGEST_COUNT {
            self.error(name, format!("expected at most {LARGEST_COUNT}, got {value}"), None);
            return None;
        }
        usize::try_from(value).ok()
    }

    /// A number flag, which always has a default.
    pub(super) fn number(&mut self, name: &'static str) -> f64 {
        match self.take(name) {
            Some(FlagValue::Number(value)) => value,
            other => unreachable!("{name} is a number flag with a default, got {other:?}"),
        }
    }

    /// A number flag that must lie in a range, given in words for the error.
    pub(super) fn number_in(
        &mut self,
        name: &'static str,
        accept: impl Fn(f64) -> bool,
        range: &str,
    ) -> Option<f64> {
        let value = self.number(name);
        if accept(value) {
            return Some(value);
        }
        self.error(name, format!("expected {range}, got {value}"), None);
        None
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        let given = self.take(name)?;
        let FlagValue::Text(value) = given else { unreachable!("{name} is a text flag, got {given}") };
        Some(value)
    }

    pub(super) fn words(&mut self, name: &'static str) -> Option<Vec<String>> {
        let given = self.take(name)?;
        let FlagValue::Words(value) = given else { unreachable!("{name} is a list flag, got {given}") };
        Some(value)
    }

    pub(super) fn range(&mut self, name: &'static str) -> (i64, i64) {
        match self.take(name) {
            Some(FlagValue::Range(low, high)) => (low, high),
            other => unreachable!("{name} is a range flag with a default, got {other:?}"),
        }
    }

    /// A path flag; relative paths start at the case's folder.
    pub(super) fn path(&mut self, name: &'static str) -> PathArgument {
        if let Some(Argument { value: ArgumentValue::Unset(variable), .. }) = self.argument(name) {
            return PathArgument::Unset(variable);
        }
        let variable =
            self.argument(name).and_then(|argument| Environment::first_variable(argument.spelling));
        match self.text(name) {
            Some(text) => PathArgument::Given { path: self.inputs.folder.join(text), variable },
            None => PathArgument::Absent,
        }
    }
}

/// Why a case does not run.
pub(super) enum Rejection {
    Skip(String),
    Invalid(ConfigError),
}

fn default_of(flag: &flags::FlagSpec) -> Option<FlagValue> {
    // A test of the table proves that every default parses.
    flag.default.and_then(|text| flag.value.parse_text(text).ok().flatten())
}
