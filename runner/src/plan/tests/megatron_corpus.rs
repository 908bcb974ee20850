//! Case files of every shape that Megatron-LM's own have, each with what must become of it in its first line: written
//! anew, with its flags and our own prompts.

use std::fs;
use std::path::Path;

use super::super::{AbsentModel, Disposition, PlanInputs, Platform, plan_case};
use crate::config::{CaseFile, Environment};

const ARTIFACTS: &str = "/mnt/artifacts";

/// Plans a file where the original's data are, or where no variable is set.
fn plan_file(path: &Path, has_artifacts: bool, absent: AbsentModel) -> Disposition {
    let case = match CaseFile::read(path) {
        Ok(case) => case,
        Err(error) => return Disposition::Invalid(error),
    };
    let root = Path::new("/cases");
    let environment = Environment::new(root, Path::new("/cache"), |name| {
        (has_artifacts && matches!(name, "CHECKPOINT_LOAD_PATH" | "DATA_PATH")).then(|| ARTIFACTS.to_owned())
    });
    plan_case(&PlanInputs {
        case: &case,
        name: "gpt::case",
        folder: Path::new("/cases/gpt/case"),
        golden_root: root,
        platform: &Platform::Gpu("dgx_h100".to_owned()),
        environment: &environment,
        absent,
        exists: &|path| has_artifacts && path.starts_with(ARTIFACTS),
    })
}

fn in_words(disposition: &Disposition) -> String {
    match disposition {
        Disposition::Run(_) => "runnable".to_owned(),
        Disposition::Skip { reason, .. } => format!("ignored: {reason}"),
        Disposition::Invalid(error) => {
            let messages: Vec<&str> = error.diagnostics.iter().map(|d| d.message.as_str()).collect();
            format!("invalid: {}", messages.join("; "))
        }
    }
}

/// `said` is of the kind expected, and its reason has the words expected.
fn agrees(said: &str, expected: &str) -> bool {
    match expected.split_once(':') {
        None => said == expected,
        Some((kind, words)) => said.starts_with(kind) && said.contains(words.trim()),
    }
}

#[test]
fn every_shape_is_runnable_ignored_or_invalid_with_its_reason() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/megatron");
    let mut seen = [0; 3];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let expected = text.lines().next().unwrap().strip_prefix("# ").unwrap().trim();
        let said = in_words(&plan_file(&path, true, AbsentModel::Skips));
        assert!(agrees(&said, expected), "{name}: expected {expected:?}, got {said:?}");
        let without = in_words(&plan_file(&path, false, AbsentModel::Skips));
        let replaced = in_words(&plan_file(&path, false, AbsentModel::IsReplaced));
        match expected {
            "runnable" => {
                let reason = "ignored: the environment variable CHECKPOINT_LOAD_PATH is not set";
                let reads_file = text.contains("--prompt-file:");
                assert!(without.starts_with(reason) || reads_file, "{name}: {without}");
                assert!(replaced == "runnable" || reads_file, "{name}: {replaced}");
                seen[0] += 1;
            }
            _ => {
                assert_eq!(without.split(':').next(), expected.split(':').next(), "{name}: {without}");
                seen[if expected.starts_with("ignored") { 1 } else { 2 }] += 1;
            }
        }
    }
    assert!(seen.iter().all(|count| *count >= 6), "{seen:?}");
}

#[test]
fn where_somebody_else_serves_only_the_vocabulary_is_needed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/megatron");
    let path = folder.join("dynamic_coordinator.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let elsewhere = |text: String| {
        let case = CaseFile::parse(&path, text).unwrap();
        plan_case(&PlanInputs {
            case: &case,
            name: "gpt::case",
            folder: &folder,
            golden_root: &folder,
            platform: &Platform::Cpu,
            environment: &super::bare_environment(),
            absent: AbsentModel::IsElsewhere,
            exists: &|_| false,
        })
    };
    let reason = super::skip(elsewhere(text.clone()));
    assert_eq!(reason, "the environment variable CHECKPOINT_LOAD_PATH is not set", "the vocabulary is");
    let line = "  --tokenizer-model: ${CHECKPOINT_LOAD_PATH}/model/some/vocab.json\n";
    let plan = super::run(elsewhere(text.replace(line, "")));
    assert!(matches!(plan.model, crate::plan::ModelPlan::Elsewhere));
    assert_eq!(plan.metrics, ["generated_tokens", "logprobs"], "and all of it is compared");
}
