//! Which checks are on.

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// Exact bounds, use after free, wrong frees.
    pub memory: bool,
    /// Races, and `cp.async` without its wait.
    pub races: bool,
    /// Memory that nobody wrote.
    pub uninitialised: bool,
    /// Divergent barriers, wrong masks.
    pub synchronisation: bool,
    /// What is never freed.
    pub leaks: bool,
    /// Findings are told, but do not fail the launch.
    pub reports_only: bool,
}

/// The words of a list, for messages.
const EXPECTED: &str =
    "1, 0, or a list of memcheck, racecheck, initcheck, synccheck, leakcheck and reportonly";

impl Checks {
    /// All.
    pub const ALL: Checks = Checks {
        memory: true,
        races: true,
        uninitialised: true,
        synchronisation: true,
        leaks: true,
        reports_only: false,
    };

    /// None.
    pub const NONE: Checks = Checks {
        memory: false,
        races: false,
        uninitialised: false,
        synchronisation: false,
        leaks: false,
        reports_only: false,
    };

    /// Reads `1` (all), `0` or nothing (none), or a list with commas; `reportonly` alone is all without failing.
    ///
    /// # Errors
    /// What was expected and what was got.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut checks = Checks::NONE;
        let list = text.trim();
        if matches!(list, "" | "0") {
            return Ok(checks);
        }
        for word in list.split(',').map(str::trim) {
            match word {
                "1" | "all" => checks = Checks { reports_only: checks.reports_only, ..Checks::ALL },
                "memcheck" => checks.memory = true,
                "racecheck" => checks.races = true,
                "initcheck" => checks.uninitialised = true,
                "synccheck" => checks.synchronisation = true,
                "leakcheck" => checks.leaks = true,
                "reportonly" => checks.reports_only = true,
                _ => return Err(format!("expected {EXPECTED}; got '{text}'")),
            }
        }
        if checks == (Checks { reports_only: true, ..Checks::NONE }) {
            checks = Checks { reports_only: true, ..Checks::ALL };
        }
        Ok(checks)
    }

    /// Whether anything is looked for.
    pub fn is_on(&self) -> bool {
        self.memory || self.races || self.uninitialised || self.synchronisation || self.leaks
    }

    /// Whether launches must be watched.
    pub(crate) fn watches_launches(&self) -> bool {
        self.races || self.uninitialised || self.synchronisation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_turns_checks_on() {
        assert_eq!(Checks::parse("1"), Ok(Checks::ALL));
        assert_eq!(Checks::parse(" 0 "), Ok(Checks::NONE));
        assert_eq!(
            Checks::parse("racecheck, memcheck"),
            Ok(Checks { races: true, memory: true, ..Checks::NONE })
        );
        assert_eq!(Checks::parse("reportonly"), Ok(Checks { reports_only: true, ..Checks::ALL }));
        let refused = Checks::parse("racechek").unwrap_err();
        assert!(refused.contains("racecheck") && refused.ends_with("got 'racechek'"), "{refused}");
        assert!(!Checks::NONE.is_on() && Checks::ALL.is_on());
    }
}
