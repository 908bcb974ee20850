//! The Hugging Face model families that can be read and written.

use std::fmt;

/// `model_type` of a config.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelType {
    /// Llama 1 to 3 and the many models of its layout.
    Llama,
    /// Mistral 7B and its dense successors.
    Mistral,
    /// Qwen 2 and 2.5, dense: Llama with biases on q, k and v.
    Qwen2,
    /// Qwen 3, dense: Llama with normalised queries and keys.
    Qwen3,
    /// GPT-2.
    Gpt2,
    /// Nemotron 3 and 4, Minitron: LayerNorm1p and squared ReLU.
    Nemotron,
}

impl ModelType {
    /// All families, in the order in which messages list them.
    pub const ALL: [Self; 6] =
        [Self::Llama, Self::Mistral, Self::Qwen2, Self::Qwen3, Self::Gpt2, Self::Nemotron];

    /// The family that config.json calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model_type| model_type.name() == name)
    }

    /// Value of `model_type` in config.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gpt2 => "gpt2",
            Self::Nemotron => "nemotron",
        }
    }

    /// Class with a language modelling head, as listed in `architectures`.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::Gpt2 => "GPT2LMHeadModel",
            Self::Nemotron => "NemotronForCausalLM",
        }
    }
}

impl fmt::Display for ModelType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
