//! A thousand cases list quickly: discovery, parsing and planning together.

use std::fs;
use std::path::Path;

use crate::config::CaseFile;
use crate::config::discovery::discover;
use crate::metrics::Clock;
use crate::plan::tests::{bare_environment, megatron_files};
use crate::plan::{AbsentModel, Disposition, PlanInputs, Platform, plan_case};

const NUM_CASES: usize = 1000;
/// A hundred times what it takes on an idle core: on a loaded machine only a blow-up reaches it.
const LIMIT_S: f64 = 10.0;

#[test]
fn a_thousand_folders_are_planned_in_no_time() {
    let root = tempfile::tempdir().unwrap();
    for index in 0..NUM_CASES {
        let folder = root.path().join(format!("gpt/case_{index:04}_tp1_pp1_dp8"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("model_config.yaml"), megatron_files::throughput_case()).unwrap();
    }
    let clock = Clock::start();
    let environment = bare_environment();
    let mut skipped = 0;
    for found in discover(root.path()).unwrap() {
        let case = CaseFile::read(&found.file.unwrap()).unwrap();
        let disposition = plan_case(&PlanInputs {
            case: &case,
            name: &found.name,
            folder: &found.folder,
            golden_root: Path::new("/goldens"),
            platform: &Platform::Cpu,
            environment: &environment,
            absent: AbsentModel::Skips,
            exists: &|path| path.exists(),
        });
        skipped += usize::from(matches!(disposition, Disposition::Skip { .. }));
    }
    let seconds = clock.now_s();
    assert_eq!(skipped, NUM_CASES);
    assert!(seconds < LIMIT_S, "{seconds} s");
}
