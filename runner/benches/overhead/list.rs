//! `goldlap list` over five and ten thousand case folders.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::figures::{row, spread};

const CASE: &str = "\
MODE: inference
TEST_TYPE: frozen-start
DP: 8
MODEL_ARGS:
  --num-layers: 24
  --hidden-size: 1152
  --num-attention-heads: 16
  --group-query-attention: true
  --num-query-groups: 8
  --kv-channels: 128
  --ffn-hidden-size: 4608
  --normalization: RMSNorm
  --disable-bias-linear: true
  --swiglu: true
  --max-position-embeddings: 8192
  --position-embedding-type: rope
  --rotary-base: 1000000
  --rotary-percent: 1.0
  --untie-embeddings-and-output-weights: true
  --bf16: true
  --tokenizer-type: TikTokenizer
  --micro-batch-size: 1
  --temperature: 1.0
  --top_k: 1
  --num-tokens-to-generate: 16
  --incoming-requests-per-step: 32
  --inference-dynamic-batching: true
METRICS:
  - generated_tokens
";

pub(crate) fn run() {
    for count in [1_000, 5_000, 10_000] {
        let root = tempfile::tempdir().expect("a folder");
        for index in 0..count {
            let folder = root.path().join(format!("cases/gpt/case_{index:05}_tp1_pp1_dp8"));
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("model_config.yaml"), CASE).expect("a case");
        }
        let before = children_cpu_s();
        let mut seconds: Vec<f64> = (0..5).map(|_| list(root.path())).collect();
        let cpu_s = (children_cpu_s() - before) / 5.0;
        row(&format!("list: seconds for {count} folders"), &spread(&mut seconds, 2));
        let megabytes = peak_bytes(root.path()) / 1e6;
        row(&format!("list: MB at the most for {count} folders"), &format!("{megabytes:.1}"));
        row(&format!("list: seconds of a core for {count} folders, all threads"), &format!("{cpu_s:.2}"));
    }
}

fn list(root: &Path) -> f64 {
    let start = Instant::now();
    let status = listing(root).stdout(Stdio::null()).status().expect("the program runs");
    assert!(status.code().is_some(), "{status}");
    start.elapsed().as_secs_f64()
}

fn listing(root: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_goldlap"));
    program.args(["list", "--cases"]).arg(root.join("cases"));
    program.arg("--goldens").arg(root.join("goldens")).args(["--platform", "cpu"]);
    program
}

/// Largest resident set of the program while it lists.
fn peak_bytes(root: &Path) -> f64 {
    let mut program = listing(root).stdout(Stdio::piped()).spawn().expect("the program runs");
    let status = format!("/proc/{}/status", program.id());
    let (mut peak, mut buffer) = (0.0_f64, [0; 256]);
    let mut lines = program.stdout.take().expect("a pipe");
    // What it prints is taken in small bites, with a look at its memory before each; the pipe holds the end back.
    while lines.read(&mut buffer).expect("its list") > 0 {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let kibibytes =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
        let kibibytes = kibibytes.and_then(|number| number.trim().parse::<f64>().ok());
        peak = peak.max(1024.0 * kibibytes.unwrap_or(0.0));
    }
    program.wait().expect("ended");
    peak
}

/// Seconds of a core that ended child processes have had, in hundredths.
fn children_cpu_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("a status");
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    // The 16th and 17th field of the line: user and system time in ticks, a hundred a second.
    let ticks = fields.split_whitespace().skip(13).take(2).map(|field| field.parse::<f64>().expect("ticks"));
    ticks.sum::<f64>() / 100.0
}
