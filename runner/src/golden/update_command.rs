//! The command that reviews pending goldens: `cargo xtask update-goldens`, and whoever else offers it.

use std::io::{self, BufRead, Write};

use clap::Args;

use super::check::check;
use super::metric::Metric;
use super::review::{Acceptance, Review, ReviewError, reject};
use super::store::{GoldenId, Store};
use crate::plan::Platform;

/// Review pending goldens: what the last runs would have recorded, where it differs from the goldens.
#[derive(Args, Clone, Debug, Default)]
#[command(group = clap::ArgGroup::new("action").multiple(false))]
pub struct UpdateGoldens {
    /// Only cases whose name (`gpt::<folder>`) contains this
    filter: Option<String>,
    /// Accept only this metric, and leave the rest of the golden as it is
    #[arg(long, value_name = "METRIC", conflicts_with_all = ["reject", "check", "list"])]
    metric: Option<Metric>,
    /// Accept all of them without asking
    #[arg(long, group = "action")]
    accept: bool,
    /// Drop all of them without asking
    #[arg(long, group = "action")]
    reject: bool,
    /// Fail if anything is pending, orphaned, broken, edited by hand, not finite or missing
    #[arg(long, group = "action")]
    check: bool,
    /// Show what is pending
    #[arg(long, group = "action")]
    list: bool,
    /// Why the goldens move; needed where one gets slower, less efficient or larger in memory
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["reject", "check", "list"])]
    reason: Option<String>,
    /// Only goldens of this platform; with --check also the platform that every case must have one for [default: cpu]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
}

impl UpdateGoldens {
    /// Runs the command. Text goes to `out`; answers come from `person`, where one sits at a terminal.
    /// `true` = success.
    pub fn run(
        &self,
        store: &Store,
        out: &mut dyn Write,
        person: Option<&mut dyn BufRead>,
    ) -> io::Result<bool> {
        if self.check {
            return self.report_findings(store, out);
        }
        let pending: Vec<GoldenId> = store
            .pending()?
            .into_iter()
            .filter(|id| id.matches(self.filter(), self.platform.as_ref()))
            .collect();
        if pending.is_empty() {
            return self.report_nothing(out);
        }
        match person {
            _ if self.list => {
                self.each(&pending, out, |id, out| show(store, id, out).map(|review| review.is_some()))
            }
            _ if self.accept => self.each(&pending, out, |id, out| self.accept_one(store, id, out)),
            _ if self.reject => self.each(&pending, out, |id, out| {
                reject(store, id)?;
                writeln!(out, "rejected {} ({})", id.case, id.platform).map(|()| true)
            }),
            Some(person) => self.review(store, &pending, out, person),
            None => {
                writeln!(
                    out,
                    "there is no terminal to review on: say --accept, --reject, --list or --check"
                )?;
                Ok(false)
            }
        }
    }

    fn filter(&self) -> &str {
        self.filter.as_deref().unwrap_or_default()
    }

    /// Kept in the provenance.
    fn command_line(&self) -> String {
        let mut line = "cargo xtask update-goldens".to_owned();
        let mut add = |part: &str, value: &str| line.push_str(&format!(" {part}{value}"));
        if let Some(filter) = &self.filter {
            add("", filter);
        }
        if let Some(metric) = self.metric {
            add("--metric ", metric.name());
        }
        if let Some(platform) = &self.platform {
            add("--platform ", &platform.to_string());
        }
        if self.accept {
            add("--accept", "");
        }
        line
    }

    fn acceptance(&self, reason: Option<String>) -> Acceptance {
        Acceptance {
            metric: self.metric,
            reason: reason.or_else(|| self.reason.clone()),
            command: self.command_line(),
        }
    }

    fn report_nothing(&self, out: &mut dyn Write) -> io::Result<bool> {
        let filter = self.filter();
        match filter {
            "" => writeln!(
                out,
                "nothing is pending; a run that differs from its golden leaves something: cargo test"
            )?,
            _ => writeln!(
                out,
                "nothing is pending for {filter:?}; run the case first: cargo test -- {filter} (a run that equals its \
                 golden leaves nothing)"
            )?,
        }
        Ok(self.list)
    }

    fn report_findings(&self, store: &Store, out: &mut dyn Write) -> io::Result<bool> {
        let findings = check(store, self.filter(), self.platform.as_ref())?;
        for finding in &findings {
            writeln!(out, "{finding}")?;
        }
        match findings.len() {
            0 => writeln!(out, "all goldens are in order")?,
            n => writeln!(out, "{n} finding(s)")?,
        }
        Ok(findings.is_empty())
    }

    /// All of them, even after a failure; `true` if every one succeeded.
    fn each(
        &self,
        pending: &[GoldenId],
        out: &mut dyn Write,
        mut act: impl FnMut(&GoldenId, &mut dyn Write) -> io::Result<bool>,
    ) -> io::Result<bool> {
        let mut all = true;
        for id in pending {
            all &= act(id, out)?;
        }
        Ok(all)
    }

    fn accept_one(&self, store: &Store, id: &GoldenId, out: &mut dyn Write) -> io::Result<bool> {
        let Some(review) = show(store, id, out)? else {
            return Ok(false);
        };
        finish(review.accept(store, &self.acceptance(None)), id, out)
    }

    fn review(
        &self,
        store: &Store,
        pending: &[GoldenId],
        out: &mut dyn Write,
        person: &mut dyn BufRead,
    ) -> io::Result<bool> {
        let mut all = true;
        for (i, id) in pending.iter().enumerate() {
            writeln!(out, "[{} of {}]", i + 1, pending.len())?;
            let Some(review) = show(store, id, out)? else {
                all = false;
                continue;
            };
            for diff in review.changes.iter().filter_map(|change| change.diff.as_ref()) {
                writeln!(out, "{diff}")?;
            }
            match ask(out, person, "accept, reject, skip or quit? [a/r/s/q] ")?.as_str() {
                "a" | "accept" => all &= self.accept_asking(store, &review, out, person)?,
                "r" | "reject" => reject(store, id)?,
                "q" | "quit" => return Ok(all),
                _ => writeln!(out, "skipped")?,
            }
        }
        Ok(all)
    }

    fn accept_asking(
        &self,
        store: &Store,
        review: &Review,
        out: &mut dyn Write,
        person: &mut dyn BufRead,
    ) -> io::Result<bool> {
        let mut outcome = review.accept(store, &self.acceptance(None));
        if let Err(error @ ReviewError::NeedsReason { .. }) = &outcome {
            writeln!(out, "{error}")?;
            let reason = ask(out, person, "reason: ")?;
            outcome = review.accept(store, &self.acceptance(Some(reason)));
        }
        finish(outcome, &review.id, out)
    }
}

/// Prints what would change; `None` where the pending file cannot be used.
fn show(store: &Store, id: &GoldenId, out: &mut dyn Write) -> io::Result<Option<Review>> {
    writeln!(out, "{} ({})", id.case, id.platform)?;
    match Review::load(store, id) {
        Err(error) => {
            writeln!(out, "  {error}")?;
            Ok(None)
        }
        Ok(review) => {
            if let Some(error) = &review.old_error {
                writeln!(out, "  the golden cannot be used: {error}")?;
            } else if review.old.is_none() {
                writeln!(out, "  there is no golden yet")?;
            } else if review.changes.is_empty() {
                writeln!(out, "  the same values, newly recorded")?;
            }
            for change in &review.changes {
                writeln!(out, "  {change}")?;
            }
            Ok(Some(review))
        }
    }
}

fn finish(outcome: Result<(), ReviewError>, id: &GoldenId, out: &mut dyn Write) -> io::Result<bool> {
    match &outcome {
        Ok(()) => writeln!(out, "accepted {} ({})", id.case, id.platform)?,
        Err(error) => writeln!(out, "not accepted: {error}")?,
    }
    Ok(outcome.is_ok())
}

fn ask(out: &mut dyn Write, person: &mut dyn BufRead, question: &str) -> io::Result<String> {
    write!(out, "{question}")?;
    out.flush()?;
    let mut answer = String::new();
    // The end of the input is an answer too: leave things as they are.
    match person.read_line(&mut answer)? {
        0 => Ok("q".to_owned()),
        _ => Ok(answer.trim().to_owned()),
    }
}

#[cfg(test)]
#[path = "update_command_tests.rs"]
mod tests;
