/* What is refused of a config.json and of a checkpoint beside it, by name; what is passed over, and
 * what is warned of. */
#include "model/model.h"
#include "small_configs.h"
#include "unit.h"

/* Sizes that no model has are refused before memory is taken for them. */
static void too_many_weights_are_refused(void)
{
    static const char config[] =
        "{\"model_type\": \"mixtral\", \"hidden_size\": 32, \"num_hidden_layers\": 10000, "
        "\"num_attention_heads\": 4, \"num_key_value_heads\": 4, \"intermediate_size\": 64, "
        "\"vocab_size\": 96, \"max_position_embeddings\": 128, \"rms_norm_eps\": 1e-5, "
        "\"hidden_act\": \"silu\", \"num_local_experts\": 4096, \"num_experts_per_tok\": 2}";
    struct sw_model *model;
    CU_ASSERT_EQUAL(sw_model_parse(config, sizeof config - 1, "config.json", &model), SW_EMODEL);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "10000 layers with 4096 experts"));
}

static void bad_configs_are_refused_by_name(void)
{
    static const struct {
        const char *json, *message;
    } bad[] = {
        {"", "not JSON"},
        {"[1]", "must be a JSON object"},
        {"{}", "'model_type' is missing"},
        {"{\"model_type\": \"mammoth\"}", "known families: gpt_neox"},
        {"{" GOOD ", \"model_type\": \"ministral3\", \"num_key_value_heads\": 4}",
         "'rope_scaling' is missing"},
        {"{\"model_type\": \"mine\", \"hidden_size\": 8, \"num_hidden_layers\": 2, "
         "\"rms_norm_eps\": 1, "
         "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"intermediate_size\": 8, "
         "\"vocab_size\": 9, "
         "\"rope_theta\": 1, \"hidden_act\": \"silu\", \"rope_scaling\": null, \"head_dim\": 4, "
         "\"attention_bias\": false, \"mlp_bias\": false, \"tie_word_embeddings\": true, "
         "\"max_position_embeddings\": 9, \"use_cache\": true, \"time_mixing\": 3}",
         "model family 'mine' is not supported; the nearest known one is llama, which would not "
         "read "
         "'time_mixing'; known families: gpt_neox"},
        {"{\"model_type\": \"llama\"}", "'num_hidden_layers' is missing"},
        {"{" GOOD ", \"num_hidden_layers\": 0}", "from 1 to"},
        {"{" GOOD ", \"hidden_size\": \"big\"}",
         "'hidden_size' is \"big\", but must be an integer from 1 to"},
        {"{" GOOD ", \"hidden_size\": 1e30}", "'hidden_size' is 1e30, but must be an integer"},
        {"{" GOOD ", \"vocab_size\": 1000000000000000019884624838656}",
         "'vocab_size' is 1000000000000000019884624838656, but must be an integer from 1 to"},
        {"{" GOOD ", \"rope_theta\": Infinity}", "'rope_theta' is Infinity, but must be a number"},
        {"{" GOOD ", \"rms_norm_eps\": NaN}", "'rms_norm_eps' is NaN, but must be a number"},
        {"{\"model_type\": \"falcon_mamba\", \"time_step_limit\": [0.0, Infinity]}",
         "model family 'falcon_mamba' is not supported"},
        {"{" GOOD ", \"num_key_value_heads\": 3}", "evenly"},
        {"{" GOOD ", \"hidden_size\": 33}", "not a multiple"},
        {"{" GOOD ", \"hidden_act\": \"mish\"}", "activation 'mish'"},
        {"{" GOOD ", \"rope_scaling\": {\"type\": \"ntk\", \"factor\": 2}}",
         "rope scaling 'ntk' is not one of linear"},
        {"{" GOOD ", \"rope_scaling\": {\"type\": \"linear\"}}", "'factor'"},
        {"{" GOOD ", \"rope_scaling\": {\"type\": \"llama3\", \"factor\": 2}}",
         "'low_freq_factor' is missing"},
        {"{" GOOD ", \"tie_word_embeddings\": 1}", "'tie_word_embeddings' must be true or false"},
        {"{" GOOD ", \"rms_norm_eps\": \"small\"}", "must be a number from 0 to 1"},
        {"{" GOOD ", \"head_dim\": 9}", "9 rotary dimensions of a head of 9: must be even"},
        {"{" GOOD ", \"head_dim\": 16384, \"num_attention_heads\": 4096}",
         "4096 heads of 16384 are not possible"},
        {"{" GOOD ", \"model_type\": \"gpt2\", \"n_positions\": 64, "
         "\"scale_attn_by_inverse_layer_idx\": true}",
         "'scale_attn_by_inverse_layer_idx' is true, which is not supported"},
        {"{" GOOD ", \"model_type\": \"gpt2\", \"scale_attn_weights\": false}",
         "'scale_attn_weights' is false, which is not supported"},
        {"{" GOOD ", \"model_type\": \"opt\", \"ffn_dim\": 64, "
         "\"layer_norm_elementwise_affine\": false}",
         "'layer_norm_elementwise_affine' is false, which is not supported"},
        {"{" GOOD ", \"model_type\": \"mixtral\", \"num_local_experts\": 4, "
         "\"num_key_value_heads\": 4, \"num_experts_per_tok\": 5}",
         "'num_experts_per_tok' is 5, but must be an integer from 1 to 4"},
        {"{" GOOD ", \"model_type\": \"mixtral\", \"num_key_value_heads\": 4, "
         "\"num_local_experts\": 1}",
         "2 experts are used of 1"},
        {"{" GOOD ", \"model_type\": \"qwen2\", \"num_key_value_heads\": 4, "
         "\"layer_types\": [\"full_attention\", \"chunked_attention\"]}",
         "'layer_types' says 'chunked_attention' of layer 1"},
        {"{" GOOD ", \"model_type\": \"qwen2\", \"num_key_value_heads\": 4, "
         "\"layer_types\": [\"full_attention\"]}",
         "one text for each of 2 layers"},
        {"{" GOOD ", \"model_type\": \"smollm3\", \"num_key_value_heads\": 4, "
         "\"use_sliding_window\": true, \"sliding_window\": 8}",
         "'use_sliding_window' without 'layer_types' is not supported by SmolLM3"},
        {"{" GOOD ", \"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1e4}}}",
         "'rope_parameters' has members by layer ('full_attention')"},
        {"{" GEMMA4 ", \"num_kv_shared_layers\": 2}",
         "'num_kv_shared_layers' is 2, but no layer before these is of the kind of layer 1"},
        {"{" GEMMA4 ", \"num_kv_shared_layers\": 1, \"attention_bias\": true}",
         "'num_kv_shared_layers' is 1, which is not supported with biases of keys"},
        {"{" GEMMA4 ", \"hidden_size_per_layer_input\": null}",
         "'vocab_size_per_layer_input' is 262144, which is not supported; it must be 96"},
        {"{" GEMMA4 ", \"enable_moe_block\": true}", "'num_experts' is missing"},
        {"{" GEMMA4 ", \"use_bidirectional_attention\": \"all\"}",
         "'use_bidirectional_attention' is all, which is not supported"},
        {"{" GEMMA4 ", \"num_global_key_value_heads\": 3}",
         "4 attention heads do not share 3 key/value heads evenly"},
        {"{" GEMMA4 ", \"per_layer_config\": {\"0\": {\"head_dim\": 12}}}",
         "'per_layer_config' gives layer 0 4 key/value heads of 12, where 4 of 8 were expected"},
        {"{" GEMMA4 ", \"per_layer_config\": {\"1\": {\"head_dim\": \"wide\"}}}",
         "'head_dim' is \"wide\", but must be"},
        {"{" GOOD ", \"rope_scaling\": \"linear\"}", "'rope_scaling' must be an object"},
        {"{" GOOD ", \"rope_scaling\": {\"type\": \"longrope\", "
         "\"original_max_position_embeddings\": 1}}",
         "'original_max_position_embeddings' is 1, but must be above 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sw_model *model = NULL;
        CU_ASSERT_EQUAL(sw_model_parse(bad[i].json, strlen(bad[i].json), "c.json", &model),
                        SW_EMODEL);
        CU_ASSERT_PTR_NULL(model);
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "c.json"));
        if (!strstr(sw_error_message(), bad[i].message))
            printf("    %s\n    instead of: %s\n", sw_error_message(), bad[i].message);
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), bad[i].message));
    }
    struct sw_model *model;
    CU_ASSERT_EQUAL(sw_model_parse("{" GOOD "}", strlen("{" GOOD "}"), "c.json", &model), SW_OK);
    sw_model_close(model);
}

/* What Python writes and no key of ours reads. */
static void odd_values_of_other_keys_are_passed_over(void)
{
    static const char json[] =
        "{" GOOD ", \"model_max_length\": 1000000000000000019884624838656, "
        "\"time_step_limit\": [0.0, Infinity], \"x\": -Infinity, \"y\": NaN, \"z\": 1e400, "
        "\"name\": \"a\\u0000\\ud83d\", \"vocab_size\": 97}";
    struct sw_model *model;
    CU_ASSERT_EQUAL_FATAL(sw_model_parse(json, strlen(json), "c.json", &model), SW_OK);
    CU_ASSERT_EQUAL(model->dims.vocab, 97); /* the last of two */
    sw_model_close(model);
}

/* A key that only other families have is warned of where it says what is not done anyway. */
static void keys_of_other_families_are_warned_of(void)
{
    static const struct {
        const char *json, *warned; /* NULL: of nothing */
    } rows[] = {
        {"{" GOOD ", \"sliding_window\": 5}", "'sliding_window' is 5, which models of the family "
                                              "llama do not have"},
        {"{" GOOD ", \"sliding_window\": 4096, \"use_sliding_window\": false}", NULL},
        {"{" GOOD ", \"sliding_window\": null, \"max_window_layers\": 28}", NULL},
        {"{" GOOD ", \"layer_types\": [\"full_attention\", \"full_attention\"]}", NULL},
        {"{" GOOD ", \"layer_types\": [\"full_attention\", \"sliding_attention\"]}",
         "'layer_types' is [\"full_attention\""},
        {"{" GOOD ", \"rotary_pct\": 1.0, \"rotary_emb_base\": 10000, \"num_experts\": 0}", NULL},
        {"{" GOOD ", \"rotary_emb_base\": 500}", "'rotary_emb_base' is 500"},
        {"{" GOOD ", \"partial_rotary_factor\": 0.5}", "'partial_rotary_factor' is 0.5"},
        {"{" GOOD ", \"activation_function\": \"silu\", \"n_embd\": 32, \"n_layer\": 2}", NULL},
        {"{" GOOD ", \"activation_function\": \"relu\"}", "'activation_function' is \"relu\""},
        {"{" GOOD ", \"use_parallel_residual\": true}", "'use_parallel_residual' is true"},
        {"{" GOOD ", \"do_layer_norm_before\": true, \"enable_bias\": true}", NULL},
        {"{" GOOD ", \"model_type\": \"mistral\", \"num_key_value_heads\": 4, "
         "\"sliding_window\": 7, \"use_sliding_window\": false}",
         "'use_sliding_window' is false"},
        {"{" GOOD ", \"model_type\": \"mistral\", \"num_key_value_heads\": 4, "
         "\"sliding_window\": null, \"use_sliding_window\": false}",
         NULL},
        {"{" GOOD ", \"model_type\": \"gpt_neox\", \"rope_theta\": 500}", "'rope_theta' is 500"},
        {"{" GOOD ", \"model_type\": \"gpt_neox\", \"rope_theta\": 10000}", NULL},
        {"{" GOOD ", \"model_type\": \"mixtral\", \"num_key_value_heads\": 4, "
         "\"mlp_only_layers\": [1], \"norm_topk_prob\": true}",
         "'mlp_only_layers' is [1]"},
        {"{" GOOD ", \"model_type\": \"deepseek_v3\", \"topk_method\": \"noaux_tc\"}", NULL},
        {"{" GOOD ", \"model_type\": \"deepseek_v3\", \"topk_method\": \"greedy\"}",
         "'topk_method' is \"greedy\""},
        {"{" GOOD ", \"pretraining_tp\": 2, \"attention_dropout\": 0.1, \"mine\": {}}", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sw_model *model = NULL;
        CU_ASSERT_EQUAL_FATAL(sw_model_parse(rows[i].json, strlen(rows[i].json), "c.json", &model),
                              SW_OK);
        const char *all = model->warnings ? model->warnings : "";
        const bool good = rows[i].warned ? strstr(all, rows[i].warned) != NULL : !*all;
        if (!good)
            printf("    %s\n    warned of: %s\n", rows[i].json, all);
        CU_ASSERT_TRUE(good);
        CU_ASSERT_TRUE(!rows[i].warned || strchr(all, '\n') == strrchr(all, '\n'));
        sw_model_close(model);
    }
}

static void wrong_checkpoints_are_refused_by_name(void)
{
    struct sw_model *model;
    struct sw_tensors tensors = {0};
    int file;
    CU_ASSERT_EQUAL_FATAL(sw_model_parse("{" GOOD "}", strlen("{" GOOD "}"), "c", &model), SW_OK);
    CU_ASSERT_EQUAL(sw_model_check(model, &tensors), SW_EMODEL);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "'model.embed_tokens.weight' [96, 32]"));
    CU_ASSERT_EQUAL_FATAL(sw_tensors_add_file(&tensors, "w", 1 << 20, &file), SW_OK);
    struct sw_tensor embed = {.name = "embed_tokens.weight", /* without the prefix */
                              .dtype = SW_BF16,
                              .rank = 2,
                              .shape = {96, 33},
                              .stride = {33, 1}};
    CU_ASSERT_EQUAL_FATAL(sw_tensors_add(&tensors, &embed), SW_OK);
    CU_ASSERT_EQUAL(sw_model_check(model, &tensors), SW_EMODEL);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "is bf16 [96, 33], but config.json asks for "
                                                      "[96, 32]"));
    sw_tensors_free(&tensors);
    embed.shape[1] = 32;
    embed.stride[0] = 32;
    embed.dtype = SW_I8;
    CU_ASSERT_EQUAL_FATAL(sw_tensors_add_file(&tensors, "w", 1 << 20, &file), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_tensors_add(&tensors, &embed), SW_OK);
    CU_ASSERT_EQUAL(sw_model_check(model, &tensors), SW_EMODEL);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "i8"));
    sw_tensors_free(&tensors);
    sw_model_close(model);
}

SW_UNIT_TESTS({"too many weights are refused", too_many_weights_are_refused},
              {"bad configs are refused by name", bad_configs_are_refused_by_name},
              {"odd values of other keys are passed over",
               odd_values_of_other_keys_are_passed_over},
              {"keys of other families are warned of", keys_of_other_families_are_warned_of},
              {"wrong checkpoints are refused by name", wrong_checkpoints_are_refused_by_name})
