//! On which platform a case runs: what the run was started for, what the machine has, what the case names.

use super::platform::Platform;
use super::resolution::Resolution;
use crate::config::{KeyPath, RawCase, Scalar, suggestion};

/// The platforms of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platforms {
    /// Somebody asked for this one: nothing runs elsewhere.
    Asked(Platform),
    /// Nobody asked. Every machine has `cpu` and `vcuda`; this one may have GPUs, too.
    Found {
        /// The machine's GPUs.
        gpu: Option<Platform>,
    },
}

impl Platforms {
    /// The platform of a case, or why it does not run.
    ///
    /// A case that names platforms (`RUNS_ON`) runs on the first of them that there is. Any other runs on the platform that was
    /// asked for; where none was, on the machine's GPUs if it `has_golden` values for them, else on `cpu`.
    pub fn of_case(
        &self,
        case: &RawCase,
        has_golden: impl Fn(&Platform) -> bool,
    ) -> Result<Platform, String> {
        let Some(names) = &case.runs_on else {
            return Ok(match self {
                Self::Asked(platform) => platform.clone(),
                Self::Found { gpu: Some(gpu) } if has_golden(gpu) => gpu.clone(),
                Self::Found { .. } => Platform::Cpu,
            });
        };
        // A name that is none is reported where the rest of the file is checked.
        let named = names.iter().filter_map(|name| name.as_str().parse().ok());
        named.into_iter().find(|platform| self.has(platform)).ok_or_else(|| {
            let names: Vec<&str> = names.iter().map(Scalar::as_str).collect();
            match self {
                Self::Asked(asked) => format!("runs on {} (RUNS_ON), not on {asked}", names.join(", ")),
                Self::Found { .. } => {
                    format!("runs on {} (RUNS_ON), which this machine is not", names.join(", "))
                }
            }
        })
    }

    fn has(&self, platform: &Platform) -> bool {
        match self {
            Self::Asked(asked) => asked == platform,
            Self::Found { gpu } => match platform {
                Platform::Cpu | Platform::Vcuda => true,
                Platform::Gpu(_) => gpu.as_ref() == Some(platform),
            },
        }
    }

    /// The platform that a check of a case falls back to where it cannot run.
    pub fn any(&self) -> Platform {
        match self {
            Self::Asked(platform) => platform.clone(),
            Self::Found { gpu } => gpu.clone().unwrap_or(Platform::Cpu),
        }
    }
}

/// Platforms that everybody has and for which a case therefore needs golden values: those it names, else `cpu`.
pub fn platforms_of_everybody(case: &RawCase) -> Vec<Platform> {
    match &case.runs_on {
        None => vec![Platform::Cpu],
        Some(names) => {
            let named = names.iter().filter_map(|name| name.as_str().parse().ok());
            named.filter(|platform| matches!(platform, Platform::Cpu | Platform::Vcuda)).collect()
        }
    }
}

impl Resolution<'_> {
    pub(super) fn check_runs_on(&mut self, case: &RawCase) {
        let Some(names) = &case.runs_on else { return };
        let path = KeyPath::new(&["RUNS_ON"]);
        if names.is_empty() {
            let help = "name a platform, such as vcuda, or leave the key out";
            self.error_at(path.clone(), "is empty: the case would run nowhere", Some(help));
        }
        for (index, name) in names.iter().enumerate() {
            if let Err(message) = name.as_str().parse::<Platform>() {
                let help = suggestion(name.as_str(), ["cpu", "vcuda", "dgx_h100", "h100x1"]);
                self.error_at(path.child(&index.to_string()), message, help.as_deref());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(runs_on: &[&str]) -> RawCase {
        let names = runs_on.iter().map(|name| Scalar((*name).to_owned())).collect();
        RawCase { runs_on: Some(names), ..RawCase::default() }
    }

    fn gpu() -> Platform {
        Platform::Gpu("h100x1".to_owned())
    }

    #[test]
    fn a_case_runs_where_it_says_if_that_is_there() {
        let found = Platforms::Found { gpu: None };
        let on = |platforms: &Platforms, names: &[&str]| platforms.of_case(&case(names), |_| false);
        assert_eq!(on(&found, &["vcuda"]), Ok(Platform::Vcuda));
        assert_eq!(on(&found, &["h100x1", "vcuda"]), Ok(Platform::Vcuda));
        assert_eq!(on(&Platforms::Found { gpu: Some(gpu()) }, &["h100x1", "vcuda"]), Ok(gpu()));
        assert_eq!(
            on(&found, &["h100x1"]),
            Err("runs on h100x1 (RUNS_ON), which this machine is not".to_owned())
        );
        let asked = Platforms::Asked(Platform::Cpu);
        assert_eq!(on(&asked, &["vcuda"]), Err("runs on vcuda (RUNS_ON), not on cpu".to_owned()));
        assert_eq!(on(&Platforms::Asked(Platform::Vcuda), &["cpu", "vcuda"]), Ok(Platform::Vcuda));
    }

    #[test]
    fn other_cases_run_on_gpus_that_they_have_golden_values_for() {
        let found = Platforms::Found { gpu: Some(gpu()) };
        let plain = RawCase::default();
        assert_eq!(found.of_case(&plain, |_| false), Ok(Platform::Cpu));
        assert_eq!(found.of_case(&plain, |platform| *platform == gpu()), Ok(gpu()));
        assert_eq!(Platforms::Asked(Platform::Vcuda).of_case(&plain, |_| false), Ok(Platform::Vcuda));
        assert_eq!(platforms_of_everybody(&plain), [Platform::Cpu]);
        assert_eq!(platforms_of_everybody(&case(&["dgx_h100", "vcuda"])), [Platform::Vcuda]);
    }
}
