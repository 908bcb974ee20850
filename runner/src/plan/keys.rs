//! Keys beside MODEL_ARGS and METRICS: test type, launcher, repeats, limits, environment.

use std::time::Duration;

use super::case_plan::{IgnoredFlag, KnownFailure, Origin};
use super::platform::Platform;
use super::resolution::Resolution;
use crate::config::{KeyPath, RawCase, Scalar, suggestion};

const DEFAULT_TIME_LIMIT_S: f64 = 600.0;
const LONGEST_TIME_LIMIT_S: f64 = 7.0 * 86_400.0;
const MOST_REPEATS: usize = 1000;
const TEST_TYPES: [&str; 6] =
    ["frozen-start", "regular", "ckpt-resume", "frozen-resume", "checkpoint-consistency", "release"];

impl Resolution<'_> {
    /// Checks every key that decides nothing, or only whether the case runs at all.
    pub(super) fn check_keys(&mut self, case: &RawCase) {
        if case.mode.is_none() {
            self.error_at(KeyPath::new(&["MODE"]), "the key is missing", Some("write MODE: inference"));
        }
        self.check_word("MODE", case.mode.as_ref(), &["inference", "pretraining", "rl"]);
        self.check_word("LAUNCHER", case.launcher.as_ref(), &["torchrun", "ft_launcher"]);
        self.check_word("TEST_TYPE", case.test_type.as_ref(), &TEST_TYPES);
        self.check_word("TEST_EVALUATION", case.test_evaluation.as_ref(), &["pass", "xpass"]);
        if let Some(kind) = case.test_type.as_ref().map(Scalar::as_str)
            && kind != "frozen-start"
            && TEST_TYPES.contains(&kind)
        {
            let message = format!("{kind} compares nothing in an inference case");
            self.objection(KeyPath::new(&["TEST_TYPE"]), message, Some("write frozen-start"));
        }
        if case.test_evaluation.as_ref().is_some_and(|word| word.as_str() == "xpass") {
            let help = "write KNOWN_FAILURE: {reason: ..., issue: ...}";
            self.objection(KeyPath::new(&["TEST_EVALUATION"]), "xpass lets a failing case pass", Some(help));
        }
        for (key, script) in [("BEFORE_SCRIPT", &case.before_script), ("AFTER_SCRIPT", &case.after_script)] {
            if script.as_ref().is_some_and(|text| !text.as_str().trim().is_empty()) {
                self.obstacle(format!("{key}: shell scripts are not run"));
            }
        }
        if case.model_args.is_none() {
            self.error_at(KeyPath::new(&["MODEL_ARGS"]), "the key is missing", None);
        }
        self.check_platforms(case);
        self.check_runs_on(case);
        self.check_environment(case);
        if case.launcher.is_some() {
            let value = case.launcher.as_ref().map_or_else(String::new, |launcher| launcher.0.clone());
            let reason = "Goldlap starts its replicas itself".into();
            self.ignored.push(IgnoredFlag { flag: "LAUNCHER".into(), value, reason });
        }
    }

    fn check_word(&mut self, key: &str, value: Option<&Scalar>, known: &[&str]) {
        let Some(word) = value.map(Scalar::as_str).filter(|word| !known.contains(word)) else { return };
        let help = suggestion(word, known.iter().copied());
        let message = format!("expected one of {}, got \"{word}\"", known.join(", "));
        self.error_at(KeyPath::new(&[key]), message, help.as_deref());
    }

    fn check_platforms(&mut self, case: &RawCase) {
        for (name, _) in case.platforms.iter().flat_map(|platforms| platforms.iter()) {
            if let Err(message) = name.parse::<Platform>() {
                let help = suggestion(name, ["cpu", "vcuda", "dgx_h100", "h100x1"]);
                self.error_at_key(KeyPath::new(&["PLATFORMS", name]), message, help.as_deref());
            }
        }
    }

    fn check_environment(&mut self, case: &RawCase) {
        for (name, value) in case.env_vars.iter().flat_map(|variables| variables.iter()) {
            let value = value.as_ref().map_or("", Scalar::as_str);
            let path = KeyPath::new(&["ENV_VARS", name]);
            match name {
                "N_REPEAT" => continue,
                "SKIP_PYTEST" | "ENABLE_LIGHTWEIGHT_MODE" if matches!(value, "1" | "true") => {
                    self.objection(
                        path,
                        "switches all comparisons off: a case that checks nothing cannot pass",
                        None,
                    );
                }
                _ if name.starts_with("GOLDLAP_") => {
                    let help = "set it in the environment of the test run";
                    self.error_at(path, "a case does not steer the runner", Some(help));
                }
                _ => {
                    let reason =
                        "an environment variable of Megatron's processes; nothing here reads it".into();
                    let (flag, value) = (format!("ENV_VARS.{name}").into(), value.to_owned());
                    self.ignored.push(IgnoredFlag { flag, value, reason });
                }
            }
        }
    }

    /// A whole number of at least 1 under a key.
    pub(super) fn positive(&mut self, path: &KeyPath, value: &Scalar) -> Option<usize> {
        match value.as_str().parse::<u32>() {
            Ok(number) if number >= 1 => Some(number as usize),
            _ => {
                let message = format!("expected an integer of at least 1, got \"{}\"", value.as_str());
                self.error_at(path.clone(), message, None);
                None
            }
        }
    }

    /// The original repeats inside one process and starts each repeat with a fresh engine; a run of its own is that here.
    fn repeated_inside(&mut self, num_repeats: usize) -> Option<(usize, usize)> {
        const FLAG: &str = "--inference-repeat-n";
        let inside = self.count(FLAG)?;
        let all = num_repeats.saturating_mul(inside);
        if inside == 0 || all > MOST_REPEATS {
            let message = format!(
                "expected at least 1, and at most {MOST_REPEATS} runs together with N_REPEAT, got {inside} times {num_repeats}"
            );
            self.error(FLAG, message, None);
            return None;
        }
        Some((all, inside))
    }

    /// N_REPEAT: the platform's, else the case's, else that of ENV_VARS, else 1; times `--inference-repeat-n`, which is given
    /// too: the original writes one output for those.
    pub(super) fn num_repeats(&mut self) -> Option<(u32, usize)> {
        let case = self.case;
        let platform = self.inputs.platform.to_string();
        let special =
            case.platforms.as_ref().and_then(|all| all.get(&platform)).and_then(|o| o.n_repeat.as_ref());
        let variable = case.env_vars.as_ref().and_then(|all| all.get("N_REPEAT")).and_then(Option::as_ref);
        let sources = [
            (KeyPath::new(&["PLATFORMS", &platform, "N_REPEAT"]), special, Origin::Platform),
            (KeyPath::new(&["N_REPEAT"]), case.n_repeat.as_ref(), Origin::Case),
            (KeyPath::new(&["ENV_VARS", "N_REPEAT"]), variable, Origin::Case),
        ];
        let (mut chosen, mut origin) = (1, Origin::Default);
        for (path, value, source) in sources.into_iter().rev() {
            let Some(value) = value else { continue };
            chosen = self.positive(&path, value)?;
            origin = source;
            if chosen > MOST_REPEATS {
                self.error_at(path, format!("expected at most {MOST_REPEATS}, got {chosen}"), None);
                return None;
            }
        }
        self.note("N_REPEAT", chosen.to_string(), origin, "runs of the case, all of which must pass");
        let (all, inside) = self.repeated_inside(chosen)?;
        Some((u32::try_from(all).ok()?, inside))
    }

    /// TIME_LIMIT_S: the platform's, else the case's, else ten minutes.
    pub(super) fn time_limit(&mut self) -> Option<Duration> {
        let case = self.case;
        let platform = self.inputs.platform.to_string();
        let special =
            case.platforms.as_ref().and_then(|all| all.get(&platform)).and_then(|o| o.time_limit_s.as_ref());
        let sources = [
            (KeyPath::new(&["TIME_LIMIT_S"]), case.time_limit_s.as_ref(), Origin::Case),
            (KeyPath::new(&["PLATFORMS", &platform, "TIME_LIMIT_S"]), special, Origin::Platform),
        ];
        let (mut seconds, mut origin) = (DEFAULT_TIME_LIMIT_S, Origin::Default);
        for (path, value, source) in sources {
            let Some(value) = value else { continue };
            let accept = |s: &f64| *s > 0.0 && *s <= LONGEST_TIME_LIMIT_S;
            let Some(given) = value.as_str().parse::<f64>().ok().filter(accept) else {
                let text = value.as_str();
                let message = format!(
                    "expected seconds, more than 0 and at most {LONGEST_TIME_LIMIT_S}, got \"{text}\""
                );
                self.error_at(path, message, None);
                return None;
            };
            (seconds, origin) = (given, source);
        }
        self.note("TIME_LIMIT_S", seconds.to_string(), origin, "the case must end within so many seconds");
        Some(Duration::from_secs_f64(seconds))
    }

    pub(super) fn opt_in(&mut self) -> Option<String> {
        let reason = self.case.opt_in.as_ref()?.as_str().to_owned();
        if reason.trim().is_empty() {
            self.error_at(
                KeyPath::new(&["OPT_IN"]),
                "is empty",
                Some("say why the case is not run with the others"),
            );
        }
        self.note("OPT_IN", reason.clone(), Origin::Case, "runs only where it is asked for");
        Some(reason)
    }

    pub(super) fn known_failure(&mut self) -> Option<KnownFailure> {
        let known = self.case.known_failure.as_ref()?;
        self.note(
            "KNOWN_FAILURE",
            known.reason.clone(),
            Origin::Case,
            "expected to fail; passing is a failure",
        );
        Some(KnownFailure { reason: known.reason.clone(), issue: known.issue.clone() })
    }
}
