//! Accepting and rejecting pending goldens: the only code that changes a golden.

use std::fs;
use std::io;

use super::change::{Change, changes};
use super::golden_file::{Golden, GoldenError, Integrity};
use super::metric::{Metric, Scope};
use super::store::{GoldenId, Store};

/// A pending golden beside the golden that it would replace.
#[derive(Clone, Debug)]
pub struct Review {
    /// Which golden.
    pub id: GoldenId,
    /// The golden as it is; `None` = there is none, or it cannot be read.
    pub old: Option<Golden>,
    /// Why the golden cannot be read, if so.
    pub old_error: Option<String>,
    /// The pending golden.
    pub new: Golden,
    /// What would change.
    pub changes: Vec<Change>,
}

/// How to accept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// Take over only this metric.
    pub metric: Option<Metric>,
    /// Why the golden moves, kept in the provenance; needed where it moves the wrong way.
    pub reason: Option<String>,
    /// The command, kept in the provenance.
    pub command: String,
}

/// Why a golden was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// A file cannot be used.
    #[error(transparent)]
    Golden(#[from] GoldenError),
    /// The pending file is gone.
    #[error("{0}: there is no pending golden; run the case first")]
    NothingPending(String),
    /// It got worse, and nobody said why.
    #[error("{case}: {what}; say why with --reason TEXT")]
    NeedsReason {
        /// The case.
        case: String,
        /// The changes that go the wrong way.
        what: String,
    },
    /// One metric alone cannot be taken over.
    #[error("{case}: {why}")]
    NotThatMetric {
        /// The case.
        case: String,
        /// Why not.
        why: String,
    },
    /// The file system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Review {
    /// Loads both sides.
    pub fn load(store: &Store, id: &GoldenId) -> Result<Self, ReviewError> {
        let Some(new) = Golden::load(&id.below(&store.pending))? else {
            return Err(ReviewError::NothingPending(id.case.clone()));
        };
        // A golden that cannot be read is one more reason to replace it.
        let (old, old_error) = match Golden::load(&id.below(&store.goldens)) {
            Ok(old) => (old, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let changes = changes(old.as_ref(), &new, &id.platform);
        Ok(Self { id: id.clone(), old, old_error, new, changes })
    }

    /// Replaces the golden, or one metric of it, and removes the pending file once nothing is pending in it.
    pub fn accept(&self, store: &Store, how: &Acceptance) -> Result<(), ReviewError> {
        let taken: Vec<&Change> = self
            .changes
            .iter()
            .filter(|change| how.metric.is_none_or(|metric| metric == change.metric))
            .collect();
        let wrong: Vec<String> = taken.iter().filter(|c| c.wrong_way).map(|c| c.to_string()).collect();
        let reason = how.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
        if !wrong.is_empty() && reason.is_none() {
            return Err(ReviewError::NeedsReason { case: self.id.case.clone(), what: wrong.join("; ") });
        }
        let mut golden = match how.metric {
            None => self.new.clone(),
            Some(metric) => self.merged(metric)?,
        };
        if let Some(provenance) = &mut golden.provenance {
            provenance.command.clone_from(&how.command);
            provenance.reason = reason.map(str::to_owned);
        }
        golden.save(&id_path(store, &self.id))?;
        let rest = changes(Some(&golden), &self.new, &self.id.platform);
        if how.metric.is_none() || rest.is_empty() {
            reject(store, &self.id)?;
        }
        Ok(())
    }

    /// The golden with only `metric` taken from the pending one.
    fn merged(&self, metric: Metric) -> Result<Golden, ReviewError> {
        let refuse =
            |why: &str| ReviewError::NotThatMetric { case: self.id.case.clone(), why: why.to_owned() };
        let Some(old) = &self.old else {
            return Err(refuse("there is no usable golden to merge one metric into; accept the whole of it"));
        };
        let mut golden = old.clone();
        let (Some(old_provenance), Some(new_provenance)) = (&old.provenance, &self.new.provenance) else {
            return Err(refuse(
                "the golden has no provenance (another system wrote it), and one metric of ours would make all \
                 of it look like ours; accept the whole of it",
            ));
        };
        if old.integrity == Integrity::Edited {
            return Err(refuse("the golden was edited by hand; accept the whole of it"));
        }
        match metric.row().scope {
            Scope::PerRequest => self.merge_requests(metric, &mut golden).map_err(|why| refuse(&why))?,
            Scope::System => {
                let Some(value) = self.new.system(metric) else {
                    return Err(refuse(&format!("the pending golden has no {metric}")));
                };
                golden.system.retain(|(key, _)| key != metric.name());
                golden.system.push((metric.name().to_owned(), value.clone()));
            }
            Scope::PerBatch => {
                return Err(refuse("the numbers of a batch belong together; accept the whole of it"));
            }
        }
        let mut provenance = new_provenance.clone();
        let name = metric.name();
        provenance.accepted_metrics = vec![name.to_owned()];
        // What was not taken over keeps its spread and band; what was, brings its own.
        provenance.spread.clone_from(&old_provenance.spread);
        provenance.bands.clone_from(&old_provenance.bands);
        provenance.bands.remove(name);
        provenance.spread.extend(new_provenance.spread.get_key_value(name).map(|(k, v)| (k.clone(), *v)));
        provenance.bands.extend(new_provenance.bands.get_key_value(name).map(|(k, v)| (k.clone(), *v)));
        golden.provenance = Some(provenance);
        Ok(golden)
    }

    fn merge_requests(&self, metric: Metric, golden: &mut Golden) -> Result<(), String> {
        if !golden.requests.keys().eq(self.new.requests.keys()) {
            return Err(
                "golden and pending golden have different requests; accept the whole of it".to_owned()
            );
        }
        for (id, request) in &mut golden.requests {
            let new = &self.new.requests[id];
            match metric {
                Metric::GeneratedTokens => request.generated_tokens.clone_from(&new.generated_tokens),
                Metric::GeneratedText => request.generated_text.clone_from(&new.generated_text),
                Metric::Logprobs => request.logprobs.clone_from(&new.logprobs),
                Metric::PromptLogprobs => request.prompt_logprobs.clone_from(&new.prompt_logprobs),
                Metric::GeneratedLogprobs => request.generated_logprobs.clone_from(&new.generated_logprobs),
                Metric::Fact(_) => request.take_other(metric.name(), new),
                Metric::Throughput
                | Metric::OutputThroughput
                | Metric::Efficiency
                | Metric::MemMaxAllocatedBytes
                | Metric::LifetimePrefillTokenCount
                | Metric::Count(_)
                | Metric::Peak(_)
                | Metric::CudaGraphSizes
                | Metric::Latency(_, _)
                | Metric::Batch(_) => {}
            }
        }
        Ok(())
    }
}

/// Removes a pending golden, and its folders where they are empty then. None there is no error.
pub fn reject(store: &Store, id: &GoldenId) -> io::Result<()> {
    let path = id.below(&store.pending);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(io::Error::new(e.kind(), format!("{}: {e}", path.display())));
        }
        Ok(()) | Err(_) => {}
    }
    for folder in path.ancestors().skip(1).take_while(|folder| *folder != store.pending) {
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}

fn id_path(store: &Store, id: &GoldenId) -> std::path::PathBuf {
    id.below(&store.goldens)
}
