/* Families that have gated delta nets in the place of most layers' attention. */
#include "model/families.h"
#include "model/family_macros.h"

#define DELTA_KEYS                                                                                 \
    [SW_KEY_HEAD_DIM] = {.name = "head_dim", .absent = 256},                                       \
    [SW_KEY_QKV_BIAS] = {.name = "attention_bias"},                                                \
    [SW_KEY_ROTARY_SHARE] = {.name = "partial_rotary_factor", .absent = 0.25},                     \
    [SW_KEY_LAYER_TYPES] = {.name = "layer_types"},                                                \
    [SW_KEY_FULL_STEP] = {.name = "full_attention_interval", .absent = 4},                         \
    [SW_KEY_DELTA_K_HEADS] = {.name = "linear_num_key_heads", .absent = 16},                       \
    [SW_KEY_DELTA_V_HEADS] = {.name = "linear_num_value_heads", .absent = 32},                     \
    [SW_KEY_DELTA_K_DIM] = {.name = "linear_key_head_dim", .absent = 128},                         \
    [SW_KEY_DELTA_V_DIM] = {.name = "linear_value_head_dim", .absent = 128},                       \
    [SW_KEY_DELTA_WINDOW] = {.name = "linear_conv_kernel_dim", .absent = 4}

#define DELTA_EXPERT_KEYS(used, experts)                                                           \
    [SW_KEY_EXPERTS] = {.name = "num_experts", .other = "num_local_experts", .absent = experts},   \
    [SW_KEY_EXPERTS_USED] = {.name = "num_experts_per_tok", .absent = used},                       \
    [SW_KEY_EXPERT_FFN] = {.name = "moe_intermediate_size", .absent = 512},                        \
    [SW_KEY_SHARED_FFN] = {.name = "shared_expert_intermediate_size", .absent = 512}

#define DELTA_NAMES                                                                                \
    LLAMA_ATTENTION, .q_norm = "model.layers.#.self_attn.q_norm",                                  \
                     .k_norm = "model.layers.#.self_attn.k_norm",                                  \
                     .delta_conv = "model.layers.#.linear_attn.conv1d",                            \
                     .delta_decay = "model.layers.#.linear_attn.A_log",                            \
                     .delta_dt = "model.layers.#.linear_attn.dt_bias",                             \
                     .delta_norm = "model.layers.#.linear_attn.norm",                              \
                     .delta_out = "model.layers.#.linear_attn.out_proj"

#define DELTA_SPLIT                                                                                \
    .delta_in = "model.layers.#.linear_attn.in_proj_qkv",                                          \
    .delta_z = "model.layers.#.linear_attn.in_proj_z",                                             \
    .delta_gates = "model.layers.#.linear_attn.in_proj_b",                                         \
    .delta_a = "model.layers.#.linear_attn.in_proj_a"

#define DELTA_EXPERTS                                                                              \
    .router = "model.layers.#.mlp.gate", .expert_gate = "model.layers.#.mlp.experts.@.gate_proj",  \
    .expert_up = "model.layers.#.mlp.experts.@.up_proj",                                           \
    .expert_down = "model.layers.#.mlp.experts.@.down_proj",                                       \
    .shared_gate = "model.layers.#.mlp.shared_expert.gate_proj",                                   \
    .shared_up = "model.layers.#.mlp.shared_expert.up_proj",                                       \
    .shared_down = "model.layers.#.mlp.shared_expert.down_proj",                                   \
    .shared_router = "model.layers.#.mlp.shared_expert_gate"

const struct sw_arch sw_families_hybrid[] = {
    {
        .model_type = "qwen3_next",
        .title = "Qwen3-Next",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .norm_plus_one = true,
        .output_gate = true,
        .delta_grouped = true,
        .gates_grouped = true,
        .keys = {COMMON_KEYS(2, 10000, 0), RMS_KEY(1e-6), DELTA_KEYS, DELTA_EXPERT_KEYS(10, 512),
                 [SW_KEY_SPARSE_STEP] = {.name = "decoder_sparse_step", .absent = 1},
                 [SW_KEY_DENSE_LAYERS] = {.name = "mlp_only_layers"},
                 [SW_KEY_NORM_TOPK] = {.name = "norm_topk_prob", .absent = 1}},
        .names = {DELTA_NAMES, LLAMA_MLP, DELTA_EXPERTS,
                  .delta_in = "model.layers.#.linear_attn.in_proj_qkvz",
                  .delta_gates = "model.layers.#.linear_attn.in_proj_ba"},
    },
    {
        .model_type = "qwen3_5_text",
        .title = "Qwen3.5",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .norm_plus_one = true,
        .output_gate = true,
        .keys = {COMMON_KEYS(4, 10000, 0), RMS_KEY(1e-6), DELTA_KEYS},
        .names = {DELTA_NAMES, DELTA_SPLIT, LLAMA_MLP},
    },
    {
        .model_type = "qwen3_5_moe_text",
        .title = "Qwen3.5-MoE",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .norm_plus_one = true,
        .output_gate = true,
        .keys = {ROUTED_SIZE_KEYS(2), ROPE_KEYS(10000), RMS_KEY(1e-6), DELTA_KEYS,
                 DELTA_EXPERT_KEYS(8, 256), [SW_KEY_ACTIVATION] = {.name = "hidden_act"},
                 [SW_KEY_FFN] = {.name = "moe_intermediate_size", .absent = 512},
                 [SW_KEY_TIED] = {.name = "tie_word_embeddings"},
                 [SW_KEY_SPARSE_STEP] = {.absent = 1}, [SW_KEY_NORM_TOPK] = {.absent = 1}},
        .names = {DELTA_NAMES, DELTA_SPLIT, DELTA_EXPERTS},
    },
};
const int sw_families_hybrid_count = sizeof sw_families_hybrid / sizeof sw_families_hybrid[0];
