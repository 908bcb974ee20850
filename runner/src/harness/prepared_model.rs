//! A model ready to be mapped: packed once into the cache, shared by all ranks.

use std::path::Path;

use goldlap_kernels::model::hugging_face::HuggingFaceModel;
use goldlap_kernels::model::packed::PackedModel;
use goldlap_kernels::model::random::RandomWeights;
use goldlap_kernels::model::store::{CachedFile, Store, StoreError};
use goldlap_kernels::model::weights::{CheckpointError, WeightSource};

use crate::plan::ModelPlan;

/// A packed model file that stays in the cache while this value lives.
#[derive(Debug)]
pub struct PreparedModel {
    file: CachedFile,
    fingerprint: String,
    num_parameters: u64,
}

/// The weights cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Reading, generating or packing failed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The plan was made for ranks of somebody else.
    #[error("the weights are somebody else's: only a run with --endpoint does without them")]
    Elsewhere,
    /// The cache folder failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PreparedModel {
    /// Finds the packed weights of `model` in the cache, or makes them there with `num_threads` threads.
    pub fn prepare(model: &ModelPlan, store: &Store, num_threads: usize) -> Result<Self, ModelError> {
        let source: Box<dyn WeightSource> = match model {
            ModelPlan::Elsewhere => return Err(ModelError::Elsewhere),
            ModelPlan::Checkpoint { path } => Box::new(HuggingFaceModel::open(path)?),
            ModelPlan::Random { config, seed, init_method_std } => {
                Box::new(RandomWeights::new(config.clone(), *seed, *init_method_std)?)
            }
        };
        let file = store.packed(&*source, num_threads)?;
        let packed = PackedModel::open(file.path())?;
        Ok(Self {
            num_parameters: packed.num_parameters(),
            fingerprint: packed.fingerprint().to_owned(),
            file,
        })
    }

    /// The packed file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Changes whenever a weight could change.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Parameters, a tied embedding counted once.
    pub fn num_parameters(&self) -> u64 {
        self.num_parameters
    }
}
