//! The state of all goldens, for CI: what is pending, orphaned, broken or missing.

use std::fmt;
use std::io;

use super::golden_file::{Golden, Integrity};
use super::store::{GoldenId, Store};
use super::update::shell_word;
use crate::config::discovery::CASE_FILE_NAME;
use crate::config::{CaseFile, RawFile};
use crate::plan::{Platform, Platforms, platforms_of_everybody};

/// Something that is wrong with the goldens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A pending golden that nobody has reviewed.
    Pending(GoldenId),
    /// A golden whose case does not exist (any more).
    Orphan(GoldenId),
    /// A golden that cannot be read, and why.
    Broken(GoldenId, String),
    /// A golden that was edited by hand.
    Edited(GoldenId),
    /// A golden of a platform of ours that Goldlap did not write.
    NoProvenance(GoldenId),
    /// A golden with a number that is not finite, and where.
    NonFinite(GoldenId, String),
    /// A golden whose provenance names another platform than its file does.
    OtherPlatform(GoldenId, String),
    /// A case without a golden for the platform that everybody has.
    Missing(GoldenId),
}

/// Everything that is wrong, by case.
pub fn check(store: &Store, filter: &str, platform: Option<&Platform>) -> io::Result<Vec<Finding>> {
    let cases = store.cases()?;
    let mut findings = Vec::new();
    for id in store.pending()?.into_iter().filter(|id| id.matches(filter, platform)) {
        findings.push(Finding::Pending(id));
    }
    let goldens = store.goldens()?;
    for id in goldens.iter().filter(|id| id.matches(filter, platform)) {
        if !cases.contains(&id.case) {
            findings.push(Finding::Orphan(id.clone()));
        }
        findings.extend(check_one(store, id));
    }
    for case in cases {
        for id in needed(store, case, platform) {
            if id.matches(filter, platform) && !goldens.contains(&id) {
                findings.push(Finding::Missing(id));
            }
        }
    }
    Ok(findings)
}

/// Goldens that a case must have: on the platform asked for, if the case runs there; else on those that everybody has.
fn needed(store: &Store, case: String, platform: Option<&Platform>) -> Vec<GoldenId> {
    let folder = case.split("::").fold(store.cases.clone(), |path, part| path.join(part));
    let content = CaseFile::read(&folder.join(CASE_FILE_NAME)).map(|file| file.content);
    let platforms = match (content, platform) {
        (Ok(RawFile::Functional(file)), None) => platforms_of_everybody(&file),
        (Ok(RawFile::Functional(file)), Some(asked)) => {
            Platforms::Asked(asked.clone()).of_case(&file, |_| false).into_iter().collect()
        }
        // A file that cannot be read fails as a case.
        (Ok(RawFile::Performance(_) | RawFile::Training(_) | RawFile::Frontend) | Err(_), asked) => {
            vec![asked.cloned().unwrap_or(Platform::Cpu)]
        }
    };
    platforms.into_iter().map(|platform| GoldenId { case: case.clone(), platform }).collect()
}

fn check_one(store: &Store, id: &GoldenId) -> Option<Finding> {
    let golden = match Golden::load(&id.below(&store.goldens)) {
        Err(error) => return Some(Finding::Broken(id.clone(), error.what)),
        Ok(golden) => golden?,
    };
    if let Some(at) = golden.to_json().first_non_finite() {
        return Some(Finding::NonFinite(id.clone(), at));
    }
    match (&golden.integrity, &golden.provenance) {
        (Integrity::Edited, _) => Some(Finding::Edited(id.clone())),
        (_, Some(provenance)) => {
            let recorded = &provenance.platform;
            (*recorded != id.platform.to_string())
                .then(|| Finding::OtherPlatform(id.clone(), recorded.clone()))
        }
        (_, None) => match id.platform {
            Platform::Cpu | Platform::Vcuda => Some(Finding::NoProvenance(id.clone())),
            Platform::Gpu(_) => None,
        },
    }
}

/// `gpt::a (cpu): pending, not reviewed; ...`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, what) = match self {
            Self::Pending(id) => (
                id,
                format!(
                    "pending, not reviewed; review it with `cargo xtask update-goldens {}`",
                    shell_word(&id.case)
                ),
            ),
            Self::Orphan(id) => (id, "a golden without a case; delete it, or bring the case back".to_owned()),
            Self::Broken(id, what) => (id, format!("cannot be used: {what}")),
            Self::Edited(id) => (
                id,
                "edited by hand: provenance.content_hash does not match; run the case and re-accept it"
                    .to_owned(),
            ),
            Self::NoProvenance(id) => (id, "no provenance; run the case and re-accept it".to_owned()),
            Self::NonFinite(id, at) => {
                (id, format!("{at} is not a finite number, which nothing ever equals"))
            }
            Self::OtherPlatform(id, recorded) => (id, format!("recorded on platform {recorded}")),
            Self::Missing(id) => (
                id,
                format!(
                    "no golden; run `cargo test -- {}`, then accept what is pending",
                    shell_word(&id.case)
                ),
            ),
        };
        write!(f, "{} ({}): {what}", id.case, id.platform)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_kind_of_finding_is_found() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let store = Store::new(at("cases"), at("goldens"), root.path());
        for case in ["fine", "broken", "edited", "nan", "bare", "foreign", "pending"] {
            let folder = store.cases.join("gpt").join(case);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("model_config.yaml"), "").unwrap();
        }
        let write = |root: &std::path::Path, case: &str, platform: &str, text: &str| {
            let id = GoldenId { case: format!("gpt::{case}"), platform: platform.parse().unwrap() };
            fs::create_dir_all(id.below(root).parent().unwrap()).unwrap();
            fs::write(id.below(root), text).unwrap();
        };
        let record = crate::golden::test_run::record("cpu");
        let summary = crate::metrics::Metrics::of(&record, None);
        let run = super::super::compare::Run { record: &record, summary: &summary };
        let metrics = ["generated_tokens".to_owned()];
        let fine = Golden::from_runs(&Platform::Cpu, &metrics, &[run], "c").unwrap().to_json().pretty();
        let g = &store.goldens;
        write(g, "fine", "cpu", &fine);
        write(g, "broken", "cpu", "{");
        write(g, "edited", "cpu", &fine.replace("prompt 1", "prompt 9"));
        write(g, "nan", "cpu", "{\"0\": {\"logprobs\": [NaN]}}");
        write(g, "bare", "cpu", "{\"throughput\": [1.0]}");
        write(g, "orphan", "cpu", &fine);
        write(g, "fine", "vcuda", &fine);
        write(g, "foreign", "dgx_h100", "{\"throughput\": [1.0]}");
        write(&store.pending, "pending", "cpu", &fine);
        let found: Vec<_> = check(&store, "", None).unwrap().iter().map(Finding::to_string).collect();
        let expected = [
            "gpt::pending (cpu): pending, not reviewed; review it with `cargo xtask update-goldens gpt::pending`",
            "gpt::bare (cpu): no provenance; run the case and re-accept it",
            "gpt::broken (cpu): cannot be used: not valid JSON: line 1, column 2: expected a key in double quotes",
            "gpt::edited (cpu): edited by hand: provenance.content_hash does not match; run the case and re-accept it",
            "gpt::fine (vcuda): recorded on platform cpu",
            "gpt::nan (cpu): 0.logprobs[0] is not a finite number, which nothing ever equals",
            "gpt::orphan (cpu): a golden without a case; delete it, or bring the case back",
            "gpt::foreign (cpu): no golden; run `cargo test -- gpt::foreign`, then accept what is pending",
            "gpt::pending (cpu): no golden; run `cargo test -- gpt::pending`, then accept what is pending",
        ];
        assert_eq!(found, expected);
        assert_eq!(check(&store, "fine", Some(&Platform::Cpu)).unwrap(), []);
    }
}
