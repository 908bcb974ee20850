//! A plan in words: every resolved value with its source, every ignored flag with its reason.

use std::fmt::Write;

use serde_json::{Value, json};

use super::case_plan::{CasePlan, ModelPlan, Origin, Setting};
use super::inputs::Disposition;

/// Values longer than this are cut: prompts can be pages long.
const WIDEST_VALUE: usize = 60;

/// What becomes of a case, as text that ends in a newline.
pub fn explain(disposition: &Disposition) -> String {
    match disposition {
        Disposition::Run(plan) => explain_plan(plan),
        Disposition::Skip { name, reason } => format!("{name}\n  is skipped: {reason}\n"),
        Disposition::Invalid(error) => format!("{error}\n"),
    }
}

/// What becomes of a case, as JSON: the plan with its settings, the reason of a skip, or the errors.
pub fn explain_json(disposition: &Disposition) -> Value {
    match disposition {
        Disposition::Run(plan) => json!({ "run": plan, "settings": plan.settings }),
        Disposition::Skip { name, reason } => json!({ "skip": { "name": name, "reason": reason } }),
        Disposition::Invalid(error) => {
            let errors: Vec<Value> = error
                .diagnostics
                .iter()
                .map(|d| {
                    let at = d.location;
                    json!({ "file": d.file, "line": at.map(|at| at.line), "column": at.map(|at| at.column),
                            "message": d.message, "help": d.help })
                })
                .collect();
            json!({ "invalid": errors })
        }
    }
}

fn explain_plan(plan: &CasePlan) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let mut line = |args: std::fmt::Arguments<'_>| _ = writeln!(text, "{args}");
    line(format_args!("{} on {}", plan.name, plan.platform));
    line(format_args!("  folder   {}", plan.folder.display()));
    line(format_args!("  golden   {}", plan.golden_folder.join(plan.platform.golden_file_name()).display()));
    line(format_args!("  weights  {}", weights(&plan.model)));
    line(format_args!("\nResolved:"));
    let name_width = plan.settings.iter().map(|s| s.name.len()).max().unwrap_or(0);
    let value_width = plan.settings.iter().map(|s| shown(&s.value).chars().count()).max().unwrap_or(0);
    for setting in &plan.settings {
        let (value, source) = (shown(&setting.value), source(setting));
        line(format_args!(
            "  {:name_width$}  {value:value_width$}  {source:8}  {}",
            setting.name, setting.meaning
        ));
    }
    line(format_args!("\nIgnored:{}", if plan.ignored_flags.is_empty() { " nothing" } else { "" }));
    for flag in &plan.ignored_flags {
        line(format_args!("  {}: {}\n    {}", flag.flag, shown(&flag.value), flag.reason));
    }
    text
}

fn weights(model: &ModelPlan) -> String {
    match model {
        ModelPlan::Checkpoint { path } => format!("the checkpoint {}", path.display()),
        ModelPlan::Elsewhere => "those of somebody else's ranks".to_owned(),
        ModelPlan::Random { seed, init_method_std, .. } => {
            format!("random, seed {seed}, standard deviation {init_method_std}")
        }
    }
}

fn source(setting: &Setting) -> &'static str {
    match setting.origin {
        Origin::Case => "file",
        Origin::Platform => "platform",
        Origin::FolderName => "folder",
        Origin::Default => "default",
    }
}

fn shown(value: &str) -> String {
    let plain = value.replace(char::is_control, " ");
    if plain.chars().count() <= WIDEST_VALUE {
        return plain;
    }
    let cut: String = plain.chars().take(WIDEST_VALUE - 3).collect();
    format!("{cut}...")
}
