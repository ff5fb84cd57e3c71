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

/* The keys of a config.json; what is absent is as transformers has it. */
#define REQUIRED .absent = SW_REQUIRED

#define LLAMA_KEYS(kv_heads, eps, theta)                                                           \
    [SW_KEY_LAYERS] = {.name = "num_hidden_layers", REQUIRED},                                     \
    [SW_KEY_HIDDEN] = {.name = "hidden_size", REQUIRED},                                           \
    [SW_KEY_HEADS] = {.name = "num_attention_heads", REQUIRED},                                    \
    [SW_KEY_KV_HEADS] = {.name = "num_key_value_heads", .absent = kv_heads, .null_is_zero = true}, \
    [SW_KEY_FFN] = {.name = "intermediate_size", REQUIRED},                                        \
    [SW_KEY_VOCAB] = {.name = "vocab_size", REQUIRED},                                             \
    [SW_KEY_CONTEXT] = {.name = "max_position_embeddings"},                                        \
    [SW_KEY_ACTIVATION] = {.name = "hidden_act"},                                                  \
    [SW_KEY_NORM_EPS] = {.name = "rms_norm_eps", .absent = eps},                                   \
    [SW_KEY_TIED] = {.name = "tie_word_embeddings"},                                               \
    [SW_KEY_ROPE_BASE] = {.name = "rope_theta", .absent = theta},                                  \
    [SW_KEY_ROTARY_SHARE] = {.absent = 1},                                                         \
    [SW_KEY_ROPE] = {.name = "rope_scaling", .other = "rope_parameters"}

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

#define T5_LAYER(stack, mlp)                                                                       \
    .attn_norm = stack ".block.#.layer.0.layer_norm",                                              \
    .q = stack ".block.#.layer.0.SelfAttention.q", .k = stack ".block.#.layer.0.SelfAttention.k",  \
    .v = stack ".block.#.layer.0.SelfAttention.v",                                                 \
    .out = stack ".block.#.layer.0.SelfAttention.o",                                               \
    .bias = stack ".block.0.layer.0.SelfAttention.relative_attention_bias",                        \
    .mlp_norm = stack ".block.#.layer." mlp ".layer_norm",                                         \
    .gate = stack ".block.#.layer." mlp ".DenseReluDense.wi_0",                                    \
    .up = stack ".block.#.layer." mlp ".DenseReluDense.wi_1",                                      \
    .plain_up = stack ".block.#.layer." mlp ".DenseReluDense.wi",                                  \
    .down = stack ".block.#.layer." mlp ".DenseReluDense.wo"

static const struct sw_names t5_encoder = {T5_LAYER("encoder", "1"),
                                           .memory_norm = "encoder.final_layer_norm"};

static const struct sw_arch rows[] = {
    {
        .model_type = "gpt_neox",
        .title = "GPT-NeoX, Pythia",
        .norm = SW_NORM_LAYER,
        .position = SW_POS_ROPE,
        .residual = SW_RES_PARALLEL,
        .qkv = SW_QKV_PER_HEAD,
        .activation = SW_ACT_GELU,
        .keys = {[SW_KEY_LAYERS] = {.name = "num_hidden_layers", REQUIRED},
                 [SW_KEY_HIDDEN] = {.name = "hidden_size", REQUIRED},
                 [SW_KEY_HEADS] = {.name = "num_attention_heads", REQUIRED},
                 [SW_KEY_HEAD_DIM] =
                     {.name = "head_dim"}, /* of rope alone, so another one is refused */
                 [SW_KEY_FFN] = {.name = "intermediate_size", REQUIRED},
                 [SW_KEY_VOCAB] = {.name = "vocab_size", REQUIRED},
                 [SW_KEY_CONTEXT] = {.name = "max_position_embeddings"},
                 [SW_KEY_ACTIVATION] = {.name = "hidden_act"},
                 [SW_KEY_NORM_EPS] = {.name = "layer_norm_eps", .absent = 1e-5},
                 [SW_KEY_TIED] = {.name = "tie_word_embeddings"},
                 [SW_KEY_QKV_BIAS] = {.name = "attention_bias", .absent = 1},
                 [SW_KEY_MLP_BIAS] = {.absent = 1},
                 [SW_KEY_PARALLEL] = {.name = "use_parallel_residual", .absent = 1},
                 [SW_KEY_ROPE_BASE] = {.name = "rotary_emb_base", .absent = 10000},
                 [SW_KEY_ROTARY_SHARE] = {.name = "rotary_pct", .absent = 0.25},
                 [SW_KEY_ROPE] = {.name = "rope_scaling", .other = "rope_parameters"}},
        .names = {.prefix = "gpt_neox.",
                  .embed = "gpt_neox.embed_in",
                  .final_norm = "gpt_neox.final_layer_norm",
                  .head = "embed_out",
                  .head_alias = "lm_head",
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
        .head_bias = true,
        .keys = {GPT2_KEYS(2048), [SW_KEY_TIED] = {.name = "tie_word_embeddings"},
                 [SW_KEY_MLP_BIAS] = {.absent = 1}, [SW_KEY_ROPE_BASE] = {.absent = 10000},
                 [SW_KEY_ROTARY_SHARE] = {.absent = 1},
                 [SW_KEY_ROTARY_DIM] = {.name = "rotary_dim", .absent = 64}},
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
        .out_bias = true,
        .keys = {GPT2_KEYS(1024), [SW_KEY_TIED] = {.name = "tie_word_embeddings", .absent = 1},
                 [SW_KEY_QKV_BIAS] = {.absent = 1}, [SW_KEY_MLP_BIAS] = {.absent = 1},
                 [SW_KEY_SCALED_SCORES] = {.name = "scale_attn_weights", .absent = 1},
                 [SW_KEY_SCORES_BY_LAYER] = {.name = "scale_attn_by_inverse_layer_idx"},
                 [SW_KEY_CROSS_ATTENTION] = {.name = "add_cross_attention"}},
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
        .out_bias = true,
        .keys = {[SW_KEY_LAYERS] = {.name = "num_hidden_layers", REQUIRED},
                 [SW_KEY_HIDDEN] = {.name = "hidden_size", REQUIRED},
                 [SW_KEY_HEADS] = {.name = "num_attention_heads", REQUIRED},
                 [SW_KEY_FFN] = {.name = "ffn_dim", REQUIRED},
                 [SW_KEY_VOCAB] = {.name = "vocab_size", REQUIRED},
                 [SW_KEY_CONTEXT] = {.name = "max_position_embeddings", .absent = 2048},
                 [SW_KEY_EMBED_DIM] = {.name = "word_embed_proj_dim"},
                 [SW_KEY_ACTIVATION] = {.name = "activation_function"},
                 [SW_KEY_NORM_EPS] = {.absent = 1e-5},
                 [SW_KEY_TIED] = {.name = "tie_word_embeddings", .absent = 1},
                 [SW_KEY_QKV_BIAS] = {.absent = 1},
                 [SW_KEY_MLP_BIAS] = {.absent = 1},
                 [SW_KEY_LINEAR_BIAS] = {.name = "enable_bias", .absent = 1},
                 [SW_KEY_NORM_WEIGHTS] = {.name = "layer_norm_elementwise_affine", .absent = 1},
                 [SW_KEY_PRE_NORM] = {.name = "do_layer_norm_before", .absent = 1},
                 [SW_KEY_NO_FINAL_NORM] = {.name = "_remove_final_layer_norm"}},
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
        .out_bias = true,
        .keys = {[SW_KEY_LAYERS] = {.name = "num_hidden_layers", .other = "n_layer", REQUIRED},
                 [SW_KEY_HIDDEN] = {.name = "n_embed", .other = "hidden_size", REQUIRED},
                 [SW_KEY_HEADS] = {.name = "num_attention_heads", .other = "n_head", REQUIRED},
                 [SW_KEY_VOCAB] = {.name = "vocab_size", REQUIRED},
                 [SW_KEY_NORM_EPS] = {.name = "layer_norm_epsilon", .absent = 1e-5},
                 [SW_KEY_TIED] = {.name = "tie_word_embeddings", .absent = 1},
                 [SW_KEY_QKV_BIAS] = {.absent = 1},
                 [SW_KEY_MLP_BIAS] = {.absent = 1},
                 [SW_KEY_NORMED_RESIDUAL] = {.name = "apply_residual_connection_post_layernorm"}},
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
        .keys = {LLAMA_KEYS(0, 1e-6, 10000), [SW_KEY_HEAD_DIM] = {.name = "head_dim"},
                 [SW_KEY_QKV_BIAS] = {.name = "attention_bias"},
                 [SW_KEY_MLP_BIAS] = {.name = "mlp_bias"}},
        .names = {LLAMA_ATTENTION, LLAMA_MLP},
    },
    {
        .model_type = "mistral",
        .title = "Mistral",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .keys = {LLAMA_KEYS(8, 1e-6, 10000), [SW_KEY_HEAD_DIM] = {.name = "head_dim"},
                 [SW_KEY_WINDOW] = {.name = "sliding_window",
                                    .absent = 4096,
                                    .null_is_zero = true}},
        .names = {LLAMA_ATTENTION, LLAMA_MLP},
    },
    {
        .model_type = "qwen2",
        .title = "Qwen2, Qwen2.5",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .keys = {LLAMA_KEYS(32, 1e-6, 10000), [SW_KEY_HEAD_DIM] = {.name = "head_dim"},
                 [SW_KEY_QKV_BIAS] = {.absent = 1}, QWEN_WINDOW_LAYERS},
        .names = {LLAMA_ATTENTION, LLAMA_MLP},
    },
    {
        .model_type = "qwen3",
        .title = "Qwen3",
        .norm = SW_NORM_RMS,
        .position = SW_POS_ROPE,
        .activation = SW_ACT_SILU,
        .gated = true,
        .keys =
            {LLAMA_KEYS(32, 1e-6, 10000), [SW_KEY_HEAD_DIM] = {.name = "head_dim", .absent = 128},
             [SW_KEY_QKV_BIAS] = {.name = "attention_bias"}, QWEN_WINDOW_LAYERS},
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
        .keys = {LLAMA_KEYS(8, 1e-5, 1e6), [SW_KEY_HEAD_DIM] = {.name = "head_dim"},
                 [SW_KEY_WINDOW] = {.name = "sliding_window"},
                 [SW_KEY_EXPERTS] = {.name = "num_local_experts",
                                     .other = "num_experts",
                                     .absent = 8},
                 [SW_KEY_EXPERTS_USED] = {.name = "num_experts_per_tok", .absent = 2},
                 [SW_KEY_SPARSE_STEP] = {.absent = 1}, [SW_KEY_NORM_TOPK] = {.absent = 1}},
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
        .keys = {LLAMA_KEYS(4, 1e-6, 10000), [SW_KEY_HEAD_DIM] = {.name = "head_dim"},
                 [SW_KEY_QKV_BIAS] = {.name = "attention_bias"}, QWEN_WINDOW,
                 [SW_KEY_EXPERTS] = {.name = "num_experts",
                                     .other = "num_local_experts",
                                     .absent = 128},
                 [SW_KEY_EXPERTS_USED] = {.name = "num_experts_per_tok", .absent = 8},
                 [SW_KEY_EXPERT_FFN] = {.name = "moe_intermediate_size", .absent = 768},
                 [SW_KEY_SPARSE_STEP] = {.name = "decoder_sparse_step", .absent = 1},
                 [SW_KEY_DENSE_LAYERS] = {.name = "mlp_only_layers"},
                 [SW_KEY_NORM_TOPK] = {.name = "norm_topk_prob"}},
        .names = {LLAMA_ATTENTION, LLAMA_MLP, .q_norm = "model.layers.#.self_attn.q_norm",
                  .k_norm = "model.layers.#.self_attn.k_norm", .router = "model.layers.#.mlp.gate",
                  .expert_gate = "model.layers.#.mlp.experts.@.gate_proj",
                  .expert_up = "model.layers.#.mlp.experts.@.up_proj",
                  .expert_down = "model.layers.#.mlp.experts.@.down_proj"},
    },
    {
        .model_type = "t5",
        .title = "T5, Flan-T5, T0",
        .norm = SW_NORM_RMS,
        .position = SW_POS_BUCKETS,
        .activation = SW_ACT_RELU,
        .gate_by_config = true,
        .plain_scores = true,
        .tied_scale = true,
        .encoder = &t5_encoder,
        .keys = {[SW_KEY_LAYERS] = {.name = "num_layers", REQUIRED},
                 [SW_KEY_DECODER_LAYERS] = {.name = "num_decoder_layers"},
                 [SW_KEY_HIDDEN] = {.name = "d_model", REQUIRED},
                 [SW_KEY_HEADS] = {.name = "num_heads", REQUIRED},
                 [SW_KEY_HEAD_DIM] = {.name = "d_kv", .absent = 64},
                 [SW_KEY_FFN] = {.name = "d_ff", REQUIRED},
                 [SW_KEY_VOCAB] = {.name = "vocab_size", REQUIRED},
                 [SW_KEY_ACTIVATION] = {.name = "feed_forward_proj"},
                 [SW_KEY_NORM_EPS] = {.name = "layer_norm_epsilon", .absent = 1e-6},
                 [SW_KEY_TIED] = {.name = "tie_word_embeddings", .absent = 1},
                 [SW_KEY_BUCKETS] = {.name = "relative_attention_num_buckets", .absent = 32},
                 [SW_KEY_BUCKET_REACH] = {.name = "relative_attention_max_distance", .absent = 128},
                 [SW_KEY_DECODER_START] = {.name = "decoder_start_token_id"},
                 [SW_KEY_TRAINED_CONTEXT] = {.name = "n_positions"}},
        .names = {.prefix = "",
                  .embed = "shared",
                  .final_norm = "decoder.final_layer_norm",
                  .head = "lm_head",
                  T5_LAYER("decoder", "2"),
                  .cross_norm = "decoder.block.#.layer.1.layer_norm",
                  .cross_q = "decoder.block.#.layer.1.EncDecAttention.q",
                  .cross_k = "decoder.block.#.layer.1.EncDecAttention.k",
                  .cross_v = "decoder.block.#.layer.1.EncDecAttention.v",
                  .cross_out = "decoder.block.#.layer.1.EncDecAttention.o"},
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
