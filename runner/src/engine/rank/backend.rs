//! The model of a rank, opened on the backend of its platform.

use goldlap_kernels::model::step::LanguageModel;

use super::RankError;
use crate::engine::EngineLimits;
use crate::plan::Platform;
use crate::topology::RankSpec;

pub(super) struct Backend {
    pub(super) model: Box<dyn LanguageModel>,
    pub(super) limits: EngineLimits,
    /// Instruction set or device.
    pub(super) device: String,
    pub(super) num_kv_blocks: usize,
}

impl Backend {
    pub(super) fn open(spec: &RankSpec) -> Result<Self, RankError> {
        match &spec.platform {
            Platform::Cpu => Err(RankError::Backend("this build has no cpu backend yet".to_owned())),
            platform @ (Platform::Vcuda | Platform::Gpu(_)) => Err(RankError::Backend(format!(
                "the backend of platform {platform} is not part of this build; use cpu"
            ))),
        }
    }
}
