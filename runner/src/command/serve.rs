//! `goldlap serve`: coordinator and ranks as a service, for any client that speaks the protocol.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use goldlap_kernels::model::store::Store;

use super::engine_settings::EngineSettings;
use super::location::asked_platform;
use super::output::print;
use super::{CommandError, Exit};
use crate::coordinator::wire::Numbering;
use crate::harness::{PreparedModel, Service, ServiceInputs, install_interrupts, num_cores, write_schedule};
use crate::metrics::WallTime;
use crate::plan::RoutingPlan;
use crate::report::{RunId, run_folder};
use crate::topology::RankSpec;
use crate::workload::Tokenizer;

/// Seconds between the heartbeats of a rank.
const HEARTBEAT_S: f64 = 0.5;

#[derive(Args)]
pub(super) struct Serve {
    /// Ranks, each with the whole model [default: as --config says, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    dp: Option<u32>,
    /// Where to listen; port 0 is any free one. Nothing here is encrypted or authenticated
    #[arg(long, value_name = "ENDPOINT", default_value = "tcp://127.0.0.1:0")]
    bind: String,
    /// cpu, vcuda (the virtual CUDA driver), or a GPU platform such as dgx_h100 [env: GOLDLAP_PLATFORM; default: auto]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Release of clients that are older than 0.19: nothing on the wire tells 0.16 from 0.17 and 0.18
    #[arg(long, value_enum, default_value_t = OldClients::V0_17)]
    old_clients: OldClients,
    /// Folder for rank logs
    #[arg(long, value_name = "DIR", default_value = "target/goldlap")]
    output: PathBuf,
    /// Seconds that the ranks may take to come up
    #[arg(long, value_name = "SECONDS", default_value_t = 600.0)]
    startup_limit: f64,
    #[command(flatten)]
    settings: EngineSettings,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OldClients {
    /// Megatron Core 0.16
    #[value(name = "0.16")]
    V0_16,
    /// Megatron Core 0.17 and 0.18
    #[value(name = "0.17")]
    V0_17,
}

impl Serve {
    pub(super) fn run(self) -> Result<Exit, CommandError> {
        let choice = asked_platform(self.platform.as_deref())?;
        let bind = bind_address(&self.bind)?;
        let settings = self.settings.resolve(&choice.platform, self.dp)?;
        let num_ranks = settings.num_ranks;
        let tokenizer = Arc::new(Tokenizer::load(&settings.tokenizer).map_err(CommandError::from_error)?);
        let store = Store::open().map_err(CommandError::from_error)?;
        let model =
            PreparedModel::prepare(&settings.model, &store, num_cores()).map_err(CommandError::from_error)?;
        let folder = run_folder(&self.output, &RunId::new(WallTime::now()));
        std::fs::create_dir_all(&folder)
            .map_err(|error| CommandError(format!("{}: {error}", folder.display())))?;
        let rank_spec = |rank: u32, coordinator: &str| RankSpec {
            rank,
            world_size: num_ranks,
            coordinator: coordinator.to_owned(),
            packed_model: model.path().to_path_buf(),
            platform: choice.platform.clone(),
            device: rank as usize,
            engine: settings.engine.clone(),
            seed: settings.seed,
            eods: tokenizer.eods().to_vec(),
            heartbeat_s: HEARTBEAT_S,
            fault: None,
        };
        install_interrupts().map_err(CommandError::from_error)?;
        let executable = std::env::current_exe().map_err(CommandError::from_error)?;
        let service = Service::start(&ServiceInputs {
            bind: &bind,
            rank_spec: &rank_spec,
            data_parallel: num_ranks,
            routing: &settings.routing,
            block_size: settings.engine.block_size,
            model: &model,
            tokenizer: &tokenizer,
            executable: &executable,
            folder: &folder,
            old_clients: match self.old_clients {
                OldClients::V0_16 => Numbering::V0_16,
                OldClients::V0_17 => Numbering::V0_17,
            },
            startup_limit_s: self.startup_limit,
        })
        .map_err(CommandError::from_error)?;
        serve(service, num_ranks, &settings.routing, &folder.display().to_string())
    }
}

fn serve(service: Service, num_ranks: u32, routing: &RoutingPlan, logs: &str) -> Result<Exit, CommandError> {
    let pids: Vec<String> = service.pids().iter().map(u32::to_string).collect();
    let (endpoint, pids) = (service.endpoint(), pids.join(" "));
    print(&format!("listening on {endpoint}, {num_ranks} ranks with the pids {pids}; logs in {logs}\n"))?;
    // A service goes on serving where nobody reads its log any more.
    let end = service.serve(&mut |at_s, line| _ = print(&format!("[{at_s:9.3}] {line}\n")));
    print(&format!("ended: {}\n", end.why))?;
    end.faults.iter().for_each(|fault| eprintln!("error: {fault}"));
    write_schedule(routing, num_ranks as usize, &end.decisions).map_err(CommandError)?;
    let is_clean = end.faults.is_empty() && end.why != "no rank is left";
    Ok(if is_clean { Exit::Success } else { Exit::Failed })
}

/// ZMQ writes "any free port" as `*`; people write 0.
fn bind_address(text: &str) -> Result<String, CommandError> {
    let wrong =
        || CommandError(format!("--bind {text}: expected tcp://HOST:PORT, such as tcp://127.0.0.1:5555"));
    let (host, port) =
        text.strip_prefix("tcp://").and_then(|rest| rest.rsplit_once(':')).ok_or_else(wrong)?;
    if host.is_empty() {
        return Err(wrong());
    }
    match port.parse::<u16>() {
        Ok(0) => Ok(format!("tcp://{host}:*")),
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_anything_starts() {
        assert_eq!(bind_address("tcp://127.0.0.1:0").unwrap(), "tcp://127.0.0.1:*");
        assert_eq!(bind_address("tcp://127.0.0.1:5555").unwrap(), "tcp://127.0.0.1:5555");
        for bad in ["127.0.0.1:5555", "tcp://:5555", "tcp://127.0.0.1", "tcp://127.0.0.1:70000", "ipc:///x"] {
            assert!(bind_address(bad).unwrap_err().to_string().contains("expected tcp://HOST:PORT"), "{bad}");
        }
    }
}
