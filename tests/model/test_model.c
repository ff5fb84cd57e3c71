/* What follows from config.json, of real models and made-up ones: sizes that are published, layers
 * and weights. */
#include "model/model.h"
#include "model/weight_format.h"
#include "small_configs.h"
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
              {"gpu workspace is that of layers", gpu_workspace_is_that_of_layers},
              {"experts are read in part", experts_are_read_in_part})
