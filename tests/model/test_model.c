/* config.json of real models: sizes that are published, and what is refused. */
#include "model/model.h"
#include "model/weight_format.h"
#include "unit.h"

#include <math.h>

static struct sw_model *open_config(const char *name)
{
    char dir[4096];
    struct sw_model *model = NULL;
    snprintf(dir, sizeof dir, "%s/tests/plan/configs/%s", SW_SOURCE_DIR, name);
    CU_ASSERT_EQUAL_FATAL(sw_model_open(dir, &model), SW_OK);
    return model;
}

/* Parameter counts as the models' cards and papers give them, to the digits they give. */
static void parameter_counts_are_the_published_ones(void)
{
    static const struct {
        const char *name;
        double billions, digits;
    } models[] = {{"gpt-neox-20b", 20.55, 0.01},   {"opt-30b", 29.97, 0.02},
                  {"opt-66b", 65.72, 0.02},        {"bloom", 176.25, 0.01},
                  {"mixtral-8x7b", 46.70, 0.01},   {"llama-3.1-405b", 405.85, 0.01},
                  {"t5-3b", 2.851598336, 1e-12},

                  {"gemma-3-27b", 27.01, 0.01},    {"gemma-4-31b", 30.70, 0.01},
                  {"gemma-4-26b-a4b", 25.2, 0.05}, {"gpt-oss-120b", 116.83, 0.01}};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        struct sw_model *model = open_config(models[i].name);
        CU_ASSERT_DOUBLE_EQUAL((double)sw_model_parameters(model) / 1e9, models[i].billions,
                               models[i].digits);
        sw_model_close(model);
    }
}

#define GEMMA4                                                                                     \
    "\"model_type\": \"gemma4_text\", \"hidden_size\": 32, \"num_hidden_layers\": 3, "             \
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 4, \"head_dim\": 8, "                    \
    "\"vocab_size\": 96, \"intermediate_size\": 64, \"hidden_size_per_layer_input\": 0, "          \
    "\"sliding_window\": 8, \"attention_k_eq_v\": true, "                                          \
    "\"layer_types\": [\"sliding_attention\", \"full_attention\", \"sliding_attention\"], "        \
    "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"proportional\", "                 \
    "\"rope_theta\": 1e6, \"partial_rotary_factor\": 0.25}}"

/* Layers with a window and those without have heads of their own; a last layer has no window. */
static void heads_are_those_of_the_kind(void)
{
    static const char *const rows[] = {
        "{" GEMMA4 ", \"global_head_dim\": 20, \"num_global_key_value_heads\": 2}",
        "{" GEMMA4 ", \"global_head_dim\": 30, \"per_layer_config\": {"
        "\"1\": {\"head_dim\": 20, \"num_key_value_heads\": 2}, "
        "\"2\": {\"head_dim\": 20, \"num_key_value_heads\": 2}}}"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sw_model *model;
        const struct sw_weight_spec *specs;
        CU_ASSERT_EQUAL_FATAL(sw_model_parse(rows[i], strlen(rows[i]), "c.json", &model), SW_OK);
        for (int layer = 0; layer < 3; layer++) {
            const struct sw_head_dims heads = sw_model_heads(model, layer);
            const bool whole = layer > 0;
            CU_ASSERT_EQUAL(heads.dim, whole ? 20 : 8);
            CU_ASSERT_EQUAL(heads.n_kv, whole ? 2 : 4);
            CU_ASSERT_EQUAL(heads.rotary, whole ? 20 : 8);
            CU_ASSERT_EQUAL(heads.keys_as_values, whole);
            const size_t n = sw_model_weights(model, layer, &specs);
            for (size_t s = 0; s < n; s++)
                if (specs[s].id == SW_W_QKV) {
                    CU_ASSERT_EQUAL(specs[s].rows, whole ? 80 + 40 : 32 + 2 * 32);
                    CU_ASSERT_EQUAL(specs[s].n_sources, whole ? 2 : 3);
                }
        }
        CU_ASSERT_EQUAL(sw_model_qkv_layout(model, 1).width, 80 + 2 * 40);
        /* of 10 pairs 2 turn, at their own speeds */
        CU_ASSERT_DOUBLE_EQUAL(sw_model_rope_frequency(model, 0, 64, 1), pow(1e6, -0.1), 1e-12);
        CU_ASSERT_EQUAL(sw_model_rope_frequency(model, 0, 64, 2), 0);
        CU_ASSERT_DOUBLE_EQUAL(sw_model_rope_frequency(model, 1, 64, 3), pow(1e4, -0.75), 1e-12);
        sw_model_close(model);
    }
}

static void footprint_of_kinds(void)
{
    struct sw_model *model = open_config("gemma-4-31b");
    const struct sw_footprint_params params = {.weights = SW_FORMAT_BF16,
                                               .kv = SW_BF16,
                                               .context = 4096,
                                               .slots = 1,
                                               .max_batch_tokens = 512};
    struct sw_footprint f;
    CU_ASSERT_EQUAL_FATAL(sw_footprint_of(model, &params, &f), SW_OK);
    CU_ASSERT_EQUAL(f.layers[4].kv_bytes, 2ull * 16 * 256 * 4096 * 2);
    CU_ASSERT_EQUAL(f.layers[5].kv_bytes, 2ull * 4 * 512 * 4096 * 2);
    CU_ASSERT_EQUAL(f.layers[5].kv_row_bytes, 2ull * 4 * 512 * 2);
    CU_ASSERT_EQUAL(f.layers[4].attend_flops, 4 * 32 * 256);
    CU_ASSERT_EQUAL(f.layers[5].attend_flops, 4 * 32 * 512);
    CU_ASSERT_EQUAL(f.layers[4].window, 1024);
    CU_ASSERT_EQUAL(f.layers[5].window, 0);
    CU_ASSERT_EQUAL(f.cpu_only, 512 > SW_GPU_HEAD_DIM ? SW_CPU_ONLY_HEADS : 0);
    const struct sw_work work = sw_work_of(model, &params);
    CU_ASSERT_EQUAL(work.attention, 32 * 512);
    CU_ASSERT_EQUAL(work.qkv, 32 * 512 + 2 * 4 * 512);
    CU_ASSERT_EQUAL(work.rope, 4096 * 512);
    sw_footprint_free(&f);
    sw_model_close(model);
}

static void footprint_adds_up(void)
{
    struct sw_model *model = open_config("llama-3.1-405b");
    const struct sw_footprint_params params = {.weights = SW_FORMAT_BF16,
                                               .kv = SW_BF16,
                                               .context = 4096,
                                               .slots = 2,
                                               .max_batch_tokens = 512};
    struct sw_footprint f;
    CU_ASSERT_EQUAL_FATAL(sw_footprint_of(model, &params, &f), SW_OK);
    uint64_t bytes = f.embed_bytes + f.head_bytes;
    for (int i = 0; i < f.n_layers; i++)
        bytes += f.layers[i].weight_bytes;
    /* 16-bit matrices, f32 norms, a little padding. */
    CU_ASSERT_DOUBLE_EQUAL((double)bytes, 2.0 * (double)sw_model_parameters(model), 1e7);
    CU_ASSERT_EQUAL(f.layers[5].kv_bytes, 2ull * 2 * 8 * 128 * 4096 * 2);
    CU_ASSERT_DOUBLE_EQUAL(f.layers[5].token_flops, (double)f.layers[5].weight_bytes, 1e6);
    /* a score and a weighted value: 2 * 128 multiply-adds for each of 128 heads */
    CU_ASSERT_EQUAL(f.layers[5].attend_flops, 4 * 128 * 128);
    CU_ASSERT_EQUAL(f.layers[5].window, 0);
    CU_ASSERT_EQUAL(f.tied_bytes, 0);
    sw_footprint_free(&f);
    struct sw_footprint_params longer = params;
    longer.context = 131073;
    CU_ASSERT_EQUAL(sw_footprint_of(model, &longer, &f), SW_EUSAGE);
    sw_model_close(model);
}

/* Layers that slide see their window; a prompt's tokens are counted one by one. */
static void layers_see_their_windows(void)
{
    const struct sw_footprint_params params = {
        .weights = SW_FORMAT_F32, .kv = SW_F32, .context = 32, .slots = 1, .max_batch_tokens = 8};
    struct sw_footprint f;
    struct sw_model *model = NULL;
    CU_ASSERT_EQUAL_FATAL(sw_model_open(SW_SOURCE_DIR "/tests/models/tiny/qwen2_window", &model),
                          SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_footprint_of(model, &params, &f), SW_OK);
    CU_ASSERT(f.layers[0].window == 0 && f.layers[1].window == 6 && f.layers[2].window == 6);
    for (int n = 1, sum[2] = {0}; n <= 32; n++) {
        sum[0] += n;
        sum[1] += n < 6 ? n : 6;
        CU_ASSERT_DOUBLE_EQUAL(sw_layer_prompt_sees(&f.layers[0], n), (double)sum[0] / n, 1e-12);
        CU_ASSERT_DOUBLE_EQUAL(sw_layer_prompt_sees(&f.layers[1], n), (double)sum[1] / n, 1e-12);
    }
    sw_footprint_free(&f);
    sw_model_close(model);
}

/* The head's products have SW_LOGIT_ROWS rows at most, so its many outputs do not size a workspace
 * for all rows: gpt-j's 16384 outputs of a layer do, not 50400 of the vocabulary. */
static void gpu_workspace_is_that_of_layers(void)
{
    static const struct {
        int rows;
        uint64_t in, out; /* activations and sums, bytes */
    } cases[] = {{512, 512 * 16384 * 4, 512 * 16384 * 4},
                 {1024, 1024 * 16384 * 4, SW_GPU_SUMS_BYTES},
                 {20, 20 * 16384 * 4, 20 * 40320 * 4}, /* room for 16 rows of the head */
                 {1, 16 * 16384 * 4, 16 * 50400 * 4}};
    struct sw_model *model = open_config("gpt-j-6b");
    struct sw_footprint_params params = {
        .weights = SW_FORMAT_F16, .kv = SW_F16, .context = 2048, .slots = 1};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sw_footprint f;
        params.max_batch_tokens = cases[i].rows;
        CU_ASSERT_EQUAL_FATAL(sw_footprint_of(model, &params, &f), SW_OK);
        CU_ASSERT_EQUAL(f.gpu_workspace_bytes,
                        cases[i].in + cases[i].out + SW_GPU_WORKSPACE_FIXED + SW_GPU_ROUNDING);
        CU_ASSERT_EQUAL(f.gpu_work_bytes, f.gpu_workspace_bytes + sw_work_of(model, &params).bytes);
        sw_footprint_free(&f);
    }
    sw_model_close(model);
}

/* Linear matrices of layers with a byte an element and four a row; the rest as it was. */
static void int8_is_for_layers(void)
{
    struct sw_model *model = open_config("mixtral-8x7b");
    const struct sw_footprint_params params = {.weights = SW_FORMAT_INT8,
                                               .unquantized = SW_FORMAT_BF16,
                                               .kv = SW_BF16,
                                               .context = 64,
                                               .slots = 1,
                                               .max_batch_tokens = 1};
    struct sw_footprint f;
    CU_ASSERT_EQUAL_FATAL(sw_footprint_of(model, &params, &f), SW_OK);
    const uint64_t attention = 6144 * 4096 + 4096 * 4096, qkv_and_out = 6144 + 4096;
    const uint64_t expert = 3 * 14336 * 4096, rows = 2 * 14336 + 4096;
    const uint64_t norms = 2 * 4096 * 4, router = 2 * 16 * 4096;
    CU_ASSERT_EQUAL(f.layers[0].weight_bytes,
                    attention + 4 * qkv_and_out + 8 * (expert + 4 * rows) + norms + router);
    CU_ASSERT_EQUAL(f.embed_bytes, 2 * 32000 * 4096);
    CU_ASSERT_EQUAL(f.head_bytes, 2 * 32000 * 4096 + 4096 * 4);
    CU_ASSERT_EQUAL(f.embed_read_bytes, 2 * 4096);
    sw_footprint_free(&f);
    const struct sw_footprint_params int8 = {.weights = SW_FORMAT_INT8,
                                             .unquantized = SW_FORMAT_F16},
                                     f32 = {.weights = SW_FORMAT_F32, .unquantized = SW_FORMAT_F16};
    for (int layer = SW_GLOBAL; layer < 1; layer++) {
        const struct sw_weight_spec *specs;
        const size_t n = sw_model_weights(model, layer, &specs);
        for (size_t i = 0; i < n; i++) {
            const enum sw_weight id = specs[i].id;
            const bool linear =
                id == SW_W_QKV || id == SW_W_OUT || id == SW_W_UP || id == SW_W_DOWN;
            CU_ASSERT_EQUAL(specs[i].is_linear, linear);
            CU_ASSERT_EQUAL(sw_weight_format(&specs[i], 0, &int8),
                            linear ? SW_FORMAT_INT8 : SW_FORMAT_F16);
            CU_ASSERT_EQUAL(sw_weight_format(&specs[i], 0, &f32), SW_FORMAT_F32);
        }
    }
    sw_model_close(model);
}

/* The list says what a weight is: its part, its layer, whether it is a norm, where its bias is. */
static void the_list_says_what_weights_are(void)
{
    static const char *const names[] = {"opt-30b", "mixtral-8x7b"};
    for (size_t m = 0; m < sizeof names / sizeof names[0]; m++) {
        struct sw_model *model = open_config(names[m]);
        uint64_t parameters = 0;
        for (int layer = SW_GLOBAL; layer < model->dims.n_layers; layer++) {
            const struct sw_weight_spec *specs;
            const size_t n = sw_model_weights(model, layer, &specs);
            CU_ASSERT(n > 0);
            for (size_t i = 0; i < n; i++) {
                const char *title = sw_weight_name(specs[i].id);
                const bool is_bias = strstr(title, "bias") != NULL;
                char name[SW_TENSOR_NAME_MAX], number[16];
                sw_weight_tensor_name(model, &specs[i], 0, name);
                snprintf(number, sizeof number, ".%d.", layer);
                CU_ASSERT_EQUAL(specs[i].layer, layer);
                CU_ASSERT_EQUAL(specs[i].part == SW_PART_LAYER, layer != SW_GLOBAL);
                CU_ASSERT_EQUAL(layer != SW_GLOBAL, strstr(name, number) != NULL);
                CU_ASSERT_EQUAL(specs[i].is_norm, strstr(title, "norm") && !is_bias);
                CU_ASSERT_EQUAL(is_bias, strstr(name, ".bias") != NULL);
                CU_ASSERT(!specs[i].is_linear || (specs[i].is_matrix && layer != SW_GLOBAL));
                size_t owners = 0;
                for (size_t j = 0; j < i; j++)
                    owners += sw_weight_bias(specs[j].id) == specs[i].id;
                CU_ASSERT_EQUAL(owners, is_bias);
                if (!(specs[i].id == SW_W_HEAD && model->dims.tied))
                    parameters += (uint64_t)specs[i].rows * (uint64_t)specs[i].cols;
            }
        }
        CU_ASSERT_EQUAL(parameters, sw_model_parameters(model));
        sw_model_close(model);
    }
}

/* Encoder and decoder are one list of layers; each layer has what it reads, the buckets too. */
static void stacks_are_one_list(void)
{
    static const struct {
        int layer;
        enum sw_weight id;
        const char *name; /* NULL: the layer has no such weight */
        int64_t rows;
    } expected[] = {
        {0, SW_W_QKV, "encoder.block.0.layer.0.SelfAttention.q.weight", 3 * 4096},
        {23, SW_W_UP, "encoder.block.23.layer.1.DenseReluDense.wi.weight", 16384},
        {23, SW_W_BUCKETS, "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
         32 * 32},
        {22, SW_W_MEMORY_NORM, NULL, 0},
        {23, SW_W_MEMORY_NORM, "encoder.final_layer_norm.weight", 1024},
        {23, SW_W_CROSS_Q, NULL, 0},
        {24, SW_W_MLP_NORM, "decoder.block.0.layer.2.layer_norm.weight", 1024},
        {47, SW_W_CROSS_KV, "decoder.block.23.layer.1.EncDecAttention.k.weight", 2 * 4096},
        {47, SW_W_BUCKETS, "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
         32 * 32},
    };
    struct sw_model *model = open_config("t5-3b");
    CU_ASSERT_EQUAL(model->dims.n_layers, 48);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        const struct sw_weight_spec *specs;
        const size_t n = sw_model_weights(model, expected[i].layer, &specs);
        char name[SW_TENSOR_NAME_MAX];
        size_t at = 0;
        while (at < n && specs[at].id != expected[i].id)
            at++;
        CU_ASSERT_EQUAL(at < n, expected[i].name != NULL);
        if (at == n || !expected[i].name)
            continue;
        sw_weight_tensor_name(model, &specs[at], 0, name);
        CU_ASSERT_STRING_EQUAL(name, expected[i].name);
        CU_ASSERT_EQUAL(specs[at].rows, expected[i].rows);
    }
    sw_model_close(model);
}

/* 10.6 GiB in f32, the size that the model is known for; what its layers keep of a sequence. */
static void an_encoder_keeps_no_kv(void)
{
    struct sw_model *model = open_config("t5-3b");
    const struct sw_footprint_params params = {.weights = SW_FORMAT_F32,
                                               .unquantized = SW_FORMAT_F32,
                                               .kv = SW_F32,
                                               .context = 512,
                                               .slots = 2,
                                               .max_batch_tokens = 512};
    struct sw_footprint f;
    CU_ASSERT_EQUAL_FATAL(sw_footprint_of(model, &params, &f), SW_OK);
    uint64_t bytes = f.embed_bytes + f.head_bytes - f.tied_bytes;
    for (int i = 0; i < f.n_layers; i++)
        bytes += f.layers[i].weight_bytes;
    CU_ASSERT_DOUBLE_EQUAL((double)bytes / (1u << 30), 10.62, 0.01);
    CU_ASSERT_EQUAL(f.layers[23].kv_bytes, 0);
    CU_ASSERT_EQUAL(f.layers[24].kv_bytes, 2 * 2 * 2ull * 32 * 128 * 512 * 4);
    sw_footprint_free(&f);
    sw_model_close(model);
}

/* T5's own: "gated-gelu" is gelu_new with a gate, an absent feed_forward_proj relu without. */
static void gates_are_in_the_activation(void)
{
    static const char config[] = "{\"model_type\": \"t5\", \"num_layers\": 1, \"d_model\": 8, "
                                 "\"num_heads\": 2, \"d_ff\": 16, \"vocab_size\": 9, %s}";
    static const struct {
        const char *said;
        enum sw_activation activation;
        bool gated;
        const char *up;
    } cases[] = {
        {"\"d_kv\": 4", SW_ACT_RELU, false, "wi.weight"},
        {"\"feed_forward_proj\": \"gated-gelu\"", SW_ACT_GELU_TANH, true, "wi_0.weight"},
        {"\"feed_forward_proj\": \"gated-silu\"", SW_ACT_SILU, true, "wi_0.weight"},
        {"\"feed_forward_proj\": \"gelu\"", SW_ACT_GELU, false, "wi.weight"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512], name[SW_TENSOR_NAME_MAX];
        struct sw_model *model;
        const struct sw_weight_spec *specs;
        snprintf(text, sizeof text, config, cases[i].said);
        CU_ASSERT_EQUAL_FATAL(sw_model_parse(text, strlen(text), "test", &model), SW_OK);
        CU_ASSERT_EQUAL(model->dims.activation, cases[i].activation);
        CU_ASSERT_EQUAL(model->arch->gated, cases[i].gated);
        const size_t n = sw_model_weights(model, 1, &specs);
        for (size_t k = 0; k < n; k++) {
            sw_weight_tensor_name(model, &specs[k], 0, name);
            CU_ASSERT(specs[k].id != SW_W_UP || strstr(name, cases[i].up));
        }
        sw_model_close(model);
    }
}

/* A tied head has the embedding's tensor, an embedding that the file has as its head the head's. */
static void ties_are_in_the_names(void)
{
    struct sw_model *model = open_config("opt-30b");
    const struct sw_weight_spec *specs;
    const size_t n = sw_model_weights(model, SW_GLOBAL, &specs);
    for (int tied = 0; tied < 2; tied++)
        for (int in_head = 0; in_head <= tied; in_head++) {
            char embed[SW_TENSOR_NAME_MAX] = "", head[SW_TENSOR_NAME_MAX] = "";
            model->dims.tied = tied;
            model->dims.tied_head = in_head;
            for (size_t i = 0; i < n; i++)
                if (specs[i].id == SW_W_EMBED || specs[i].id == SW_W_HEAD)
                    sw_weight_tensor_name(model, &specs[i], 0,
                                          specs[i].id == SW_W_HEAD ? head : embed);
            CU_ASSERT_STRING_EQUAL(embed, in_head ? "lm_head.weight"
                                                  : "model.decoder.embed_tokens.weight");
            CU_ASSERT_STRING_EQUAL(head, tied && !in_head ? "model.decoder.embed_tokens.weight"
                                                          : "lm_head.weight");
        }
    sw_model_close(model);
}

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

static void experts_are_read_in_part(void)
{
    struct sw_model *model = open_config("mixtral-8x7b");
    const struct sw_footprint_params params = {
        .weights = SW_FORMAT_BF16, .kv = SW_BF16, .context = 64, .slots = 1, .max_batch_tokens = 1};
    struct sw_footprint f;
    CU_ASSERT_EQUAL_FATAL(sw_footprint_of(model, &params, &f), SW_OK);
    /* 2 of 8 experts; experts are 1.409 of 1.451 billion parameters of a layer. */
    const double share = (double)f.layers[0].read_bytes / (double)f.layers[0].weight_bytes;
    CU_ASSERT_DOUBLE_EQUAL(share, 0.272, 0.002);
    sw_footprint_free(&f);
    sw_model_close(model);
}

static void bad_configs_are_refused_by_name(void)
{
#define GOOD                                                                                       \
    "\"model_type\": \"llama\", \"hidden_size\": 32, \"num_hidden_layers\": 2, "                   \
    "\"num_attention_heads\": 4, \"vocab_size\": 96, \"intermediate_size\": 64"
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

SW_UNIT_TESTS({"parameter counts are the published ones", parameter_counts_are_the_published_ones},
              {"footprint adds up", footprint_adds_up}, {"footprint of kinds", footprint_of_kinds},
              {"heads are those of the kind", heads_are_those_of_the_kind},
              {"layers see their windows", layers_see_their_windows},
              {"int8 is for layers", int8_is_for_layers},
              {"the list says what weights are", the_list_says_what_weights_are},
              {"ties are in the names", ties_are_in_the_names},
              {"stacks are one list", stacks_are_one_list},
              {"an encoder keeps no KV", an_encoder_keeps_no_kv},
              {"gates are in the activation", gates_are_in_the_activation},
              {"too many weights are refused", too_many_weights_are_refused},
              {"gpu workspace is that of layers", gpu_workspace_is_that_of_layers},
              {"experts are read in part", experts_are_read_in_part},
              {"bad configs are refused by name", bad_configs_are_refused_by_name},
              {"odd values of other keys are passed over",
               odd_values_of_other_keys_are_passed_over},
              {"keys of other families are warned of", keys_of_other_families_are_warned_of},
              {"wrong checkpoints are refused by name", wrong_checkpoints_are_refused_by_name})
