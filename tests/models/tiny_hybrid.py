"""The tiny checkpoints of families with gated delta nets, as rows of tiny_specs.py."""

from tiny_dense import PLUS_ONE, spec

# Decays from short to long, and convolutions that neither vanish nor drown.
DELTA_SCALE = PLUS_ONE | {"A_log": 5.0, "dt_bias": 6.0, "conv1d": 0.5}

DELTA = {
    "attention_bias": False,
    "head_dim": 12,
    "hidden_act": "silu",
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 10,
    "linear_num_key_heads": 3,
    "linear_num_value_heads": 6,
    "linear_value_head_dim": 18,
    "num_hidden_layers": 5,
    "rms_norm_eps": 1e-6,
    "torch_dtype": "bfloat16",
}

EXPERTS = {
    "moe_intermediate_size": 17,
    "num_experts": 4,
    "num_experts_per_tok": 3,
    "shared_expert_intermediate_size": 13,
}

SPECS = [
    spec("qwen3_next", "Qwen3NextForCausalLM", "gated delta nets, their products head by head; attention with a gate; layer 1 dense",
         [{"partial_rotary_factor": 1.0}, {"num_experts_per_tok": 2}, {"norm_topk_prob": False}, {"rope_theta": 100.0}],
         model_type="qwen3_next", scale=DELTA_SCALE, partial_rotary_factor=0.5, full_attention_interval=3, decoder_sparse_step=1,
         mlp_only_layers=[1], norm_topk_prob=True, vocab_size=251, **DELTA, **(EXPERTS | {"moe_intermediate_size": 13})),
    spec("qwen3_5", "Qwen3_5ForCausalLM", "dense, with delta nets in four products and a window of 3; attention first; biases",
         [{"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}}],
         model_type="qwen3_5_text", scale=DELTA_SCALE, drop=("rope_theta",),
         rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5, "mrope_section": [1, 1, 1],
                          "mrope_interleaved": True},
         layer_types=["full_attention", "linear_attention", "linear_attention", "full_attention", "linear_attention"],
         **(DELTA | {"attention_bias": True, "linear_conv_kernel_dim": 3, "linear_num_key_heads": 2, "linear_num_value_heads": 2,
                     "linear_key_head_dim": 17})),
    spec("qwen3_5_moe", "Qwen3_5MoeForCausalLM", "the same with experts, and the sizes of dense models absent",
         [{"num_experts_per_tok": 1}], model_type="qwen3_5_moe_text", scale=DELTA_SCALE | {"conv1d": 1.0}, drop=("intermediate_size", "rope_theta"),
         rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5, "mrope_section": [1, 1, 1]},
         **DELTA, **EXPERTS),
]
