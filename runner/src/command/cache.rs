//! `goldlap cache`: packed weights and fetched models on this machine.

use clap::{Args, Subcommand};
use goldlap_kernels::model::store::{Entry, EntryKind, Store};

use super::output::print;
use super::{CommandError, Exit};

/// The folder is GOLDLAP_CACHE_DIR, else goldlap in XDG_CACHE_HOME or ~/.cache. Packed weights that were not used for
/// longest go when they exceed GOLDLAP_CACHE_LIMIT_GB [default: 20].
#[derive(Args)]
pub(super) struct Cache {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List everything in the cache
    List,
    /// Remove packed weights that no process uses; they are made again when needed
    Clear {
        /// Remove fetched models too
        #[arg(long)]
        models: bool,
    },
}

impl Cache {
    pub(super) fn run(self) -> Result<Exit, CommandError> {
        let store = Store::open().map_err(CommandError::from_error)?;
        match self.action {
            Action::List => list(&store),
            Action::Clear { models } => clear(&store, models),
        }
    }
}

fn list(store: &Store) -> Result<Exit, CommandError> {
    let entries = store.list().map_err(CommandError::from_error)?;
    let lines: String = entries.iter().map(|entry| format!("{}\n", describe(entry))).collect();
    let total: u64 = entries.iter().map(|entry| entry.num_bytes).sum();
    print(&format!(
        "{lines}{} entries, {} in {} (packed weights are kept up to {})\n",
        entries.len(),
        megabytes(total),
        store.root().display(),
        megabytes(store.limit_bytes())
    ))?;
    Ok(Exit::Success)
}

fn clear(store: &Store, models: bool) -> Result<Exit, CommandError> {
    let kinds: &[EntryKind] =
        if models { &[EntryKind::Packed, EntryKind::Model] } else { &[EntryKind::Packed] };
    let cleared = store.clear(kinds).map_err(CommandError::from_error)?;
    let kept: String =
        cleared.in_use.iter().map(|entry| format!("in use, kept: {}\n", describe(entry))).collect();
    let total: u64 = cleared.removed.iter().map(|entry| entry.num_bytes).sum();
    print(&format!("{kept}removed {} entries, {}\n", cleared.removed.len(), megabytes(total)))?;
    Ok(Exit::Success)
}

fn describe(entry: &Entry) -> String {
    let kind = match entry.kind {
        EntryKind::Packed => "packed",
        EntryKind::Model => "model",
    };
    format!("{kind:<7} {:>12}  {}", megabytes(entry.num_bytes), entry.name)
}

fn megabytes(num_bytes: u64) -> String {
    format!("{:.1} MB", num_bytes as f64 / 1e6)
}
