/* Owns the tables of GGUF's names. */
#include "checkpoint/gguf_families.h"

#include <string.h>

/* The norm between attention and MLP, by where it is and not by what it is of. */
static const struct sw_names norm_behind = {.mlp_norm = "blk.#.post_attention_norm"};
static const struct sw_names falcon_names = {.attn_norm_aside = "blk.#.attn_norm_2",
                                             .mlp_norm_aside = "blk.#.attn_norm"};
/* Their folders have gate and up in one tensor. */
static const struct sw_names gates_apart = {.expert_gate = "blk.#.ffn_gate_exps.@"};
static const struct sw_names gemma4_names = {.expert_gate = "blk.#.ffn_gate_exps.@",
                                             .router_norm = "blk.#.ffn_gate_inp.scale",
                                             .router_shares = "blk.#.ffn_down_exps.scale"};
static const struct sw_names qwen3next_names = {.mlp_norm = "blk.#.post_attention_norm",
                                                .delta_z = "blk.#.attn_gate"};
static const struct sw_names qwen35_names = {.mlp_norm = "blk.#.post_attention_norm",
                                             .delta_gates = "blk.#.ssm_beta"};

#define T5_STACK(stack)                                                                            \
    .attn_norm = stack ".blk.#.attn_norm", .q = stack ".blk.#.attn_q", .k = stack ".blk.#.attn_k", \
    .v = stack ".blk.#.attn_v", .out = stack ".blk.#.attn_o", .bias = stack ".blk.0.attn_rel_b",   \
    .mlp_norm = stack ".blk.#.ffn_norm", .gate = stack ".blk.#.ffn_gate",                          \
    .up = stack ".blk.#.ffn_up", .plain_up = stack ".blk.#.ffn_up",                                \
    .down = stack ".blk.#.ffn_down"
static const struct sw_names t5_encoder = {T5_STACK("enc"), .memory_norm = "enc.output_norm"};
static const struct sw_names t5_decoder = {T5_STACK("dec"),
                                           .final_norm = "dec.output_norm",
                                           .cross_norm = "dec.blk.#.cross_attn_norm",
                                           .cross_q = "dec.blk.#.cross_attn_q",
                                           .cross_k = "dec.blk.#.cross_attn_k",
                                           .cross_v = "dec.blk.#.cross_attn_v",
                                           .cross_out = "dec.blk.#.cross_attn_o"};

static const struct sw_gguf_family gguf_families[] = {
    {.architecture = "llama",
     .model_type = "llama",
     .routed_type = "mixtral",
     .other_type = "mistral",
     .interleaved = true},
    {.architecture = "qwen2", .model_type = "qwen2"},
    {.architecture = "qwen3", .model_type = "qwen3"},
    {.architecture = "qwen3moe", .model_type = "qwen3_moe"},
    {.architecture = "gptneox", .model_type = "gpt_neox", .stacked = true},
    {.architecture = "bloom", .model_type = "bloom", .stacked = true},
    {.architecture = "gpt2", .model_type = "gpt2"},
    {.architecture = "gemma", .model_type = "gemma", .read_only = true},
    {.architecture = "gemma2",
     .model_type = "gemma2",
     .read_only = true,
     .windows = true,
     .wide_heads = 256},
    {.architecture = "gemma3",
     .model_type = "gemma3_text",
     .read_only = true,
     .windows = true,
     .wide_heads = 256},
    {.architecture = "gemma4",
     .model_type = "gemma4_text",
     .read_only = true,
     .windows = true,
     .own = &gemma4_names},
    {.architecture = "olmo2",
     .model_type = "olmo2",
     .window_type = "olmo3",
     .read_only = true,
     .windows = true},
    {.architecture = "granite", .model_type = "granite", .read_only = true, .interleaved = true},
    {.architecture = "command-r", .model_type = "cohere", .read_only = true},
    {.architecture = "cohere2", .model_type = "cohere2", .read_only = true, .windows = true},
    {.architecture = "glm4", .model_type = "glm4", .read_only = true},
    {.architecture = "smollm3", .model_type = "smollm3", .read_only = true, .interleaved = true},
    {.architecture = "starcoder2", .model_type = "starcoder2", .read_only = true},
    {.architecture = "exaone4", .model_type = "exaone4", .read_only = true, .windows = true},
    {.architecture = "nemotron", .model_type = "nemotron", .read_only = true},
    {.architecture = "hunyuan-dense", .model_type = "hunyuan_v1_dense", .read_only = true},
    {.architecture = "ernie4_5", .model_type = "ernie4_5", .read_only = true},
    {.architecture = "falcon",
     .model_type = "falcon",
     .read_only = true,
     .stacked = true,
     .own = &falcon_names},
    {.architecture = "phi3", .model_type = "phi3", .read_only = true, .windows = true},
    {.architecture = "seed_oss", .model_type = "seed_oss", .read_only = true, .own = &norm_behind},
    {.architecture = "mistral3",
     .model_type = "ministral3",
     .read_only = true,
     .interleaved = true},
    {.architecture = "gpt-oss",
     .model_type = "gpt_oss",
     .read_only = true,
     .windows = true,
     .whole_ramp = true,
     .own = &norm_behind},
    {.architecture = "qwen2moe", .model_type = "qwen2_moe", .read_only = true, .raw_shares = true},
    {.architecture = "olmoe", .model_type = "olmoe", .read_only = true, .raw_shares = true},
    {.architecture = "granitemoe",
     .model_type = "granitemoe",
     .read_only = true,
     .interleaved = true,
     .own = &gates_apart},
    {.architecture = "glm4moe", .model_type = "glm4_moe", .read_only = true, .own = &norm_behind},
    {.architecture = "ernie4_5-moe", .model_type = "ernie4_5_moe", .read_only = true},
    {.architecture = "minimax-m2", .model_type = "minimax_m2", .read_only = true},
    {.architecture = "llama4",
     .model_type = "llama4_text",
     .read_only = true,
     .windows = true,
     .chunk = 8192,
     .plain_experts = 128,
     .raw_shares = true,
     .own = &gates_apart},
    {.architecture = "qwen3next",
     .model_type = "qwen3_next",
     .read_only = true,
     .own = &qwen3next_names},
    {.architecture = "qwen35",
     .model_type = "qwen3_5_text",
     .read_only = true,
     .turns = true,
     .own = &qwen35_names},
    {.architecture = "qwen35moe",
     .model_type = "qwen3_5_moe_text",
     .read_only = true,
     .turns = true,
     .own = &qwen35_names},
    {.architecture = "deepseek2",
     .model_type = "youtu",
     .routed_type = "deepseek_v2",
     .corrected_type = "deepseek_v3",
     .read_only = true,
     .interleaved = true,
     .raw_shares = true,
     .tenth_of_mscale = true},
    {.architecture = "t5",
     .model_type = "t5",
     .read_only = true,
     .own = &t5_decoder,
     .encoder = &t5_encoder},
};

static const struct sw_gguf_name gguf_names[] = {
#define NAME(member, name)                                                                         \
    {                                                                                              \
        offsetof(struct sw_names, member), name                                                    \
    }
    NAME(embed, "token_embd"),
    NAME(positions, "position_embd"),
    NAME(embed_norm, "token_embd_norm"),
    NAME(final_norm, "output_norm"),
    NAME(head, "output"),
    NAME(attn_norm, "blk.#.attn_norm"),
    NAME(qkv, "blk.#.attn_qkv"),
    NAME(q, "blk.#.attn_q"),
    NAME(k, "blk.#.attn_k"),
    NAME(v, "blk.#.attn_v"),
    NAME(out, "blk.#.attn_output"),
    NAME(q_norm, "blk.#.attn_q_norm"),
    NAME(k_norm, "blk.#.attn_k_norm"),
    NAME(attn_post_norm, "blk.#.post_attention_norm"),
    NAME(mlp_norm, "blk.#.ffn_norm"),
    NAME(mlp_post_norm, "blk.#.post_ffw_norm"),
    NAME(layer_scale, "blk.#.layer_output_scale.weight"),
    NAME(input_table, "per_layer_token_embd"),
    NAME(input_project, "per_layer_model_proj"),
    NAME(input_project_norm, "per_layer_proj_norm"),
    NAME(input_gate, "blk.#.inp_gate"),
    NAME(input_out, "blk.#.proj"),
    NAME(input_norm, "blk.#.post_norm"),
    NAME(dense_post_norm, "blk.#.post_ffw_norm_1"),
    NAME(expert_norm, "blk.#.pre_ffw_norm_2"),
    NAME(expert_post_norm, "blk.#.post_ffw_norm_2"),
    NAME(gate, "blk.#.ffn_gate"),
    NAME(up, "blk.#.ffn_up"),
    NAME(down, "blk.#.ffn_down"),
    NAME(router, "blk.#.ffn_gate_inp"),
    NAME(expert_gate, "blk.#.ffn_gate_exps.@"),
    NAME(expert_up, "blk.#.ffn_up_exps.@"),
    NAME(expert_down, "blk.#.ffn_down_exps.@"),
    NAME(router_correction, "blk.#.exp_probs_b.bias"),
    NAME(expert_gate_bias, "blk.#.ffn_gate_exps.@.bias"),
    NAME(expert_up_bias, "blk.#.ffn_up_exps.@.bias"),
    NAME(expert_down_bias, "blk.#.ffn_down_exps.@.bias"),
    NAME(shared_gate, "blk.#.ffn_gate_shexp"),
    NAME(shared_up, "blk.#.ffn_up_shexp"),
    NAME(shared_down, "blk.#.ffn_down_shexp"),
    NAME(shared_router, "blk.#.ffn_gate_inp_shexp"),
    NAME(sinks, "blk.#.attn_sinks.weight"),
    NAME(q_a, "blk.#.attn_q_a"),
    NAME(q_a_norm, "blk.#.attn_q_a_norm"),
    NAME(q_b, "blk.#.attn_q_b"),
    NAME(kv_a, "blk.#.attn_kv_a_mqa"),
    NAME(kv_a_norm, "blk.#.attn_kv_a_norm"),
    NAME(kv_b, "blk.#.attn_kv_b"),
    NAME(delta_in, "blk.#.attn_qkv"),
    NAME(delta_z, "blk.#.attn_gate"),
    NAME(delta_gates, "blk.#.ssm_ba"),
    NAME(delta_a, "blk.#.ssm_alpha"),
    NAME(delta_conv, "blk.#.ssm_conv1d"),
    NAME(delta_decay, "blk.#.ssm_a"),
    NAME(delta_dt, "blk.#.ssm_dt.bias"),
    NAME(delta_norm, "blk.#.ssm_norm"),
    NAME(delta_out, "blk.#.ssm_out"),
#undef NAME
};

static const char *const gguf_keys[SW_KEY_COUNT] = {
    [SW_KEY_LAYERS] = "block_count",
    [SW_KEY_HIDDEN] = "embedding_length",
    [SW_KEY_HEADS] = "attention.head_count",
    [SW_KEY_KV_HEADS] = "attention.head_count_kv",
    [SW_KEY_HEAD_DIM] = "attention.key_length",
    [SW_KEY_LAYER_HEADS] = SW_GGUF_LAYER_HEADS,
    [SW_KEY_KEYS_AS_VALUES] = SW_GGUF_KEYS_AS_VALUES,
    [SW_KEY_SHARED_KV] = "attention.shared_kv_layers",
    [SW_KEY_WIDE_BORROWERS] = SW_GGUF_WIDE_BORROWERS,
    [SW_KEY_LAYER_INPUTS] = "embedding_length_per_layer_input",
    [SW_KEY_FFN] = "feed_forward_length",
    [SW_KEY_VOCAB] = "vocab_size",
    [SW_KEY_CONTEXT] = "context_length",
    [SW_KEY_ROPE_BASE] = "rope.freq_base",
    [SW_KEY_ROTARY_DIM] = "rope.dimension_count",
    [SW_KEY_WINDOW] = "attention.sliding_window",
    [SW_KEY_LOCAL_BASE] = "rope.freq_base_swa",
    [SW_KEY_SCORE_SCALE] = "attention.scale",
    [SW_KEY_SCORE_CAP] = "attn_logit_softcapping",
    [SW_KEY_LOGIT_CAP] = "final_logit_softcapping",
    [SW_KEY_EMBED_SCALE] = "embedding_scale",
    [SW_KEY_RESIDUAL_SCALE] = "residual_scale",
    [SW_KEY_LOGIT_SCALE] = "logit_scale",
    [SW_KEY_LOGIT_DIVISOR] = "logit_scale",
    [SW_KEY_PARALLEL] = "use_parallel_residual",
    [SW_KEY_EXPERTS] = "expert_count",
    [SW_KEY_EXPERTS_USED] = "expert_used_count",
    [SW_KEY_EXPERT_FFN] = "expert_feed_forward_length",
    [SW_KEY_LATENT] = "attention.kv_lora_rank",
    [SW_KEY_LATENT_Q] = "attention.q_lora_rank",
    [SW_KEY_LATENT_PLAIN] = SW_GGUF_PLAIN_LENGTH,
    [SW_KEY_LATENT_OUT] = "attention.value_length_mla",
    [SW_KEY_NORM_TOPK] = "expert_weights_norm",
    [SW_KEY_ROUTED_SCALE] = "expert_weights_scale",
    [SW_KEY_GROUPS] = "expert_group_count",
    [SW_KEY_GROUPS_USED] = "expert_group_used_count",
    [SW_KEY_SHARED] = "expert_shared_count",
    [SW_KEY_SHARED_FFN] = "expert_shared_feed_forward_length",
    [SW_KEY_FIRST_ROUTED] = "leading_dense_block_count",
    [SW_KEY_SPARSE_STEP] = "interleave_moe_layer_step",
    [SW_KEY_LAYER_TYPES] = "attention.sliding_window_pattern",
    [SW_KEY_QUERY_SLOPE] = "attention.temperature_scale",
    [SW_KEY_DECODER_LAYERS] = "decoder_block_count",
    [SW_KEY_BUCKETS] = "attention.relative_buckets_count",
    [SW_KEY_DECODER_START] = "decoder_start_token_id",
    [SW_KEY_FULL_STEP] = "full_attention_interval",
    [SW_KEY_DELTA_K_HEADS] = "ssm.group_count",
    [SW_KEY_DELTA_V_HEADS] = "ssm.time_step_rank",
    [SW_KEY_DELTA_K_DIM] = "ssm.state_size",
    [SW_KEY_DELTA_V_DIM] = SW_GGUF_VALUE_LENGTH,
    [SW_KEY_DELTA_WINDOW] = "ssm.conv_kernel",
};
static const char *const gguf_eps[] = {[SW_NORM_LAYER] = "attention.layer_norm_epsilon",
                                       [SW_NORM_RMS] = "attention.layer_norm_rms_epsilon"};

const struct sw_gguf_family *sw_gguf_family_row(int i)
{
    return i >= 0 && (size_t)i < sizeof gguf_families / sizeof gguf_families[0] ? gguf_families + i
                                                                                : NULL;
}

const struct sw_gguf_family *sw_gguf_family_of(const char *architecture)
{
    const struct sw_gguf_family *family;
    for (int i = 0; (family = sw_gguf_family_row(i)); i++)
        if (strcmp(family->architecture, architecture) == 0)
            return family;
    return NULL;
}

static bool family_is(const char *type, const char *model_type)
{
    return type && strcmp(type, model_type) == 0;
}

const struct sw_gguf_family *sw_gguf_family_for(const char *model_type)
{
    const struct sw_gguf_family *family;
    for (int i = 0; (family = sw_gguf_family_row(i)); i++)
        if (family_is(family->model_type, model_type) ||
            family_is(family->routed_type, model_type) || family_is(family->other_type, model_type))
            return family;
    return NULL;
}

const struct sw_gguf_name *sw_gguf_name_row(int i)
{
    return i >= 0 && (size_t)i < sizeof gguf_names / sizeof gguf_names[0] ? gguf_names + i : NULL;
}

const char *sw_gguf_name_for(const struct sw_names *names, const char *pattern)
{
    const struct sw_gguf_name *row;
    for (int i = 0; (row = sw_gguf_name_row(i)); i++) {
        const char *const *name =
            (const char *const *)(const void *)((const char *)names + row->at);
        if (*name && strcmp(*name, pattern) == 0)
            return row->name;
    }
    return NULL;
}

const char *sw_gguf_key(enum sw_key key, enum sw_norm norm)
{
    return key == SW_KEY_NORM_EPS ? gguf_eps[norm] : gguf_keys[key];
}
