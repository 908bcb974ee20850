//! The plan of one case's file, for commands that need what it describes and not its run.

use std::path::{Path, absolute};

use goldlap_kernels::model::store::Store;

use super::CommandError;
use crate::config::{CaseFile, Environment};
use crate::harness::Roots;
use crate::plan::{AbsentModel, CasePlan, Disposition, ModelPlan, PlanInputs, Platform, plan_case};

/// Plans the case in this file as `run` would, its folder's name included. Where the environment does not say, `${DATA_PATH}` is the
/// cases' folder (`GOLDLAP_CASES`, `test_cases`) for a case in there, else the case's own.
pub(super) fn plan_of_case(
    path: &Path,
    platform: &Platform,
    absent: AbsentModel,
) -> Result<CasePlan, CommandError> {
    let case = CaseFile::read(path).map_err(CommandError::from_error)?;
    let path = absolute(path).map_err(|error| CommandError(format!("{}: {error}", path.display())))?;
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    planned(&path, &case, &folder.to_string_lossy(), platform, absent)
}

/// The model that a case's flags describe; who runs it, and where, is of no interest.
pub(super) fn model_of_case(path: &Path, case: &CaseFile) -> Result<ModelPlan, CommandError> {
    planned(path, case, "model", &Platform::Cpu, AbsentModel::Skips).map(|plan| plan.model)
}

/// One flag table, one set of error messages.
fn planned(
    path: &Path,
    case: &CaseFile,
    name: &str,
    platform: &Platform,
    absent: AbsentModel,
) -> Result<CasePlan, CommandError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let here = std::env::current_dir().map_err(CommandError::from_error)?;
    let root = Some(here.join(Roots::from_environment(&here).cases)).filter(|root| folder.starts_with(root));
    let cache = Store::open().map_err(CommandError::from_error)?;
    let data = root.as_deref().unwrap_or(folder);
    let environment = Environment::new(data, cache.root(), |name| std::env::var(name).ok());
    let disposition = plan_case(&PlanInputs {
        case,
        name,
        folder,
        golden_root: folder,
        platform,
        environment: &environment,
        absent,
        // Prompt files are of no interest here, and whoever opens a checkpoint says that it is missing.
        exists: &|path: &Path| absent == AbsentModel::Skips || path.exists(),
    });
    match disposition {
        Disposition::Run(plan) => Ok(*plan),
        Disposition::Skip { reason, .. } => Err(CommandError(reason)),
        Disposition::Invalid(error) => Err(CommandError(error.to_string())),
    }
}
