//! The tekken vocabulary, which Megatron-LM's GPT cases use: our tokenizer against token ids of another make (tiktoken),
//! and against the goldens of the original. The file is not ours to ship: GOLDLAP_TEKKEN names a `tekken.json` (package
//! mistral-common has one), GOLDLAP_MEGATRON_CASES a folder of goldens; without them a trial is listed as ignored.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use goldlap::golden::Golden;
use goldlap::plan::TokenizerPlan;
use goldlap::workload::Tokenizer;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;

type Test = fn() -> Result<Completion, Failed>;

fn main() -> ExitCode {
    let tests: [(&str, Test); 2] = [
        ("own_text_has_the_tokens_of_tiktoken", own_text),
        ("goldens_of_the_original_are_read_back", goldens_of_the_original),
    ];
    let trial = |(name, test): (&'static str, Test)| Trial::ignorable_test(name, test);
    libtest_mimic::run(&Arguments::from_args(), tests.into_iter().map(trial).collect()).exit_code()
}

fn named(variable: &str) -> Result<PathBuf, Completion> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .ok_or_else(|| Completion::ignored_with(format!("{variable} is not set")))
}

fn load(path: PathBuf) -> Result<Tokenizer, Failed> {
    Ok(Tokenizer::load(&TokenizerPlan::TikToken { path, pattern: "v2".to_owned() })?)
}

fn own_text() -> Result<Completion, Failed> {
    let path = match named("GOLDLAP_TEKKEN") {
        Ok(path) => path,
        Err(ignored) => return Ok(ignored),
    };
    let tokenizer = load(path)?;
    let samples: Vec<Value> = serde_json::from_str(include_str!("own_text.json"))?;
    assert!(samples.len() >= 10);
    for sample in samples {
        let (text, tokens) = (sample["text"].as_str().ok_or("text")?, &sample["tokens"]);
        let expected: Vec<u32> = serde_json::from_value(tokens.clone())?;
        assert_eq!(tokenizer.encode(text)?, expected, "{text:?}");
        assert_eq!(tokenizer.decode(&expected), text);
    }
    Ok(Completion::Completed)
}

fn goldens_of_the_original() -> Result<Completion, Failed> {
    let (tekken, cases) = match (named("GOLDLAP_TEKKEN"), named("GOLDLAP_MEGATRON_CASES")) {
        (Ok(tekken), Ok(cases)) => (tekken, cases),
        (Err(ignored), _) | (_, Err(ignored)) => return Ok(ignored),
    };
    let tokenizer = load(tekken)?;
    let mut num_requests = 0;
    for entry in walkdir::WalkDir::new(&cases) {
        let path = entry?.into_path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("golden_values_") && name.ends_with(".json") {
            num_requests += read_back(&tokenizer, &path)?;
        }
    }
    assert!(num_requests > 0, "{} holds no golden with requests", cases.display());
    println!("{num_requests} requests of goldens were read back");
    Ok(Completion::Completed)
}

/// Tokenises every prompt and detokenises every reply of one golden; how many requests it has.
fn read_back(tokenizer: &Tokenizer, path: &Path) -> Result<usize, Failed> {
    let golden = Golden::from_bytes(&fs::read(path)?).map_err(|why| format!("{}: {why}", path.display()))?;
    for (id, request) in &golden.requests {
        let at = format!("{}, request {id}", path.display());
        let generated = request.generated_tokens.as_deref().ok_or_else(|| format!("{at}: no tokens"))?;
        let text = tokenizer.decode(generated);
        let expected = request.generated_text.as_deref().unwrap_or_default();
        // The original's coordinator script writes line ends as a backslash and an n.
        assert!(
            text == expected || text.replace('\n', "\\n") == expected,
            "{at}: {text:?} is not {expected:?}"
        );
        let prompt = request.input_prompt.as_deref().unwrap_or_default();
        let num_prompt_tokens = tokenizer.encode_prompt(prompt, false)?.len();
        if let Some(logprobs) = &request.logprobs {
            assert_eq!(num_prompt_tokens - 1 + generated.len(), logprobs.len(), "{at}: prompt tokens");
        }
        if let Some(logprobs) = &request.prompt_logprobs {
            assert_eq!(num_prompt_tokens - 1, logprobs.len(), "{at}: prompt tokens");
        }
    }
    Ok(golden.requests.len())
}
