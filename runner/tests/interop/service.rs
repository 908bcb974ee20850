//! `goldlap serve` as a process under test, on a tiny random model.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use tempfile::TempDir;

/// No service may take longer to come up or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The installed program, which is also each rank.
pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_goldlap"))
}

/// A random model with the built-in vocabulary, and a cache folder of its own.
pub(crate) struct Model {
    root: TempDir,
}

impl Model {
    pub(crate) fn random() -> Result<Model, Failed> {
        let root = TempDir::new()?;
        let flags = "--num-layers 2 --hidden-size 64 --num-attention-heads 4 --swiglu --normalization RMSNorm \
                     --position-embedding-type rope --disable-bias-linear --max-position-embeddings 256 --seed 1";
        let made = program()
            .arg("init-model")
            .arg("--output")
            .arg(root.path().join("model"))
            .args(flags.split_whitespace())
            .output()?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into_owned().into());
        }
        Ok(Model { root })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.path().join("model")
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }
}

/// Small limits, so that a rank is ready at once.
pub(crate) const LIMITS: [&str; 8] = [
    "--inference-max-seq-length",
    "256",
    "--inference-dynamic-batching-buffer-size-gb",
    "0.02",
    "--inference-dynamic-batching-block-size",
    "16",
    "--inference-dynamic-batching-max-tokens",
    "512",
];

pub(crate) struct Service {
    child: Child,
    endpoint: String,
    rank_pids: Vec<u32>,
    lines: Receiver<String>,
}

impl Service {
    pub(crate) fn start(model: &Model, arguments: &[&str]) -> Result<Service, Failed> {
        let mut command = program();
        command.arg("serve").arg("--model").arg(model.path()).args(LIMITS).args(arguments);
        Self::started(command, model.root())
    }

    /// The service of this command, with output and cache below `root`.
    pub(crate) fn started(mut command: Command, root: &Path) -> Result<Service, Failed> {
        command.arg("--output").arg(root.join("output")).env("GOLDLAP_CACHE_DIR", root.join("cache"));
        command.env("GOLDLAP_PLATFORM", "cpu").stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let lines = lines(&mut child);
        let first = lines.recv_timeout(PATIENCE).map_err(|_| "the service did not come up")?;
        let parse = || {
            let (endpoint, rest) = first.strip_prefix("listening on ")?.split_once(", ")?;
            let pids = rest.split_once("pids ")?.1.split_once(';')?.0;
            Some((endpoint.to_owned(), pids.split(' ').filter_map(|pid| pid.parse().ok()).collect()))
        };
        let Some((endpoint, rank_pids)) = parse() else {
            let _gone = child.kill();
            let rest: Vec<String> = lines.iter().collect();
            return Err(format!("not a greeting: {first}\n{}", rest.join("\n")).into());
        };
        Ok(Service { child, endpoint, rank_pids, lines })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; its exit code, and all it said.
    pub(crate) fn wait(&mut self) -> Result<(Option<i32>, String), Failed> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status.code(), self.said()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("the service did not end:\n{}", self.kill()).into())
    }

    /// Ends it by force; all it said.
    pub(crate) fn kill(&mut self) -> String {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        self.said()
    }

    fn said(&self) -> String {
        self.lines.iter().collect::<Vec<_>>().join("\n")
    }

    /// Every rank's process has gone.
    pub(crate) fn nothing_is_left(&self) -> Result<(), Failed> {
        assert!(!self.rank_pids.is_empty(), "it named its ranks");
        for pid in &self.rank_pids {
            // An orphan that its new parent has yet to reap runs no more.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let state = stat.rsplit(") ").next().unwrap_or_default();
            if !stat.is_empty() && !state.starts_with('Z') {
                return Err(format!("rank process {pid} is left").into());
            }
        }
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What the process says on both streams, line by line, until it ends.
fn lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
    ];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                // Nobody listens any more once the test is over.
                let _unheard = sender.send(line);
            }
        });
    }
    receiver
}
