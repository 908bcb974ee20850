//! `goldlap rank`: one rank that joins a coordinator, ours or a foreign one.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use goldlap_kernels::model::store::Store;

use super::engine_settings::EngineSettings;
use super::location::asked_platform;
use super::virtual_driver::enter;
use super::{CommandError, Exit};
use crate::coordinator::Tokenize;
use crate::engine::join_as_rank;
use crate::harness::{PreparedModel, num_cores};
use crate::topology::RankSpec;
use crate::workload::Tokenizer;

/// Seconds between the heartbeats of a rank.
const HEARTBEAT_S: f64 = 0.5;

#[derive(Args)]
pub(super) struct Rank {
    /// The coordinator to join: tcp://HOST:PORT
    #[arg(long, value_name = "ENDPOINT")]
    coordinator: String,
    /// Number of this rank; its identity is mp-coord-N, which no other rank may have
    #[arg(long, value_name = "N", default_value_t = 0)]
    rank: u32,
    /// The coordinator is Goldlap's: send it heartbeats and a record. Any other would not understand them
    #[arg(long)]
    goldlap: bool,
    /// cpu, vcuda (the virtual CUDA driver), or a GPU platform such as dgx_h100 [env: GOLDLAP_PLATFORM; default: auto]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// CUDA device, as the driver counts them
    #[arg(long, value_name = "N", default_value_t = 0)]
    device: usize,
    #[command(flatten)]
    settings: EngineSettings,
}

impl Rank {
    pub(super) fn run(self) -> Result<Exit, CommandError> {
        let choice = asked_platform(self.platform.as_deref())?;
        enter(&choice.platform, self.device, None)?;
        let settings = self.settings.resolve(&choice.platform, Some(1))?;
        let tokenizer = Tokenizer::load(&settings.tokenizer).map_err(CommandError::from_error)?;
        let store = Store::open().map_err(CommandError::from_error)?;
        let model =
            PreparedModel::prepare(&settings.model, &store, num_cores()).map_err(CommandError::from_error)?;
        let spec = RankSpec {
            rank: self.rank,
            world_size: 1,
            coordinator: self.coordinator.clone(),
            packed_model: model.path().to_path_buf(),
            platform: choice.platform,
            device: self.device,
            engine: settings.engine,
            seed: settings.seed,
            eods: tokenizer.eods().to_vec(),
            heartbeat_s: HEARTBEAT_S,
            fault: None,
        };
        let tokenize = move |text: &str, add_bos: bool| {
            tokenizer.encode_prompt(text, add_bos).map_err(|error| error.to_string())
        };
        let plain: Option<Tokenize> = (!self.goldlap).then(|| Arc::new(tokenize) as Tokenize);
        let code = join_as_rank(&spec, plain);
        Ok(if code == ExitCode::SUCCESS { Exit::Success } else { Exit::Failed })
    }
}
