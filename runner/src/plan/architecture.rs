//! Architecture of a model with random weights, from flags with Megatron's defaults.

use goldlap_kernels::model::config::{Activation, GptConfig, Normalization, PositionEmbedding, RopeScaling};

use super::case_plan::{Origin, TokenizerPlan};
use super::resolution::Resolution;

/// Tokens of the built-in vocabulary: the 100,256 ranks of cl100k_base after 1,000 special ids.
pub(super) const BUILT_IN_VOCABULARY: usize = 101_256;
/// Megatron cuts TikTokenizer's vocabulary to this size unless --vocab-size says otherwise.
const TIKTOKEN_VOCABULARY: usize = 1 << 17;
/// A model beyond this many weights per matrix or layers is a mistake.
const LARGEST_MATRIX: usize = 1 << 36;

/// Heads and widths of attention.
struct Heads {
    num_attention_heads: usize,
    num_query_groups: usize,
    kv_channels: usize,
}

impl Resolution<'_> {
    pub(super) fn architecture(&mut self, tokenizer: Option<&TokenizerPlan>) -> Option<GptConfig> {
        let num_layers = self.required("--num-layers");
        let hidden_size = self.required("--hidden-size");
        let heads = self.heads(hidden_size);
        let vocab_size = self.vocab_size(tokenizer);
        let positions = self.max_positions();
        let normalization = self.normalization();
        let norm_epsilon =
            self.number_in("--norm-epsilon", |e| e > 0.0 && e < 1.0, "more than 0 and less than 1");
        let position_embedding = self.position_embedding();
        let no_bias = self.switch("--disable-bias-linear");
        let qkv_bias = self.switch("--add-qkv-bias") || !no_bias;
        let activation = self.activation(!no_bias);
        let ffn_hidden_size = self.ffn_hidden_size(hidden_size, activation);
        let qk_norm = self.qk_norm(normalization);
        let tied_embeddings = !self.switch("--untie-embeddings-and-output-weights");
        let heads = heads?;
        let config = GptConfig {
            num_layers: num_layers?,
            hidden_size: hidden_size?,
            num_attention_heads: heads.num_attention_heads,
            num_query_groups: heads.num_query_groups,
            kv_channels: heads.kv_channels,
            ffn_hidden_size: ffn_hidden_size?,
            vocab_size: vocab_size?,
            max_position_embeddings: positions?,
            normalization: normalization?,
            norm_epsilon: norm_epsilon? as f32,
            position_embedding: position_embedding?,
            activation: activation?,
            qkv_bias,
            attention_output_bias: !no_bias,
            mlp_bias: !no_bias,
            qk_norm: qk_norm?,
            tied_embeddings,
        };
        self.check_size(config)
    }

    fn required(&mut self, flag: &'static str) -> Option<usize> {
        if !self.is_given(flag) {
            self.report_undescribed(flag);
            return None;
        }
        self.count(flag)
    }

    /// A flag without which nothing can be known about the model: a mistake, unless the case leaves it to its checkpoint and
    /// random weights were to stand for that.
    fn report_undescribed(&mut self, flag: &'static str) {
        if self.replaced {
            self.absence("--load: not there, and only the checkpoint knows the model's sizes: no random weights can stand for it");
        } else {
            self.error(flag, "is missing", Some("a case without --load describes its model by flags"));
        }
    }

    fn heads(&mut self, hidden_size: Option<usize>) -> Option<Heads> {
        let num_attention_heads = self.required("--num-attention-heads")?;
        let grouped = self.switch("--group-query-attention");
        let groups = self.count("--num-query-groups")?;
        let kv_channels = self.count("--kv-channels");
        if !grouped {
            self.ignore("--num-query-groups", "has an effect with --group-query-attention only");
        }
        let num_query_groups = if grouped { groups } else { num_attention_heads };
        if !num_attention_heads.is_multiple_of(num_query_groups) {
            let message =
                format!("expected a divisor of the {num_attention_heads} heads, got {num_query_groups}");
            self.error("--num-query-groups", message, None);
            return None;
        }
        let kv_channels = match kv_channels {
            Some(given) => given,
            None => {
                let hidden_size = hidden_size?;
                if !hidden_size.is_multiple_of(num_attention_heads) {
                    let message =
                        format!("{num_attention_heads} heads do not divide the hidden size {hidden_size}");
                    self.error("--num-attention-heads", message, Some("give --kv-channels"));
                    return None;
                }
                let channels = hidden_size / num_attention_heads;
                self.note(
                    "--kv-channels",
                    channels.to_string(),
                    Origin::Default,
                    "width of one head: h / heads",
                );
                channels
            }
        };
        Some(Heads { num_attention_heads, num_query_groups, kv_channels })
    }

    /// Megatron narrows a gated MLP so that it has about as many weights as a plain one of width 4h.
    fn ffn_hidden_size(
        &mut self,
        hidden_size: Option<usize>,
        activation: Option<Activation>,
    ) -> Option<usize> {
        if let Some(given) = self.count("--ffn-hidden-size") {
            return Some(given);
        }
        let (hidden_size, gated) = (hidden_size?, activation? == Activation::SwiGlu);
        let width = if gated { hidden_size * 8 / 3 / 64 * 64 } else { hidden_size * 4 };
        if width == 0 {
            self.error(
                "--ffn-hidden-size",
                "is missing",
                Some("the default of a gated MLP this narrow is 0"),
            );
            return None;
        }
        self.note("--ffn-hidden-size", width.to_string(), Origin::Default, "inner width of the MLP");
        Some(width)
    }

    /// With biases Megatron runs GELU in its fused kernel, the tanh approximation; without biases, or with
    /// --no-bias-gelu-fusion, it runs the exact one.
    fn activation(&mut self, has_bias: bool) -> Option<Activation> {
        let choices = [
            ("--swiglu", Activation::SwiGlu),
            ("--squared-relu", Activation::SquaredRelu),
            ("--openai-gelu", Activation::GeluTanh),
        ];
        let mut chosen: Option<(&str, Activation)> = None;
        for (flag, activation) in choices {
            if !self.switch(flag) {
                continue;
            }
            if let Some((earlier, _)) = chosen {
                self.error(flag, format!("{earlier} is given too: an MLP has one activation"), None);
                return None;
            }
            chosen = Some((flag, activation));
        }
        let unfused = self.switch("--no-bias-gelu-fusion");
        Some(match chosen {
            Some((_, activation)) => activation,
            None if has_bias && !unfused => Activation::GeluTanh,
            None => Activation::Gelu,
        })
    }

    fn normalization(&mut self) -> Option<Normalization> {
        let rms = self.text("--normalization")? == "RMSNorm";
        let plus_one = self.switch("--apply-layernorm-1p");
        match (rms, plus_one) {
            (true, true) => {
                self.error("--apply-layernorm-1p", "needs --normalization LayerNorm", None);
                None
            }
            (true, false) => Some(Normalization::RmsNorm),
            (false, true) => Some(Normalization::LayerNorm1p),
            (false, false) => Some(Normalization::LayerNorm),
        }
    }

    fn qk_norm(&mut self, normalization: Option<Normalization>) -> Option<bool> {
        let wanted = self.switch("--qk-layernorm");
        if wanted && normalization? != Normalization::RmsNorm {
            self.obstacle("--qk-layernorm: only with --normalization RMSNorm yet");
            return None;
        }
        Some(wanted)
    }

    fn position_embedding(&mut self) -> Option<PositionEmbedding> {
        let kind = self.text("--position-embedding-type")?;
        let base = self.number_in("--rotary-base", |base| base > 1.0, "more than 1")?;
        let percent =
            self.number_in("--rotary-percent", |p| p > 0.0 && p <= 1.0, "more than 0 and at most 1")?;
        let scaled = self.switch("--use-rope-scaling");
        let factor = self.number_in("--rope-scaling-factor", |factor| factor >= 1.0, "at least 1")?;
        match kind.as_str() {
            "rope" => {
                // The other three numbers are fixed in Megatron too.
                let scaling = scaled.then_some(RopeScaling {
                    factor,
                    low_freq_factor: 1.0,
                    high_freq_factor: 4.0,
                    original_max_position_embeddings: 8192,
                });
                Some(PositionEmbedding::Rope { base, percent, scaling })
            }
            "learned_absolute" => {
                for flag in
                    ["--rotary-base", "--rotary-percent", "--use-rope-scaling", "--rope-scaling-factor"]
                {
                    self.ignore(flag, "has an effect with --position-embedding-type rope only");
                }
                Some(PositionEmbedding::LearnedAbsolute)
            }
            other => {
                self.obstacle(format!("--position-embedding-type {other}: not implemented yet"));
                None
            }
        }
    }

    fn max_positions(&mut self) -> Option<usize> {
        let positions = self.count("--max-position-embeddings");
        let trained = self.count("--seq-length");
        if positions.or(trained).is_none() {
            self.report_undescribed("--max-position-embeddings");
        }
        positions.or(trained)
    }

    fn vocab_size(&mut self, tokenizer: Option<&TokenizerPlan>) -> Option<usize> {
        let padded = self.count("--padded-vocab-size");
        let given = self.count("--vocab-size");
        let multiple = self.count("--make-vocab-size-divisible-by")?;
        if padded.is_some() {
            return padded;
        }
        let size = match (given, tokenizer?) {
            (Some(given), _) => given,
            (None, TokenizerPlan::BuiltIn) => BUILT_IN_VOCABULARY,
            (None, TokenizerPlan::TikToken { .. }) => TIKTOKEN_VOCABULARY,
            (None, TokenizerPlan::HuggingFace { .. }) => {
                let help =
                    "a model with random weights and a Hugging Face tokenizer needs its size from a flag";
                self.error("--padded-vocab-size", "is missing", Some(help));
                return None;
            }
        };
        let rows = size.next_multiple_of(multiple);
        self.note("--padded-vocab-size", rows.to_string(), Origin::Default, "the vocabulary, padded");
        Some(rows)
    }

    fn check_size(&mut self, config: GptConfig) -> Option<GptConfig> {
        let widths = [
            ("--num-layers", config.num_layers, 1),
            ("--hidden-size", config.hidden_size, 1),
            ("--kv-channels", config.num_attention_heads * config.kv_channels, config.hidden_size),
            ("--ffn-hidden-size", config.ffn_hidden_size, config.hidden_size),
            ("--padded-vocab-size", config.vocab_size, config.hidden_size),
            ("--max-position-embeddings", config.max_position_embeddings, 1),
        ];
        for (flag, rows, columns) in widths {
            let limit = if columns == 1 { 1 << 24 } else { LARGEST_MATRIX };
            if rows.checked_mul(columns).is_none_or(|weights| weights > limit) {
                self.error(flag, format!("{rows} x {columns} is too large for a model of this engine"), None);
                return None;
            }
        }
        let rotated = match config.position_embedding {
            PositionEmbedding::Rope { percent, .. } => (config.kv_channels as f64 * percent) as usize,
            PositionEmbedding::LearnedAbsolute => 2,
        };
        if rotated < 2 || !rotated.is_multiple_of(2) {
            let message = format!(
                "{rotated} of {} channels would be rotated: expected an even number",
                config.kv_channels
            );
            self.error("--kv-channels", message, None);
            return None;
        }
        Some(config)
    }
}
