/* Families whose layers keep latents instead of keys and values (MLA). */
#include "model/families.h"
#include "model/family_macros.h"

#define LATENT_NAMES                                                                               \
    LLAMA_OUTSIDE,                                                                                 \
        .attn_norm = "model.layers.#.input_layernorm",                                             \
        .mlp_norm = "model.layers.#.post_attention_layernorm",                                     \
        .q = "model.layers.#.self_attn.q_proj", .q_a = "model.layers.#.self_attn.q_a_proj",        \
        .q_a_norm = "model.layers.#.self_attn.q_a_layernorm",                                      \
        .q_b = "model.layers.#.self_attn.q_b_proj",                                                \
        .kv_a = "model.layers.#.self_attn.kv_a_proj_with_mqa",                                     \
        .kv_a_norm = "model.layers.#.self_attn.kv_a_layernorm",                                    \
        .kv_b = "model.layers.#.self_attn.kv_b_proj", .out = "model.layers.#.self_attn.o_proj",    \
        LLAMA_MLP

#define LATENT_EXPERTS                                                                             \
    .router = "model.layers.#.mlp.gate", .expert_gate = "model.layers.#.mlp.experts.@.gate_proj",  \
    .expert_up = "model.layers.#.mlp.experts.@.up_proj",                                           \
    .expert_down = "model.layers.#.mlp.experts.@.down_proj", SHARED_EXPERTS

#define SHARED_EXPERTS                                                                             \
    .shared_gate = "model.layers.#.mlp.shared_experts.gate_proj",                                  \
    .shared_up = "model.layers.#.mlp.shared_experts.up_proj",                                      \
    .shared_down = "model.layers.#.mlp.shared_experts.down_proj"

/* The experts of a layer in two tensors, gate's rows before up's. */
#define STACKED_EXPERTS                                                                            \
    .router = "model.layers.#.mlp.gate",                                                           \
    .expert_up = "model.layers.#.mlp.experts.gate_up_proj.@.plain",                                \
    .expert_down = "model.layers.#.mlp.experts.down_proj.@.plain", SHARED_EXPERTS

#define CORRECTION .router_correction = "model.layers.#.mlp.gate.e_score_correction_bias"

/* Some files also state the width of a head, or of its part with rope, which follow from these. */
#define LATENT_KEYS(tied, ffn, latent, queries, plain, values)                                     \
    ROUTED_SIZE_KEYS(0), [SW_KEY_FFN] = {.name = "intermediate_size", .absent = ffn},              \
                         [SW_KEY_ACTIVATION] = {.name = "hidden_act"},                             \
                         [SW_KEY_TIED] = {.name = "tie_word_embeddings", .absent = tied},          \
                         [SW_KEY_HEAD_DIM] = {.name = "head_dim", .other = "qk_head_dim"},         \
                         [SW_KEY_LATENT] = {.name = "kv_lora_rank", .absent = latent},             \
                         [SW_KEY_LATENT_Q] = {.name = "q_lora_rank",                               \
                                              .absent = queries,                                   \
                                              .null_is_zero = true},                               \
                         [SW_KEY_LATENT_PLAIN] = {.name = "qk_nope_head_dim", .absent = plain},    \
                         [SW_KEY_LATENT_OUT] = {.name = "v_head_dim", .absent = values},           \
                         [SW_KEY_ROTARY_DIM] = {.name = "qk_rope_head_dim", .absent = 64},         \
                         [SW_KEY_QKV_BIAS] = {.name = "attention_bias"}

#define INTERLEAVED [SW_KEY_INTERLEAVED] = {.name = "rope_interleave", .absent = 1}

#define LATENT_ROUTED(experts, used, ffn, shared, scale)                                           \
    [SW_KEY_EXPERTS] = {.name = "n_routed_experts",                                                \
                        .other = "num_local_experts",                                              \
                        .absent = experts},                                                        \
    [SW_KEY_EXPERTS_USED] = {.name = "num_experts_per_tok", .absent = used},                       \
    [SW_KEY_EXPERT_FFN] = {.name = "moe_intermediate_size", .absent = ffn},                        \
    [SW_KEY_SHARED] = {.name = "n_shared_experts", .absent = shared},                              \
    [SW_KEY_ROUTED_SCALE] = {.name = "routed_scaling_factor", .absent = scale},                    \
    [SW_KEY_SPARSE_STEP] = {.absent = 1}

#define GROUP_KEYS(groups, used)                                                                   \
    [SW_KEY_GROUPS] = {.name = "n_group", .absent = groups}, [SW_KEY_GROUPS_USED] = {              \
                                                                 .name = "topk_group",             \
                                                                 .absent = used}

#define FIRST_DENSE(layers)                                                                        \
    [SW_KEY_FIRST_ROUTED] = {.name = "first_k_dense_replace", .absent = layers}

#define SHARES_TO_ONE [SW_KEY_NORM_TOPK] = {.name = "norm_topk_prob", .absent = 1}
#define SHARES_MAY_BE_ONE                                                                          \
    [SW_KEY_NORM_TOPK] = {.name = "norm_topk_prob", .absent = 1, .null_is_zero = true}

#define DEEPSEEK_V3                                                                                \
    .norm = SW_NORM_RMS, .position = SW_POS_ROPE, .activation = SW_ACT_SILU, .gated = true,        \
    .sigmoid_router = true,                                                                        \
    .keys = {LATENT_KEYS(0, SW_REQUIRED, 512, 1536, 128, 128),                                     \
             ROPE_KEYS(10000),                                                                     \
             RMS_KEY(1e-6),                                                                        \
             INTERLEAVED,                                                                          \
             LATENT_ROUTED(256, 8, 2048, 1, 2.5),                                                  \
             GROUP_KEYS(8, 4),                                                                     \
             FIRST_DENSE(3),                                                                       \
             SHARES_MAY_BE_ONE},                                                                   \
    .names = {LATENT_NAMES, LATENT_EXPERTS, CORRECTION}

const struct sw_arch sw_families_latent[] = {
    {
        .model_type = "deepseek_v2",
        .title = "DeepSeek V2",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .rope_interleaved = true,
        .best_of_group = true,
        .keys = {LATENT_KEYS(0, SW_REQUIRED, 512, 1536, 128, 128), ROPE_KEYS(10000), RMS_KEY(1e-6),
                 LATENT_ROUTED(64, SW_REQUIRED, 1407, 2, 1), GROUP_KEYS(1, 1),
                 FIRST_DENSE(0), [SW_KEY_GROUP_METHOD] = {.name = "topk_method"},
                 [SW_KEY_MLP_BIAS] = {.name = "mlp_bias"}},
        .names = {LATENT_NAMES, LATENT_EXPERTS},
    },
    {
        .model_type = "deepseek_v3",
        .title = "DeepSeek V3, R1",
        DEEPSEEK_V3,
    },
    {
        .model_type = "kimi_k2",
        .title = "Kimi K2",
        DEEPSEEK_V3,
    },
    {
        .model_type = "glm4_moe_lite",
        .title = "GLM-4.7-Flash",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .sigmoid_router = true,
        .keys = {LATENT_KEYS(0, SW_REQUIRED, 512, 768, 192, 256), ROPE_KEYS(10000), RMS_KEY(1e-5),
                 INTERLEAVED, LATENT_ROUTED(64, 4, 1536, 1, 1.8),
                 GROUP_KEYS(1, 1), [SW_KEY_FIRST_ROUTED] = {.absent = 1},
                 [SW_KEY_MLP_TYPES] = {.name = "mlp_layer_types"}, SHARES_TO_ONE},
        .names = {LATENT_NAMES, LATENT_EXPERTS, CORRECTION},
    },
    {
        .model_type = "mistral4",
        .title = "Mistral Small 4",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .keys = {LATENT_KEYS(0, 12288, 256, 1024, 64, 128), STATED_ROPE_KEYS(10000), RMS_KEY(1e-6),
                 INTERLEAVED, LATENT_ROUTED(128, 4, 2048, 1, 1), GROUP_KEYS(1, 1), FIRST_DENSE(0),
                 SHARES_MAY_BE_ONE, [SW_KEY_QUERY_SLOPE] = {.name = "llama_4_scaling_beta"}},
        .names = {LATENT_NAMES, STACKED_EXPERTS},
    },
    {
        .model_type = "youtu",
        .title = "Youtu-LLM",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .keys = {LATENT_KEYS(1, SW_REQUIRED, 512, 1536, 128, 128), ROPE_KEYS(10000), RMS_KEY(1e-6),
                 INTERLEAVED},
        .names = {LATENT_NAMES},
    },
};
const int sw_families_latent_count = sizeof sw_families_latent / sizeof sw_families_latent[0];
