//! The model that a case's flags describe, for commands that need the model and not the case.

use std::path::Path;

use super::CommandError;
use crate::config::{CaseFile, Environment};
use crate::plan::{AbsentModel, Disposition, ModelPlan, PlanInputs, Platform, plan_case};

/// Plans `case`, read from `path`, as `run` would: one flag table, one set of error messages.
pub(super) fn model_of_case(path: &Path, case: &CaseFile) -> Result<ModelPlan, CommandError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let environment = Environment::new(folder, folder, |name| std::env::var(name).ok());
    let disposition = plan_case(&PlanInputs {
        case,
        name: "model",
        folder,
        golden_root: folder,
        platform: &Platform::Cpu,
        environment: &environment,
        absent: AbsentModel::Skips,
        // Prompt files are of no interest here, and whoever opens a checkpoint says that it is missing.
        exists: &|_path: &Path| true,
    });
    match disposition {
        Disposition::Run(plan) => Ok(plan.model),
        Disposition::Skip { reason, .. } => Err(CommandError(reason)),
        Disposition::Invalid(error) => Err(CommandError(error.to_string())),
    }
}
