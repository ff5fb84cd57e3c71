/* What rows of families share: names of tensors, and keys of a config.json with what counts where
 * one is absent, as transformers has it. For the files of rows alone. */
#ifndef SW_MODEL_FAMILY_MACROS_H
#define SW_MODEL_FAMILY_MACROS_H

#include "model/arch.h"

#define LLAMA_OUTSIDE                                                                              \
    .prefix = "model.", .embed = "model.embed_tokens", .final_norm = "model.norm", .head = "lm_head"

#define LLAMA_PROJECTIONS                                                                          \
    LLAMA_OUTSIDE, .q = "model.layers.#.self_attn.q_proj", .k = "model.layers.#.self_attn.k_proj", \
                   .v = "model.layers.#.self_attn.v_proj",                                         \
                   .out = "model.layers.#.self_attn.o_proj"

#define LLAMA_ATTENTION                                                                            \
    LLAMA_PROJECTIONS, .attn_norm = "model.layers.#.input_layernorm",                              \
                       .mlp_norm = "model.layers.#.post_attention_layernorm"

/* An MLP of a layer, one beside the experts, and the experts: at "model.layers.#.AT". */
#define MLP_AT(at)                                                                                 \
    .gate = "model.layers.#." at ".gate_proj", .up = "model.layers.#." at ".up_proj",              \
    .down = "model.layers.#." at ".down_proj"
#define LLAMA_MLP MLP_AT("mlp")
#define SHARED_AT(at)                                                                              \
    .shared_gate = "model.layers.#." at ".gate_proj",                                              \
    .shared_up = "model.layers.#." at ".up_proj", .shared_down = "model.layers.#." at ".down_proj"
#define EXPERTS_AT(at)                                                                             \
    .expert_gate = "model.layers.#." at ".experts.@.gate_proj",                                    \
    .expert_up = "model.layers.#." at ".experts.@.up_proj",                                        \
    .expert_down = "model.layers.#." at ".experts.@.down_proj"
/* The same as Mixtral calls them. */
#define MIXTRAL_EXPERTS                                                                            \
    .router = "model.layers.#.block_sparse_moe.gate",                                              \
    .expert_gate = "model.layers.#.block_sparse_moe.experts.@.w1",                                 \
    .expert_up = "model.layers.#.block_sparse_moe.experts.@.w3",                                   \
    .expert_down = "model.layers.#.block_sparse_moe.experts.@.w2"

#define Q_K_NORMS                                                                                  \
    .q_norm = "model.layers.#.self_attn.q_norm", .k_norm = "model.layers.#.self_attn.k_norm"

/* Norms after the branches, and those before them in Gemma. */
#define POST_NORMS                                                                                 \
    .attn_post_norm = "model.layers.#.post_attention_layernorm",                                   \
    .mlp_post_norm = "model.layers.#.post_feedforward_layernorm"
#define GEMMA_NORMS                                                                                \
    POST_NORMS, .attn_norm = "model.layers.#.input_layernorm",                                     \
                .mlp_norm = "model.layers.#.pre_feedforward_layernorm"

/* The keys of a config.json; what is absent is as transformers has it. */
#define REQUIRED .absent = SW_REQUIRED

#define ROUTED_SIZE_KEYS(kv_heads) SIZE_KEYS_TO(kv_heads, 0)
#define SIZE_KEYS_TO(kv_heads, context)                                                            \
    [SW_KEY_LAYERS] = {.name = "num_hidden_layers", REQUIRED},                                     \
    [SW_KEY_HIDDEN] = {.name = "hidden_size", REQUIRED},                                           \
    [SW_KEY_HEADS] = {.name = "num_attention_heads", REQUIRED},                                    \
    [SW_KEY_KV_HEADS] = {.name = "num_key_value_heads", .absent = kv_heads, .null_is_zero = true}, \
    [SW_KEY_VOCAB] = {.name = "vocab_size", REQUIRED},                                             \
    [SW_KEY_CONTEXT] = {.name = "max_position_embeddings", .absent = context}
#define SIZE_KEYS(kv_heads)                                                                        \
    ROUTED_SIZE_KEYS(kv_heads), [SW_KEY_FFN] = {.name = "intermediate_size", REQUIRED}

#define ROPE_KEYS(theta)                                                                           \
    [SW_KEY_ROPE_BASE] = {.name = "rope_theta", .absent = theta}, [SW_KEY_ROPE] = {                \
                                                                      .name = "rope_scaling",      \
                                                                      .other = "rope_parameters"}

/* The same where transformers scales rope in its own way unless the file says how. */
#define STATED_ROPE_KEYS(theta)                                                                    \
    [SW_KEY_ROPE_BASE] = {.name = "rope_theta", .absent = theta}, [SW_KEY_ROPE] = {                \
                                                                      .name = "rope_scaling",      \
                                                                      .other = "rope_parameters",  \
                                                                      REQUIRED}

/* What most families of after 2023 call their keys; SHAPED_KEYS without the size of the MLP. */
#define COMMON_KEYS(kv_heads, theta, tied)                                                         \
    SHAPED_KEYS(kv_heads, theta, tied), [SW_KEY_FFN] = {.name = "intermediate_size", REQUIRED}
#define SHAPED_KEYS(kv_heads, theta, tied)                                                         \
    ROUTED_SIZE_KEYS(kv_heads),                                                                    \
        ROPE_KEYS(theta), [SW_KEY_ACTIVATION] = {.name = "hidden_act"},                            \
                          [SW_KEY_TIED] = {.name = "tie_word_embeddings", .absent = tied}
/* Two names of one key, of which the first wins. */
#define LOCAL_EXPERT_KEYS(experts, used)                                                           \
    [SW_KEY_EXPERTS] = {.name = "num_local_experts", .other = "num_experts", .absent = experts},   \
    [SW_KEY_EXPERTS_USED] = {.name = "num_experts_per_tok", .absent = used}
#define EXPERT_KEYS(experts, used)                                                                 \
    [SW_KEY_EXPERTS] = {.name = "num_experts", .other = "num_local_experts", .absent = experts},   \
    [SW_KEY_EXPERTS_USED] = {.name = "num_experts_per_tok", .absent = used}
#define RMS_KEY(eps) [SW_KEY_NORM_EPS] = {.name = "rms_norm_eps", .absent = eps}
#define ALL_BIASED [SW_KEY_QKV_BIAS] = {.absent = 1}, [SW_KEY_MLP_BIAS] = {.absent = 1}
#define ALL_ROTATED [SW_KEY_ROTARY_SHARE] = {.absent = 1}

#define LLAMA_KEYS(kv_heads, eps, theta) COMMON_KEYS(kv_heads, theta, 0), RMS_KEY(eps), ALL_ROTATED

#define GPT2_KEYS(positions)                                                                       \
    [SW_KEY_LAYERS] = {.name = "num_hidden_layers", .other = "n_layer", REQUIRED},                 \
    [SW_KEY_HIDDEN] = {.name = "hidden_size", .other = "n_embd", REQUIRED},                        \
    [SW_KEY_HEADS] = {.name = "num_attention_heads", .other = "n_head", REQUIRED},                 \
    [SW_KEY_FFN] = {.name = "n_inner"}, [SW_KEY_VOCAB] = {.name = "vocab_size", REQUIRED},         \
    [SW_KEY_CONTEXT] = {.name = "max_position_embeddings",                                         \
                        .other = "n_positions",                                                    \
                        .absent = positions},                                                      \
    [SW_KEY_ACTIVATION] = {.name = "activation_function"},                                         \
    [SW_KEY_NORM_EPS] = {.name = "layer_norm_epsilon", .absent = 1e-5}

/* Qwen's window is there, but switched off, unless the file says otherwise. */
#define QWEN_WINDOW                                                                                \
    [SW_KEY_WINDOW] = {.name = "sliding_window", .absent = 4096, .null_is_zero = true},            \
    [SW_KEY_WINDOW_ON] = {.name = "use_sliding_window"}
#define QWEN_WINDOW_LAYERS                                                                         \
    QWEN_WINDOW, [SW_KEY_WINDOW_FROM] = {.name = "max_window_layers", .absent = 28},               \
                 [SW_KEY_LAYER_TYPES] = {.name = "layer_types"}

/* Factors of Granite, which it shares with its experts' models. */
#define GRANITE_SCALES                                                                             \
    [SW_KEY_SCORE_SCALE] = {.name = "attention_multiplier", .absent = 1},                          \
    [SW_KEY_EMBED_SCALE] = {.name = "embedding_multiplier", .absent = 1},                          \
    [SW_KEY_RESIDUAL_SCALE] = {.name = "residual_multiplier", .absent = 1},                        \
    [SW_KEY_LOGIT_DIVISOR] = {.name = "logits_scaling", .absent = 1}

#endif
