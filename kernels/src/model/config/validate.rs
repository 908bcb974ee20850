//! Which architectures are sound: every later stage may rely on what is checked here.

use super::{GptConfig, PositionEmbedding, RopeScaling};

/// No single dimension of a real model comes near; larger values are typing errors or hostile files.
const MAX_DIMENSION: usize = 1 << 24;
/// Upper bound on layers.
const MAX_LAYERS: usize = 4096;
/// Upper bound on parameters: 2^40, two tebibytes of bf16.
const MAX_PARAMETERS: u64 = 1 << 40;

/// Why an architecture is impossible: which field, what it must be, what it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, got {got}")]
pub struct ConfigError {
    /// Field of [`GptConfig`] at fault.
    pub field: &'static str,
    /// What the field may be.
    pub expected: String,
    /// What it is.
    pub got: String,
}

impl ConfigError {
    fn new(field: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self { field, expected: expected.into(), got: got.to_string() }
    }
}

impl GptConfig {
    /// Checks that the architecture is possible and not absurdly large.
    ///
    /// # Errors
    /// Names the first field that is wrong, what it must be and what it is.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_sizes()?;
        self.validate_heads()?;
        self.validate_norm()?;
        self.validate_positions()?;
        let parameters = self.num_parameters();
        if parameters > MAX_PARAMETERS {
            let expected = format!("at most {MAX_PARAMETERS} parameters in all");
            return Err(ConfigError::new("num_parameters", expected, parameters));
        }
        Ok(())
    }

    fn validate_sizes(&self) -> Result<(), ConfigError> {
        for (field, size, max) in [
            ("num_layers", self.num_layers, MAX_LAYERS),
            ("hidden_size", self.hidden_size, MAX_DIMENSION),
            ("num_attention_heads", self.num_attention_heads, MAX_DIMENSION),
            ("num_query_groups", self.num_query_groups, MAX_DIMENSION),
            ("kv_channels", self.kv_channels, MAX_DIMENSION),
            ("ffn_hidden_size", self.ffn_hidden_size, MAX_DIMENSION),
            ("vocab_size", self.vocab_size, MAX_DIMENSION),
            ("max_position_embeddings", self.max_position_embeddings, MAX_DIMENSION),
        ] {
            if size == 0 || size > max {
                return Err(ConfigError::new(field, format!("1 to {max}"), size));
            }
        }
        Ok(())
    }

    fn validate_heads(&self) -> Result<(), ConfigError> {
        let (heads, groups) = (self.num_attention_heads, self.num_query_groups);
        if !heads.is_multiple_of(groups) {
            let expected = format!("a multiple of num_query_groups ({groups})");
            return Err(ConfigError::new("num_attention_heads", expected, heads));
        }
        if self.query_size() > MAX_DIMENSION {
            let expected = format!("num_attention_heads * kv_channels at most {MAX_DIMENSION}");
            return Err(ConfigError::new("kv_channels", expected, self.query_size()));
        }
        Ok(())
    }

    fn validate_norm(&self) -> Result<(), ConfigError> {
        let epsilon = self.norm_epsilon;
        if !(epsilon.is_finite() && epsilon > 0.0 && epsilon < 1.0) {
            return Err(ConfigError::new("norm_epsilon", "a number above 0 and below 1", epsilon));
        }
        Ok(())
    }

    fn validate_positions(&self) -> Result<(), ConfigError> {
        let PositionEmbedding::Rope { base, percent, scaling } = self.position_embedding else {
            return Ok(());
        };
        if !(base.is_finite() && base >= 1.0) {
            return Err(ConfigError::new("rotary_base", "a finite number, 1 or more", base));
        }
        if !(percent > 0.0 && percent <= 1.0) {
            return Err(ConfigError::new("rotary_percent", "above 0 and at most 1", percent));
        }
        let rotary = self.rotary_dim();
        if rotary == 0 || !rotary.is_multiple_of(2) {
            let expected = format!(
                "kv_channels ({}) * rotary_percent to be an even number, 2 or more",
                self.kv_channels
            );
            return Err(ConfigError::new(
                "rotary_percent",
                expected,
                format!("{percent}, which rotates {rotary}"),
            ));
        }
        scaling.map_or(Ok(()), RopeScaling::validate)
    }
}

impl RopeScaling {
    fn validate(self) -> Result<(), ConfigError> {
        if !(self.factor.is_finite() && self.factor >= 1.0) {
            return Err(ConfigError::new("rope_scaling.factor", "a finite number, 1 or more", self.factor));
        }
        if !(self.low_freq_factor.is_finite() && self.low_freq_factor > 0.0) {
            let got = self.low_freq_factor;
            return Err(ConfigError::new("rope_scaling.low_freq_factor", "a finite number above 0", got));
        }
        if !(self.high_freq_factor.is_finite() && self.high_freq_factor > self.low_freq_factor) {
            let expected = format!("above low_freq_factor ({})", self.low_freq_factor);
            return Err(ConfigError::new("rope_scaling.high_freq_factor", expected, self.high_freq_factor));
        }
        let original = self.original_max_position_embeddings;
        if original == 0 || original > MAX_DIMENSION {
            let expected = format!("1 to {MAX_DIMENSION}");
            return Err(ConfigError::new(
                "rope_scaling.original_max_position_embeddings",
                expected,
                original,
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut GptConfig);

    fn rope(config: &mut GptConfig, base: f64, percent: f64, scaling: Option<RopeScaling>) {
        config.position_embedding = PositionEmbedding::Rope { base, percent, scaling };
    }

    fn scaled(config: &mut GptConfig, factor: f64, low: f64, high: f64, original: usize) {
        let scaling = RopeScaling {
            factor,
            low_freq_factor: low,
            high_freq_factor: high,
            original_max_position_embeddings: original,
        };
        rope(config, 5e5, 1.0, Some(scaling));
    }

    #[test]
    fn impossible_architectures_are_refused_by_name() {
        let table: &[(Change, &str)] = &[
            (|c| c.num_layers = 0, "num_layers: expected 1 to 4096, got 0"),
            (|c| c.num_layers = usize::MAX, "num_layers: expected 1 to 4096, got"),
            (|c| c.hidden_size = 0, "hidden_size: expected 1 to"),
            (|c| c.vocab_size = usize::MAX, "vocab_size: expected 1 to"),
            (|c| c.kv_channels = 0, "kv_channels: expected 1 to"),
            (
                |c| c.num_query_groups = 5,
                "num_attention_heads: expected a multiple of num_query_groups (5), got 16",
            ),
            (
                |c| c.num_query_groups = 32,
                "num_attention_heads: expected a multiple of num_query_groups (32)",
            ),
            (|c| c.kv_channels = 1 << 22, "kv_channels: expected num_attention_heads * kv_channels at most"),
            (|c| c.norm_epsilon = 0.0, "norm_epsilon: expected a number above 0"),
            (|c| c.norm_epsilon = f32::NAN, "norm_epsilon: expected a number above 0 and below 1, got NaN"),
            (|c| rope(c, 0.0, 1.0, None), "rotary_base: expected"),
            (|c| rope(c, f64::INFINITY, 1.0, None), "rotary_base: expected"),
            (|c| rope(c, 1e4, 0.0, None), "rotary_percent: expected above 0"),
            (|c| rope(c, 1e4, 1.5, None), "rotary_percent: expected above 0 and at most 1, got 1.5"),
            (
                |c| rope(c, 1e4, 3.0 / 128.0, None),
                "an even number, 2 or more, got 0.0234375, which rotates 3",
            ),
            (|c| c.kv_channels = 127, "an even number, 2 or more, got 1, which rotates 127"),
            (|c| scaled(c, 0.5, 1.0, 4.0, 8192), "rope_scaling.factor: expected"),
            (|c| scaled(c, 8.0, 0.0, 4.0, 8192), "rope_scaling.low_freq_factor: expected"),
            (
                |c| scaled(c, 8.0, 4.0, 4.0, 8192),
                "rope_scaling.high_freq_factor: expected above low_freq_factor (4)",
            ),
            (|c| scaled(c, 8.0, 1.0, 4.0, 0), "rope_scaling.original_max_position_embeddings: expected"),
            (
                |c| (c.ffn_hidden_size, c.hidden_size) = (1 << 24, 1 << 24),
                "num_parameters: expected at most 1099511627776 parameters in all, got",
            ),
        ];
        for (change, expected) in table {
            let mut config = GptConfig::GPT_583M;
            change(&mut config);
            let error = config.validate().expect_err(expected).to_string();
            assert!(error.contains(expected), "expected {expected:?}, got {error:?}");
        }
    }

    #[test]
    fn llama3_scaling_is_accepted() {
        let mut config = GptConfig::GPT_583M;
        scaled(&mut config, 8.0, 1.0, 4.0, 8192);
        config.validate().expect("valid");
    }
}
