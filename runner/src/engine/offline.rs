//! The same engine without processes and sockets: all requests in, all results out.

use goldlap_kernels::model::step::LanguageModel;

use super::engine::Engine;
use super::limits::EngineLimits;
use super::outcome::FinishedRequest;
use super::request::EngineRequest;
use super::statistics::Statistics;
use crate::metrics::Clock;

/// Results of an offline run.
#[derive(Clone, Debug)]
pub struct OfflineRun {
    /// In the order of the requests: the result, or why there is none.
    pub results: Vec<Result<FinishedRequest, String>>,
    /// What the engine did.
    pub statistics: Statistics,
}

/// Runs `requests` to their ends. Ids must differ from each other. `on_step` hears about every step.
pub fn generate(
    model: Box<dyn LanguageModel>,
    limits: EngineLimits,
    seed: u64,
    clock: Clock,
    requests: Vec<EngineRequest>,
    mut on_step: impl FnMut(&super::StepSummary),
) -> OfflineRun {
    let mut engine = Engine::new(model, limits, seed, clock);
    let mut results = Vec::with_capacity(requests.len());
    let mut index_of = std::collections::HashMap::with_capacity(requests.len());
    for (index, request) in requests.into_iter().enumerate() {
        let id = request.id;
        match engine.submit(request) {
            Ok(()) => {
                index_of.insert(id, index);
                results.push(Err("the engine dropped the request".to_owned()));
            }
            Err(rejection) => results.push(Err(rejection.to_string())),
        }
    }
    while engine.has_work() {
        let summary = engine.step();
        on_step(&summary);
        for finished in summary.finished {
            let index = index_of[&finished.id];
            results[index] = Ok(finished);
        }
        for failed in summary.failed {
            results[index_of[&failed.id]] = Err(failed.reason);
        }
    }
    OfflineRun { results, statistics: engine.statistics().clone() }
}
