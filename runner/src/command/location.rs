//! The options that say which cases, goldens and platform a command is about.

use std::path::PathBuf;

use clap::Args;
use goldlap_kernels::cuda;
use goldlap_kernels::model::store::Store;

use super::CommandError;
use crate::harness::{
    CASES_VARIABLE, GOLDENS_VARIABLE, OUTPUT_VARIABLE, PLATFORM_VARIABLE, PlatformChoice, Roots, Setting,
    choose_platform,
};
use crate::plan::AbsentModel;

/// Shared by `list`, `run` and `explain`.
#[derive(Args)]
pub(super) struct Location {
    /// Folder that holds the cases [env: GOLDLAP_CASES; default: test_cases]
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// Folder that holds the golden files [env: GOLDLAP_GOLDENS; default: golden_values beside the cases]
    #[arg(long, value_name = "DIR")]
    goldens: Option<PathBuf>,
    /// Folder for records, rank logs and pending goldens [env: GOLDLAP_OUTPUT; default: target/goldlap]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// cpu, vcuda (the virtual CUDA driver), or a GPU platform such as dgx_h100 [env: GOLDLAP_PLATFORM; default: auto]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Random weights and the built-in vocabulary where a case's checkpoint is missing or in Megatron's own format; what they generate is not compared
    #[arg(long)]
    random_weights: bool,
}

impl Location {
    /// Resolves options, environment and defaults; the defaults start in the current folder.
    pub(super) fn resolve(&self) -> Result<(Setting, PlatformChoice), CommandError> {
        let choose =
            |asked: Option<&str>| choose_platform(asked, cuda::devices).map_err(CommandError::from_error);
        let absent = if self.random_weights { AbsentModel::IsReplaced } else { AbsentModel::Skips };
        self.resolve_with(absent, choose)
    }

    /// The same for ranks on another machine: this one need not have what a platform needs.
    pub(super) fn resolve_elsewhere(&self) -> Result<(Setting, PlatformChoice), CommandError> {
        let absent = if self.random_weights { AbsentModel::IsReplaced } else { AbsentModel::IsElsewhere };
        self.resolve_with(absent, |asked| {
            let asked = asked.filter(|name| !name.is_empty() && *name != "auto").unwrap_or("cpu");
            let platform = asked.parse().map_err(CommandError)?;
            Ok(PlatformChoice::asked(platform, "the ranks are somebody else's"))
        })
    }

    fn resolve_with(
        &self,
        absent: AbsentModel,
        choose: impl FnOnce(Option<&str>) -> Result<PlatformChoice, CommandError>,
    ) -> Result<(Setting, PlatformChoice), CommandError> {
        let here = std::env::current_dir().map_err(CommandError::from_error)?;
        let given = |name: &str| {
            let option = match name {
                CASES_VARIABLE => &self.cases,
                GOLDENS_VARIABLE => &self.goldens,
                OUTPUT_VARIABLE => &self.output,
                _ => &None,
            };
            option.clone().or_else(|| std::env::var_os(name).map(PathBuf::from)).map(|path| here.join(path))
        };
        let asked = self.platform.clone().or_else(|| std::env::var(PLATFORM_VARIABLE).ok());
        let choice = choose(asked.as_deref())?;
        let store = Store::open().map_err(CommandError::from_error)?;
        let setting = Setting {
            roots: Roots::new(&here, given),
            platforms: choice.platforms.clone(),
            cache_root: store.root().to_path_buf(),
            absent,
        };
        Ok((setting, choice))
    }
}

/// The one platform of a command that has no cases: the option's, else the environment's, else the machine's best.
pub(super) fn asked_platform(option: Option<&str>) -> Result<PlatformChoice, CommandError> {
    let asked = option.map(str::to_owned).or_else(|| std::env::var(PLATFORM_VARIABLE).ok());
    choose_platform(asked.as_deref(), cuda::devices).map_err(CommandError::from_error)
}

/// Whether a case's name is meant by a filter; no filter means every case.
pub(super) fn is_meant(name: &str, filter: Option<&str>) -> bool {
    filter.is_none_or(|filter| name.contains(filter))
}
