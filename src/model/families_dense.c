/* Dense families of after 2023. */
#include "model/families.h"
#include "model/family_macros.h"

/* Keys of Gemma 2, 3 and 4, with the cap and the window where they state none. */
#define GEMMA_COMMON_KEYS(cap, window)                                                             \
    [SW_KEY_ACTIVATION] = {.name = "hidden_activation"},                                           \
    [SW_KEY_TIED] = {.name = "tie_word_embeddings", .absent = 1},                                  \
    [SW_KEY_QKV_BIAS] = {.name = "attention_bias"},                                                \
    [SW_KEY_LOGIT_CAP] = {.name = "final_logit_softcapping", .absent = cap, .null_is_zero = true}, \
    [SW_KEY_WINDOW] = {.name = "sliding_window", .absent = window, .null_is_zero = true},          \
    [SW_KEY_LAYER_TYPES] = {.name = "layer_types"},                                                \
    [SW_KEY_BIDIRECTIONAL] = {.name = "use_bidirectional_attention"}

/* Of 2 and 3 alone. */
#define GEMMA_KEYS(score_cap, cap)                                                                 \
    GEMMA_COMMON_KEYS(cap, 4096),                                                                  \
        [SW_KEY_QUERY_SCALAR] = {.name = "query_pre_attn_scalar", .absent = 256},                  \
        [SW_KEY_SCORE_CAP] = {                                                                     \
            .name = "attn_logit_softcapping", .absent = score_cap, .null_is_zero = true}

/* Larger models of 3 and 4 state only what differs from the smallest. */
#define GEMMA_SIZES(layers, ids)                                                                   \
    [SW_KEY_LAYERS] = {.name = "num_hidden_layers", .absent = layers},                             \
    [SW_KEY_HIDDEN] = {.name = "hidden_size", .absent = 2304},                                     \
    [SW_KEY_HEADS] = {.name = "num_attention_heads", .absent = 8},                                 \
    [SW_KEY_KV_HEADS] = {.name = "num_key_value_heads", .absent = 4},                              \
    [SW_KEY_HEAD_DIM] = {.name = "head_dim", .absent = 256},                                       \
    [SW_KEY_FFN] = {.name = "intermediate_size", .absent = 9216},                                  \
    [SW_KEY_VOCAB] = {.name = "vocab_size", .absent = ids},                                        \
    [SW_KEY_CONTEXT] = {.name = "max_position_embeddings", .absent = 131072}

/* Experts of Gemma 4, in some of its models. */
#define GEMMA_EXPERT_KEYS                                                                          \
    [SW_KEY_EXPERTS_ON] = {.name = "enable_moe_block"},                                            \
    [SW_KEY_EXPERTS] = {.name = "num_experts"}, [SW_KEY_EXPERTS_USED] = {.name = "top_k_experts"}, \
    [SW_KEY_EXPERT_FFN] = {.name = "moe_intermediate_size"}, [SW_KEY_SPARSE_STEP] = {.absent = 1}, \
    [SW_KEY_NORM_TOPK] = {.absent = 1}
#define GEMMA_EXPERTS                                                                              \
    .dense_post_norm = "model.layers.#.post_feedforward_layernorm_1",                              \
    .expert_norm = "model.layers.#.pre_feedforward_layernorm_2",                                   \
    .expert_post_norm = "model.layers.#.post_feedforward_layernorm_2",                             \
    .router = "model.layers.#.router.proj", .router_norm = "model.layers.#.router.scale",          \
    .router_shares = "model.layers.#.router.per_expert_scale",                                     \
    .expert_up = "model.layers.#.experts.gate_up_proj.@.plain",                                    \
    .expert_down = "model.layers.#.experts.down_proj.@.plain"

#define GEMMA_ASIDE_KEYS                                                                           \
    [SW_KEY_SHARED_KV] = {.name = "num_kv_shared_layers"},                                         \
    [SW_KEY_WIDE_BORROWERS] = {.name = "use_double_wide_mlp"},                                     \
    [SW_KEY_LAYER_INPUTS] = {.name = "hidden_size_per_layer_input", .absent = 256},                \
    [SW_KEY_INPUT_VOCAB] = {.name = "vocab_size_per_layer_input", .absent = 262144}
#define GEMMA_INPUTS                                                                               \
    .input_table = "model.embed_tokens_per_layer",                                                 \
    .input_project = "model.per_layer_model_projection",                                           \
    .input_project_norm = "model.per_layer_projection_norm",                                       \
    .input_gate = "model.layers.#.per_layer_input_gate",                                           \
    .input_out = "model.layers.#.per_layer_projection",                                            \
    .input_norm = "model.layers.#.post_per_layer_input_norm"

const struct sw_arch sw_families_dense[] = {
    {
        .model_type = "gemma",
        .title = "Gemma",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_GELU_TANH,
        .gated = true,
        .norm_plus_one = true,
        .root_embedding = true,
        .keys = {COMMON_KEYS(16, 10000, 1), RMS_KEY(1e-6),
                 ALL_ROTATED, [SW_KEY_HEAD_DIM] = {.name = "head_dim", .absent = 256},
                 [SW_KEY_QKV_BIAS] = {.name = "attention_bias"}},
        .names = {LLAMA_ATTENTION, LLAMA_MLP},
    },
    {
        .model_type = "gemma2",
        .title = "Gemma 2",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_GELU_TANH,
        .gated = true,
        .norm_plus_one = true,
        .root_embedding = true,
        .keys = {SIZE_KEYS(4), ROPE_KEYS(10000), RMS_KEY(1e-6),
                 ALL_ROTATED, [SW_KEY_HEAD_DIM] = {.name = "head_dim", .absent = 256},
                 GEMMA_KEYS(50, 30), [SW_KEY_WINDOW_STEP] = {.absent = 2}},
        .names = {LLAMA_PROJECTIONS, LLAMA_MLP, GEMMA_NORMS},
    },
    {
        .model_type = "gemma3_text",
        .title = "Gemma 3",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_GELU_TANH,
        .gated = true,
        .norm_plus_one = true,
        .root_embedding = true,
        .local_rope = true,
        .keys = {GEMMA_SIZES(26, 262208), ROPE_KEYS(1e6), RMS_KEY(1e-6), ALL_ROTATED,
                 GEMMA_KEYS(0, 0),
                 [SW_KEY_WINDOW_STEP] = {.name = "sliding_window_pattern", .absent = 6},
                 [SW_KEY_LOCAL_BASE] = {.name = "rope_local_base_freq", .absent = 10000}},
        .names = {LLAMA_PROJECTIONS, LLAMA_MLP, GEMMA_NORMS, Q_K_NORMS},
    },
    {
        .model_type = "gemma4_text",
        .title = "Gemma 4",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_GELU_TANH,
        .gated = true,
        .root_embedding = true,
        .local_rope = true,
        .plain_scores = true,
        .v_norm = true,
        .last_whole = true,
        .experts_beside = true,
        .keys = {GEMMA_SIZES(30, 262144), RMS_KEY(1e-6), ALL_ROTATED,
                 GEMMA_COMMON_KEYS(0, 512), [SW_KEY_WINDOW_STEP] = {.absent = 6},
                 [SW_KEY_ROPE] = {.name = "rope_parameters", REQUIRED},
                 [SW_KEY_ROPE_BASE] = {.absent = 1e6}, [SW_KEY_LOCAL_BASE] = {.absent = 10000},
                 [SW_KEY_WHOLE_HEAD_DIM] = {.name = "global_head_dim", .absent = 512},
                 [SW_KEY_WHOLE_KV_HEADS] = {.name = "num_global_key_value_heads"},
                 [SW_KEY_KEYS_AS_VALUES] = {.name = "attention_k_eq_v"},
                 [SW_KEY_LAYER_HEADS] = {.name = "per_layer_config"}, GEMMA_ASIDE_KEYS,
                 GEMMA_EXPERT_KEYS},
        .names = {LLAMA_PROJECTIONS, LLAMA_MLP, GEMMA_NORMS, Q_K_NORMS, GEMMA_EXPERTS, GEMMA_INPUTS,
                  .layer_scale = "model.layers.#.layer_scalar"},
    },
    {
        .model_type = "olmo2",
        .title = "OLMo 2",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .qk_norm_rows = true,
        .keys = {LLAMA_KEYS(0, 1e-5, 10000), [SW_KEY_HEAD_DIM] = {.name = "head_dim"},
                 [SW_KEY_QKV_BIAS] = {.name = "attention_bias"}},
        .names = {LLAMA_PROJECTIONS, LLAMA_MLP, POST_NORMS, Q_K_NORMS},
    },
    {
        .model_type = "olmo3",
        .title = "OLMo 3",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .qk_norm_rows = true,
        .local_rope = true,
        .keys = {LLAMA_KEYS(0, 1e-5, 500000), [SW_KEY_HEAD_DIM] = {.name = "head_dim"},
                 [SW_KEY_QKV_BIAS] = {.name = "attention_bias"},
                 [SW_KEY_WINDOW] = {.name = "sliding_window", .absent = 4096, .null_is_zero = true},
                 [SW_KEY_LAYER_TYPES] = {.name = "layer_types"},
                 [SW_KEY_WINDOW_STEP] = {.absent = 4}, [SW_KEY_LOCAL_BASE] = {.absent = 500000}},
        .names = {LLAMA_PROJECTIONS, LLAMA_MLP, POST_NORMS, Q_K_NORMS},
    },
    {
        .model_type = "granite",
        .title = "Granite 3, 4 (dense)",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .keys = {LLAMA_KEYS(0, 1e-6, 10000), [SW_KEY_HEAD_DIM] = {.name = "head_dim"},
                 [SW_KEY_QKV_BIAS] = {.name = "attention_bias"},
                 [SW_KEY_MLP_BIAS] = {.name = "mlp_bias"}, GRANITE_SCALES},
        .names = {LLAMA_ATTENTION, LLAMA_MLP},
    },
    {
        .model_type = "cohere",
        .title = "Command R",
        .norm = SW_NORM_LAYER,
        .qk_norm_each = true,
        .norm_no_bias = true,
        .position = SW_POS_ROPE,
        .residual = SW_RES_PARALLEL_ONE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .rope_interleaved = true,
        .keys =
            {COMMON_KEYS(0, 500000, 1),
             ALL_ROTATED, [SW_KEY_NORM_EPS] = {.name = "layer_norm_eps", .absent = 1e-5},
             [SW_KEY_LOGIT_SCALE] = {.name = "logit_scale", .absent = 0.0625},
             [SW_KEY_QKV_BIAS] = {.name = "attention_bias"},
             [SW_KEY_HEAD_DIM] = {.name = "head_dim"}, [SW_KEY_QK_NORM] = {.name = "use_qk_norm"}},
        .names = {LLAMA_PROJECTIONS, LLAMA_MLP, .attn_norm = "model.layers.#.input_layernorm",
                  Q_K_NORMS},
    },
    {
        .model_type = "cohere2",
        .title = "Command R7B, Command A",
        .norm = SW_NORM_LAYER,
        .norm_no_bias = true,
        .position = SW_POS_ROPE,
        .residual = SW_RES_PARALLEL_ONE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .rope_interleaved = true,
        .window_rope = true,
        .keys = {COMMON_KEYS(0, 10000, 1),
                 ALL_ROTATED, [SW_KEY_NORM_EPS] = {.name = "layer_norm_eps", .absent = 1e-5},
                 [SW_KEY_LOGIT_SCALE] = {.name = "logit_scale", .absent = 0.0625},
                 [SW_KEY_QKV_BIAS] = {.name = "attention_bias"},
                 [SW_KEY_WINDOW] = {.name = "sliding_window", .absent = 4096, .null_is_zero = true},
                 [SW_KEY_LAYER_TYPES] = {.name = "layer_types"},
                 [SW_KEY_WINDOW_STEP] = {.name = "sliding_window_pattern", .absent = 4}},
        .names = {LLAMA_PROJECTIONS, LLAMA_MLP, .attn_norm = "model.layers.#.input_layernorm"},
    },
    {
        .model_type = "glm",
        .title = "GLM-4 (9B, 2024)",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .rope_interleaved = true,
        .no_out_bias = true,
        .keys = {COMMON_KEYS(2, 10000, 0),
                 RMS_KEY(1.5625e-7), [SW_KEY_HEAD_DIM] = {.name = "head_dim", .absent = 128},
                 [SW_KEY_QKV_BIAS] = {.name = "attention_bias", .absent = 1},
                 [SW_KEY_ROTARY_SHARE] = {.name = "partial_rotary_factor", .absent = 0.5}},
        .names = {LLAMA_ATTENTION, .up = "model.layers.#.mlp.gate_up_proj",
                  .down = "model.layers.#.mlp.down_proj"},
    },
    {
        .model_type = "glm4",
        .title = "GLM-4 (0414)",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .rope_interleaved = true,
        .no_out_bias = true,
        .keys = {COMMON_KEYS(2, 10000, 0),
                 RMS_KEY(1.5625e-7), [SW_KEY_HEAD_DIM] = {.name = "head_dim", .absent = 128},
                 [SW_KEY_QKV_BIAS] = {.name = "attention_bias", .absent = 1},
                 [SW_KEY_ROTARY_SHARE] = {.name = "partial_rotary_factor", .absent = 0.5}},
        .names = {LLAMA_PROJECTIONS, .attn_norm = "model.layers.#.input_layernorm",
                  .attn_post_norm = "model.layers.#.post_self_attn_layernorm",
                  .mlp_norm = "model.layers.#.post_attention_layernorm",
                  .mlp_post_norm = "model.layers.#.post_mlp_layernorm",
                  .up = "model.layers.#.mlp.gate_up_proj", .down = "model.layers.#.mlp.down_proj"},
    },
    {
        .model_type = "smollm3",
        .title = "SmolLM3",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .keys = {COMMON_KEYS(4, 2e6, 1), RMS_KEY(1e-6),
                 ALL_ROTATED, [SW_KEY_HEAD_DIM] = {.name = "head_dim"},
                 [SW_KEY_QKV_BIAS] = {.name = "attention_bias"},
                 [SW_KEY_MLP_BIAS] = {.name = "mlp_bias"},
                 [SW_KEY_ROPE_LAYERS] = {.name = "no_rope_layers"},
                 [SW_KEY_NO_ROPE_STEP] = {.name = "no_rope_layer_interval", .absent = 4},
                 QWEN_WINDOW, [SW_KEY_LAYER_TYPES] = {.name = "layer_types"}},
        .names = {LLAMA_ATTENTION, LLAMA_MLP},
    },
    {
        .model_type = "phi3",
        .title = "Phi-3, Phi-4",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .qkv = SW_QKV_STACKED,
        .keys = {SIZE_KEYS_TO(0, 4096), ROPE_KEYS(10000),
                 RMS_KEY(1e-5), [SW_KEY_FFN] = {.name = "intermediate_size", REQUIRED},
                 [SW_KEY_ACTIVATION] = {.name = "hidden_act"},
                 [SW_KEY_TIED] = {.name = "tie_word_embeddings"},
                 [SW_KEY_HEAD_DIM] = {.name = "head_dim"},
                 [SW_KEY_ROTARY_SHARE] = {.name = "partial_rotary_factor", .absent = 1},
                 [SW_KEY_WINDOW] = {.name = "sliding_window"}},
        .names = {LLAMA_OUTSIDE, .attn_norm = "model.layers.#.input_layernorm",
                  .qkv = "model.layers.#.self_attn.qkv_proj",
                  .out = "model.layers.#.self_attn.o_proj",
                  .mlp_norm = "model.layers.#.post_attention_layernorm",
                  .up = "model.layers.#.mlp.gate_up_proj", .down = "model.layers.#.mlp.down_proj"},
    },
    {
        .model_type = "starcoder2",
        .title = "StarCoder2",
        .norm = SW_NORM_LAYER,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_GELU_TANH,
        .keys = {COMMON_KEYS(2, 10000, 1), ALL_ROTATED, [SW_KEY_HEAD_DIM] = {.name = "head_dim"},
                 [SW_KEY_NORM_EPS] = {.name = "norm_epsilon", .absent = 1e-5},
                 [SW_KEY_QKV_BIAS] = {.name = "use_bias", .absent = 1},
                 [SW_KEY_MLP_BIAS] = {.name = "use_bias", .absent = 1},
                 [SW_KEY_WINDOW] = {.name = "sliding_window"}},
        .names = {LLAMA_ATTENTION, .up = "model.layers.#.mlp.c_fc",
                  .down = "model.layers.#.mlp.c_proj"},
    },
    {
        .model_type = "ministral3",
        .title = "Ministral 3",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .keys = {SIZE_KEYS(8), STATED_ROPE_KEYS(1e6), RMS_KEY(1e-5),
                 ALL_ROTATED, [SW_KEY_ACTIVATION] = {.name = "hidden_act"},
                 [SW_KEY_TIED] = {.name = "tie_word_embeddings"},
                 [SW_KEY_HEAD_DIM] = {.name = "head_dim", .absent = 128},
                 [SW_KEY_WINDOW] = {.name = "sliding_window"},
                 [SW_KEY_QUERY_SLOPE] = {.name = "llama_4_scaling_beta"}},
        .names = {LLAMA_ATTENTION, LLAMA_MLP},
    },
    {
        .model_type = "seed_oss",
        .title = "Seed-OSS",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .keys =
            {LLAMA_KEYS(8, 1e-6, 10000), [SW_KEY_HEAD_DIM] = {.name = "head_dim", .absent = 128},
             [SW_KEY_QKV_BIAS] = {.name = "attention_bias", .absent = 1},
             [SW_KEY_OUT_BIAS] = {.name = "attention_out_bias"},
             [SW_KEY_MLP_BIAS] = {.name = "mlp_bias"}},
        .names = {LLAMA_ATTENTION, LLAMA_MLP},
    },
    {
        .model_type = "exaone4",
        .title = "EXAONE 4",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .window_rope = true,
        .keys = {LLAMA_KEYS(32, 1e-5, 10000), [SW_KEY_HEAD_DIM] = {.name = "head_dim"},
                 [SW_KEY_WINDOW] = {.name = "sliding_window", .absent = 4096, .null_is_zero = true},
                 [SW_KEY_LAYER_TYPES] = {.name = "layer_types"},
                 [SW_KEY_WINDOW_STEP] = {.name = "sliding_window_pattern", .absent = 4}},
        .names = {LLAMA_PROJECTIONS, LLAMA_MLP, POST_NORMS, Q_K_NORMS},
    },
    {
        .model_type = "nemotron",
        .title = "Nemotron, Minitron",
        .norm = SW_NORM_LAYER,
        .norm_plus_one = true,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_RELU_SQUARED,
        .keys = {COMMON_KEYS(0, 10000, 0), [SW_KEY_HEAD_DIM] = {.name = "head_dim"},
                 [SW_KEY_NORM_EPS] = {.name = "norm_eps", .absent = 1e-5},
                 [SW_KEY_ROTARY_SHARE] = {.name = "partial_rotary_factor", .absent = 0.5},
                 [SW_KEY_QKV_BIAS] = {.name = "attention_bias"},
                 [SW_KEY_MLP_BIAS] = {.name = "mlp_bias"}},
        .names = {LLAMA_ATTENTION, .up = "model.layers.#.mlp.up_proj",
                  .down = "model.layers.#.mlp.down_proj"},
    },
    {
        .model_type = "hunyuan_v1_dense",
        .title = "Hunyuan (dense)",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .qk_norm_last = true,
        .keys = {LLAMA_KEYS(0, 1e-5, 10000), [SW_KEY_HEAD_DIM] = {.name = "head_dim"},
                 [SW_KEY_QKV_BIAS] = {.name = "attention_bias"}},
        .names = {LLAMA_ATTENTION, LLAMA_MLP, .q_norm = "model.layers.#.self_attn.query_layernorm",
                  .k_norm = "model.layers.#.self_attn.key_layernorm"},
    },
    {
        .model_type = "ernie4_5",
        .title = "ERNIE 4.5 (dense)",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .rope_interleaved = true,
        .keys =
            {COMMON_KEYS(2, 500000, 1), RMS_KEY(1e-5),
             ALL_ROTATED, [SW_KEY_HEAD_DIM] = {.name = "head_dim", .absent = 128},
             [SW_KEY_QKV_BIAS] = {.name = "use_bias"}, [SW_KEY_MLP_BIAS] = {.name = "use_bias"}},
        .names = {LLAMA_ATTENTION, LLAMA_MLP},
    },
};
const int sw_families_dense_count = sizeof sw_families_dense / sizeof sw_families_dense[0];
