//! `model_config.yaml` of a tiny model that serves a dozen requests in a blink.

use std::fmt;

/// What the file says.
#[derive(Clone)]
pub(super) struct CaseText {
    flags: Vec<(&'static str, String)>,
    metrics: Vec<&'static str>,
    more: &'static str,
}

const TINY: [(&str, &str); 24] = [
    ("--tokenizer-type", "TikTokenizer"),
    ("--bf16", "true"),
    ("--num-layers", "2"),
    ("--hidden-size", "64"),
    ("--num-attention-heads", "4"),
    ("--group-query-attention", "true"),
    ("--num-query-groups", "2"),
    ("--kv-channels", "16"),
    ("--ffn-hidden-size", "96"),
    ("--swiglu", "true"),
    ("--normalization", "RMSNorm"),
    ("--position-embedding-type", "rope"),
    ("--disable-bias-linear", "true"),
    ("--max-position-embeddings", "256"),
    ("--seq-length", "256"),
    ("--inference-max-seq-length", "256"),
    ("--init-method-std", "0.15"),
    ("--top_k", "1"),
    ("--seed", "5"),
    ("--return-log-probs", "true"),
    ("--termination-id", "-1"),
    ("--num-tokens-to-generate", "12"),
    ("--inference-dynamic-batching-buffer-size-gb", "0.01"),
    ("--prompt-file", "prompts.jsonl"),
];

/// Parameters of the tiny model: tied embedding, two layers (attention, SwiGLU, two norms), final norm.
pub(super) const NUM_PARAMETERS: u64 =
    101_376 * 64 + 2 * (64 * (64 + 2 * 32) + 64 * 64 + 3 * 64 * 96 + 2 * 64) + 64;

impl CaseText {
    pub(super) fn tiny() -> Self {
        let flags = TINY.map(|(name, value)| (name, value.to_owned())).to_vec();
        Self { flags, metrics: vec!["generated_tokens", "generated_text", "logprobs"], more: "" }
    }

    /// Sets a flag, anew or once more.
    pub(super) fn flag(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.flags.retain(|(known, _)| *known != name);
        self.flags.push((name, value.to_string()));
        self
    }

    /// Replaces METRICS.
    pub(super) fn metrics(self, metrics: &[&'static str]) -> Self {
        Self { metrics: metrics.to_vec(), ..self }
    }

    /// Further top-level keys, as YAML.
    pub(super) fn more(self, yaml: &'static str) -> Self {
        Self { more: yaml, ..self }
    }
}

impl fmt::Display for CaseText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "TEST_TYPE: frozen-start\nMODE: inference\nMODEL_ARGS:")?;
        for (name, value) in &self.flags {
            writeln!(f, "  {name}: {value}")?;
        }
        writeln!(f, "METRICS: [{}]\n{}", self.metrics.join(", "), self.more)
    }
}

/// A dozen prompts of many lengths.
pub(super) fn prompts() -> String {
    let sentence = "The lap is long, the track is wet, and nobody knows who will win.";
    let words: Vec<&str> = sentence.split(' ').collect();
    let prompt = |i: usize| {
        let text: Vec<&str> = words.iter().cycle().skip(i).take(1 + i * 3).copied().collect();
        format!("{}\n", serde_json::json!({ "text": text.join(" ") }))
    };
    (0..NUM_REQUESTS).map(prompt).collect()
}

/// Requests of a case.
pub(super) const NUM_REQUESTS: usize = 12;
