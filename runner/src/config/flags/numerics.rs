//! Flags that choose number formats and kernels.

use super::ValueType::{Choice, Integer, Switch, Text};
use super::{FlagSpec, irrelevant, not_yet};

const KERNELS: &str = "chooses a kernel of the original; here each operator has one reduction order";
const FP8_ONLY: &str = "has an effect with --fp8-format only";
const MOE_ONLY: &str = "has an effect with --num-experts only";
const HYBRID_ONLY: &str = "hybrid models only";
const GENERATORS: &str = "sampling has its own counter-based generator";

pub(super) const FLAGS: &[FlagSpec] = &[
    irrelevant(
        "--bf16",
        Switch,
        None,
        "bf16 weights and activations",
        "weights and activations are always bf16, sums f32",
    ),
    not_yet("--fp16", Switch, None, "fp16 weights and activations", "only bf16 is implemented"),
    irrelevant(
        "--transformer-impl",
        Choice(&["local", "transformer_engine", "inference_optimized"]),
        Some("transformer_engine"),
        "implementation of the layers",
        KERNELS,
    ),
    irrelevant(
        "--attention-backend",
        Choice(&["flash", "fused", "unfused", "local", "auto"]),
        Some("auto"),
        "attention kernel",
        KERNELS,
    ),
    not_yet(
        "--fp8-format",
        Choice(&["e4m3", "hybrid"]),
        None,
        "matrix products in fp8",
        "fp8 is not implemented yet",
    ),
    irrelevant(
        "--fp8-recipe",
        Choice(&["delayed", "tensorwise", "mxfp8", "blockwise", "custom"]),
        Some("delayed"),
        "scaling of fp8",
        FP8_ONLY,
    ),
    irrelevant("--first-last-layers-bf16", Switch, None, "outer layers in bf16", FP8_ONLY),
    irrelevant("--fp8-param-gather", Switch, None, "weights kept in fp8", FP8_ONLY),
    irrelevant("--moe-grouped-gemm", Switch, None, "one product for all experts", MOE_ONLY),
    irrelevant("--inference-grouped-gemm-backend", Text, Some("vllm"), "kernel for experts", MOE_ONLY),
    irrelevant(
        "--inference-moe-token-dispatcher-type",
        Text,
        Some("nvls"),
        "how tokens reach experts",
        MOE_ONLY,
    ),
    irrelevant("--moe-token-dispatcher-type", Text, Some("allgather"), "how tokens reach experts", MOE_ONLY),
    irrelevant(
        "--moe-pad-experts-for-cuda-graph-inference",
        Switch,
        None,
        "pad experts for graphs",
        MOE_ONLY,
    ),
    irrelevant("--moe-router-dtype", Text, None, "number format of the router", MOE_ONLY),
    irrelevant("--no-masked-softmax-fusion", Switch, None, "unfused softmax", KERNELS),
    irrelevant("--no-persist-layer-norm", Switch, None, "norms by another kernel", KERNELS),
    irrelevant("--use-flash-attn", Switch, None, "old name of --attention-backend flash", KERNELS),
    irrelevant("--no-rope-fusion", Switch, None, "unfused rotary embedding", KERNELS),
    irrelevant("--no-bias-swiglu-fusion", Switch, None, "unfused SwiGLU", KERNELS),
    irrelevant("--no-bias-dropout-fusion", Switch, None, "unfused bias and dropout", KERNELS),
    irrelevant("--te-rng-tracker", Switch, None, "random generators of Transformer Engine", GENERATORS),
    irrelevant("--inference-rng-tracker", Switch, None, "random generators that do nothing", GENERATORS),
    irrelevant(
        "--mamba-inference-conv-states-dtype",
        Text,
        Some("bf16"),
        "number format of Mamba states",
        HYBRID_ONLY,
    ),
    irrelevant(
        "--mamba-inference-ssm-states-dtype",
        Text,
        Some("bf16"),
        "number format of Mamba states",
        HYBRID_ONLY,
    ),
    irrelevant("--attention-softmax-in-fp32", Switch, None, "softmax in f32", "softmax is always f32"),
    irrelevant(
        "--cuda-graph-warmup-steps",
        Integer(0),
        None,
        "steps before capture",
        "ranks are warmed until steady",
    ),
];
