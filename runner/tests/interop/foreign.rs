//! Our ranks and our client at a coordinator that is not ours and ends of anything that it does not know.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use libtest_mimic::Failed;

use crate::Python;
use crate::service::{LIMITS, Model, program};

/// The coordinator's process and endpoint.
struct Foreign {
    child: Child,
    endpoint: String,
}

impl Foreign {
    fn start(python: &Python, arguments: &[&str]) -> Result<Foreign, Failed> {
        Foreign::started(python.script("coordinator.py", arguments))
    }

    fn started(mut command: Command) -> Result<Foreign, Failed> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut endpoint = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut endpoint)?;
        Ok(Foreign { child, endpoint: endpoint.trim().to_owned() })
    }

    /// Waits for its end, which must be a good one.
    fn wait(self) -> Result<(), Failed> {
        let output = self.child.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("the coordinator failed:\n{}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// `goldlap rank` joins, serves text and tokens, and leaves when told to stop.
pub(crate) fn ranks_join(model: &Model, python: &Python) -> Result<(), Failed> {
    ranks_serve(model, python.script("coordinator.py", &["ranks", "2"]))
}

/// Two ranks join the coordinator that the command starts; all end well.
pub(crate) fn ranks_serve(model: &Model, coordinator: Command) -> Result<(), Failed> {
    let coordinator = Foreign::started(coordinator)?;
    let start = |rank: &str| {
        let mut command = program();
        command.args(["rank", "--coordinator", &coordinator.endpoint, "--rank", rank, "--model"]);
        command.arg(model.path()).args(LIMITS).env("GOLDLAP_CACHE_DIR", model.root().join("cache"));
        command.env("GOLDLAP_PLATFORM", "cpu").stdin(Stdio::null()).stderr(Stdio::piped()).spawn()
    };
    let ranks = [start("0")?, start("1")?];
    let result = coordinator.wait();
    for mut rank in ranks {
        if result.is_err() {
            let _gone = rank.kill();
        }
        let output = rank.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if result.is_ok() && !output.status.success() {
            return Err(format!("a rank ended with {}:\n{said}", output.status).into());
        }
    }
    result
}

const CASE: &str = "MODE: inference
MODEL_ARGS:
  --num-layers: 2
  --hidden-size: 64
  --num-attention-heads: 4
  --max-position-embeddings: 64
  --prompts: \"[one two three]\"
  --num-tokens-to-generate: 3
  --output-path: ${INFERENCE_OUTPUT_PATH}
METRICS: [generated_tokens, generated_text]
";

/// `goldlap run --endpoint` sends a case's requests there, says nothing that the original does not know, and judges.
pub(crate) fn a_case_runs_elsewhere(model: &Model, python: &Python) -> Result<(), Failed> {
    let root = model.root().join("tree");
    let folder = root.join("gpt/nested/three_prompts");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("model_config.yaml"), CASE)?;
    let output = root.join("output.json");
    let run = |golden: &str| -> Result<(bool, String), Failed> {
        let golden_file = folder.join("golden_values_dev_dgx_h100.json");
        fs::write(&golden_file, golden)?;
        let coordinator = Foreign::start(python, &["engine"])?;
        let mut command = program();
        command.args(["run", "--endpoint", &coordinator.endpoint, "--cases"]).arg(&root);
        command.args(["--platform", "dgx_h100", "--output"]).arg(model.root().join("output"));
        command.env("INFERENCE_OUTPUT_PATH", &output).env("GOLDLAP_CACHE_DIR", model.root().join("cache"));
        let ran = command.output()?;
        coordinator.wait()?;
        let said =
            [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
        Ok((ran.status.success(), said))
    };
    let tokens = |first: u32| {
        let one = format!("[{first}, {}, {}]", first + 1, first + 2);
        let text = format!("\"{first} {} {}\"", first + 1, first + 2);
        format!("{{\"generated_tokens\": {one}, \"generated_text\": {text}}}")
    };
    // Each of the words is one token in the built-in vocabulary.
    let golden = |first| format!("{{\"0\": {0}, \"1\": {0}, \"2\": {0}}}", tokens(first));
    let (passed, said) = run(&golden(1001))?;
    if !passed || !said.contains("12 assertions") {
        return Err(format!("expected to pass with 12 assertions:\n{said}").into());
    }
    let (passed, said) = run(&golden(1002))?;
    if passed {
        return Err(format!("another golden passed:\n{said}").into());
    }
    let theirs =
        program().arg("compare").arg(folder.join("golden_values_dev_dgx_h100.json")).arg(&output).output()?;
    let text = String::from_utf8_lossy(&theirs.stdout).into_owned();
    if theirs.status.code() != Some(1) || !text.contains("Megatron's checker: fails") {
        return Err(format!("the output should differ from this golden:\n{text}").into());
    }
    Ok(())
}
