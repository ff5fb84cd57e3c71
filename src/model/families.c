/*
 * The families: one row each. To add one, copy the row that is nearest, read the family's
 * reference code, and add its tiny checkpoint to tests/models/ (docs/adding-a-model.md).
 */
#include "model/arch.h"

#include <stddef.h>
#include <string.h>

#define LLAMA_ATTENTION                                                                            \
    .prefix = "model.", .embed = "model.embed_tokens", .final_norm = "model.norm",                 \
    .head = "lm_head", .attn_norm = "model.layers.#.input_layernorm",                              \
    .q = "model.layers.#.self_attn.q_proj", .k = "model.layers.#.self_attn.k_proj",                \
    .v = "model.layers.#.self_attn.v_proj", .out = "model.layers.#.self_attn.o_proj",              \
    .mlp_norm = "model.layers.#.post_attention_layernorm"

#define LLAMA_MLP                                                                                  \
    .gate = "model.layers.#.mlp.gate_proj", .up = "model.layers.#.mlp.up_proj",                    \
    .down = "model.layers.#.mlp.down_proj"

static const struct sw_arch rows[] = {
    {
        .model_type = "gpt_neox",
        .title = "GPT-NeoX, Pythia",
        .norm = SW_NORM_LAYER,
        .position = SW_POS_ROPE,
        .residual = SW_RES_PARALLEL,
        .qkv = SW_QKV_PER_HEAD,
        .activation = SW_ACT_GELU,
        .norm_eps = 1e-5f,
        .rotary_share = 0.25f,
        .qkv_bias = true,
        .out_bias = true,
        .mlp_bias = true,
        .names = {.prefix = "gpt_neox.",
                  .embed = "gpt_neox.embed_in",
                  .final_norm = "gpt_neox.final_layer_norm",
                  .head = "embed_out",
                  .attn_norm = "gpt_neox.layers.#.input_layernorm",
                  .qkv = "gpt_neox.layers.#.attention.query_key_value",
                  .out = "gpt_neox.layers.#.attention.dense",
                  .mlp_norm = "gpt_neox.layers.#.post_attention_layernorm",
                  .up = "gpt_neox.layers.#.mlp.dense_h_to_4h",
                  .down = "gpt_neox.layers.#.mlp.dense_4h_to_h"},
    },
    {
        .model_type = "gptj",
        .title = "GPT-J",
        .norm = SW_NORM_LAYER,
        .position = SW_POS_ROPE,
        .residual = SW_RES_PARALLEL_ONE,
        .qkv = SW_QKV_SPLIT,
        .activation = SW_ACT_GELU_TANH,
        .rope_interleaved = true,
        .norm_eps = 1e-5f,
        .mlp_bias = true,
        .head_bias = true,
        .names = {.prefix = "transformer.",
                  .embed = "transformer.wte",
                  .final_norm = "transformer.ln_f",
                  .head = "lm_head",
                  .attn_norm = "transformer.h.#.ln_1",
                  .q = "transformer.h.#.attn.q_proj",
                  .k = "transformer.h.#.attn.k_proj",
                  .v = "transformer.h.#.attn.v_proj",
                  .out = "transformer.h.#.attn.out_proj",
                  .up = "transformer.h.#.mlp.fc_in",
                  .down = "transformer.h.#.mlp.fc_out"},
    },
    {
        .model_type = "gpt2",
        .title = "GPT-2",
        .norm = SW_NORM_LAYER,
        .position = SW_POS_LEARNED,
        .residual = SW_RES_SEQUENTIAL,
        .qkv = SW_QKV_STACKED,
        .activation = SW_ACT_GELU_TANH,
        .conv1d = true,
        .norm_eps = 1e-5f,
        .tied = true,
        .qkv_bias = true,
        .out_bias = true,
        .mlp_bias = true,
        .names = {.prefix = "transformer.",
                  .embed = "transformer.wte",
                  .positions = "transformer.wpe",
                  .final_norm = "transformer.ln_f",
                  .head = "lm_head",
                  .attn_norm = "transformer.h.#.ln_1",
                  .qkv = "transformer.h.#.attn.c_attn",
                  .out = "transformer.h.#.attn.c_proj",
                  .mlp_norm = "transformer.h.#.ln_2",
                  .up = "transformer.h.#.mlp.c_fc",
                  .down = "transformer.h.#.mlp.c_proj"},
    },
    {
        .model_type = "opt",
        .title = "OPT",
        .norm = SW_NORM_LAYER,
        .position = SW_POS_LEARNED,
        .residual = SW_RES_SEQUENTIAL,
        .qkv = SW_QKV_SPLIT,
        .activation = SW_ACT_RELU,
        .position_offset = 2,
        .norm_eps = 1e-5f,
        .tied = true,
        .qkv_bias = true,
        .out_bias = true,
        .mlp_bias = true,
        .names = {.prefix = "model.",
                  .embed = "model.decoder.embed_tokens",
                  .positions = "model.decoder.embed_positions",
                  .project_in = "model.decoder.project_in",
                  .final_norm = "model.decoder.final_layer_norm",
                  .project_out = "model.decoder.project_out",
                  .head = "lm_head",
                  .attn_norm = "model.decoder.layers.#.self_attn_layer_norm",
                  .q = "model.decoder.layers.#.self_attn.q_proj",
                  .k = "model.decoder.layers.#.self_attn.k_proj",
                  .v = "model.decoder.layers.#.self_attn.v_proj",
                  .out = "model.decoder.layers.#.self_attn.out_proj",
                  .mlp_norm = "model.decoder.layers.#.final_layer_norm",
                  .up = "model.decoder.layers.#.fc1",
                  .down = "model.decoder.layers.#.fc2"},
    },
    {
        .model_type = "bloom",
        .title = "BLOOM",
        .norm = SW_NORM_LAYER,
        .position = SW_POS_ALIBI,
        .residual = SW_RES_SEQUENTIAL,
        .qkv = SW_QKV_PER_HEAD,
        .activation = SW_ACT_GELU_TANH,
        .norm_eps = 1e-5f,
        .tied = true,
        .qkv_bias = true,
        .out_bias = true,
        .mlp_bias = true,
        .names = {.prefix = "transformer.",
                  .embed = "transformer.word_embeddings",
                  .embed_norm = "transformer.word_embeddings_layernorm",
                  .final_norm = "transformer.ln_f",
                  .head = "lm_head",
                  .attn_norm = "transformer.h.#.input_layernorm",
                  .qkv = "transformer.h.#.self_attention.query_key_value",
                  .out = "transformer.h.#.self_attention.dense",
                  .mlp_norm = "transformer.h.#.post_attention_layernorm",
                  .up = "transformer.h.#.mlp.dense_h_to_4h",
                  .down = "transformer.h.#.mlp.dense_4h_to_h"},
    },
    {
        .model_type = "llama",
        .title = "Llama 1 to 3.3",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .norm_eps = 1e-6f,
        .names = {LLAMA_ATTENTION, LLAMA_MLP},
    },
    {
        .model_type = "mistral",
        .title = "Mistral",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .norm_eps = 1e-6f,
        .names = {LLAMA_ATTENTION, LLAMA_MLP},
    },
    {
        .model_type = "qwen2",
        .title = "Qwen2, Qwen2.5",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .norm_eps = 1e-6f,
        .qkv_bias = true,
        .names = {LLAMA_ATTENTION, LLAMA_MLP},
    },
    {
        .model_type = "qwen3",
        .title = "Qwen3",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .norm_eps = 1e-6f,
        .names = {LLAMA_ATTENTION, LLAMA_MLP, .q_norm = "model.layers.#.self_attn.q_norm",
                  .k_norm = "model.layers.#.self_attn.k_norm"},
    },
    {
        .model_type = "mixtral",
        .title = "Mixtral",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .norm_eps = 1e-5f,
        .names = {LLAMA_ATTENTION, .router = "model.layers.#.block_sparse_moe.gate",
                  .expert_gate = "model.layers.#.block_sparse_moe.experts.@.w1",
                  .expert_up = "model.layers.#.block_sparse_moe.experts.@.w3",
                  .expert_down = "model.layers.#.block_sparse_moe.experts.@.w2"},
    },
    {
        .model_type = "qwen3_moe",
        .title = "Qwen3-MoE",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .norm_eps = 1e-6f,
        .names = {LLAMA_ATTENTION, LLAMA_MLP, .q_norm = "model.layers.#.self_attn.q_norm",
                  .k_norm = "model.layers.#.self_attn.k_norm", .router = "model.layers.#.mlp.gate",
                  .expert_gate = "model.layers.#.mlp.experts.@.gate_proj",
                  .expert_up = "model.layers.#.mlp.experts.@.up_proj",
                  .expert_down = "model.layers.#.mlp.experts.@.down_proj"},
    },
};

const struct sw_arch *sw_arch_row(int i)
{
    return i >= 0 && (size_t)i < sizeof rows / sizeof rows[0] ? &rows[i] : NULL;
}

const struct sw_arch *sw_arch_find(const char *model_type)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].model_type, model_type) == 0)
            return &rows[i];
    return NULL;
}
