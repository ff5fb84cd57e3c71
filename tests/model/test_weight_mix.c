/* Mixes of formats: the rules of llama.cpp's quantizer, written down as the layers they choose. */
#include "model/model.h"
#include "model/weight_choice.h"
#include "model/weight_format.h"
#include "unit.h"

static char text[64];

/* "q6_k", or "-" for what the mix leaves alone. */
static const char *named(const struct sw_format *format)
{
    return format ? format->name : "-";
}

/* The first letters of each layer's format: "6" for q6_k. */
static const char *digits(const char *mix, const struct sw_mix_shape *shape,
                          enum sw_weight_role role)
{
    const int m = sw_mix_by_name(mix);
    CU_ASSERT_FATAL(m > 0 && shape->n_layers < (int)sizeof text);
    for (int i = 0; i < shape->n_layers; i++)
        text[i] = named(sw_mix_format(m, shape, role, i, 4096))[1];
    text[shape->n_layers] = '\0';
    return text;
}

static void layers_with_more_bits(void)
{
    const struct sw_mix_shape dense = {.n_layers = 32, .queries = 1},
                              grouped = {.n_layers = 32, .queries = 4},
                              small = {.n_layers = 6, .queries = 1};
    static const struct {
        const char *mix, *values, *downs, *outs;
    } rows[] = {
        {"q2_k", "33333333333333333333333333333333", "33333333333333333333333333333333",
         "33333333333333333333333333333333"},
        {"q3_k_s", "33333333333333333333333333333333", "33333333333333333333333333333333",
         "33333333333333333333333333333333"},
        {"q3_k_m", "55444444444444444444444444444444", "55444444444444444444444444444444",
         "44444444444444444444444444444444"},
        {"q3_k_l", "55555555555555555555555555555555", "55555555555555555555555555555555",
         "55555555555555555555555555555555"},
        {"q4_k_s", "55554444444444444444444444444444", "55554444444444444444444444444444",
         "44444444444444444444444444444444"},
        {"q4_k_m", "66664464464464464464464464466666", "66664464464464464464464464466666",
         "44444444444444444444444444444444"},
        {"q5_k_s", "55555555555555555555555555555555", "55555555555555555555555555555555",
         "55555555555555555555555555555555"},
        {"q5_k_m", "66665565565565565565565565566666", "66665565565565565565565565566666",
         "55555555555555555555555555555555"},
        {"q6_k", "66666666666666666666666666666666", "66666666666666666666666666666666",
         "66666666666666666666666666666666"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CU_ASSERT_STRING_EQUAL(digits(rows[i].mix, &dense, SW_ROLE_V), rows[i].values);
        CU_ASSERT_STRING_EQUAL(digits(rows[i].mix, &dense, SW_ROLE_QKV), rows[i].values);
        CU_ASSERT_STRING_EQUAL(digits(rows[i].mix, &dense, SW_ROLE_DOWN), rows[i].downs);
        CU_ASSERT_STRING_EQUAL(digits(rows[i].mix, &dense, SW_ROLE_EXPERT_DOWN), rows[i].downs);
        CU_ASSERT_STRING_EQUAL(digits(rows[i].mix, &dense, SW_ROLE_OUT), rows[i].outs);
        const enum sw_weight_role base[] = {SW_ROLE_Q, SW_ROLE_K, SW_ROLE_UP, SW_ROLE_EXPERT_UP};
        for (size_t k = 0; k < sizeof base / sizeof base[0]; k++)
            for (int layer = 0; layer < dense.n_layers; layer++)
                CU_ASSERT_EQUAL(digits(rows[i].mix, &dense, base[k])[layer], rows[i].mix[1]);
    }
    CU_ASSERT_STRING_EQUAL(digits("q2_k", &grouped, SW_ROLE_V), "44444444444444444444444444444444");
    CU_ASSERT_STRING_EQUAL(digits("q4_k_m", &small, SW_ROLE_V), "446446"); /* 6 / 8 is 0 */
}

/* Eight experts and 70B have shared keys and values in more bits. */
static void large_models(void)
{
    const struct sw_mix_shape mixtral = {.n_layers = 32, .n_experts = 8, .queries = 4},
                              large = {.n_layers = 80, .queries = 8};
    const int m = sw_mix_by_name("Q4_K_M"), s = sw_mix_by_name("q3_k_l");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &mixtral, SW_ROLE_V, 5, 4096)), "q8_0");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &mixtral, SW_ROLE_K, 5, 4096)), "q8_0");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &mixtral, SW_ROLE_Q, 5, 4096)), "q4_k");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &mixtral, SW_ROLE_OUT, 5, 4096)), "q5_k");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(s, &mixtral, SW_ROLE_OUT, 5, 4096)), "q3_k");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &mixtral, SW_ROLE_ROUTER, 5, 4096)), "-");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &large, SW_ROLE_V, 11, 8192)), "q5_k");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &large, SW_ROLE_V, 12, 8192)), "q6_k");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &large, SW_ROLE_DOWN, 11, 8192)), "q4_k");
}

static void embedding_and_head(void)
{
    const struct sw_mix_shape apart = {.n_layers = 2, .queries = 1},
                              tied = {.n_layers = 2, .queries = 1, .tied = true};
    const int m = sw_mix_by_name("q4_k_m");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &apart, SW_ROLE_EMBED, -1, 4096)), "q4_k");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &apart, SW_ROLE_HEAD, -1, 4096)), "q6_k");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &tied, SW_ROLE_EMBED, -1, 4096)), "q6_k");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &tied, SW_ROLE_HEAD, -1, 4096)), "q6_k");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &tied, SW_ROLE_OTHER, -1, 4096)), "-");
}

/* SmolLM2-135M has 576 columns, which are no whole blocks of 256. */
static void rows_of_no_whole_blocks(void)
{
    const struct sw_mix_shape shape = {.n_layers = 30, .queries = 3, .tied = true};
    const int m = sw_mix_by_name("q4_k_m");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &shape, SW_ROLE_Q, 4, 576)), "q5_0");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &shape, SW_ROLE_V, 0, 576)), "q8_0");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &shape, SW_ROLE_DOWN, 4, 1536)), "q4_k");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &shape, SW_ROLE_EMBED, -1, 576)), "q8_0");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(m, &shape, SW_ROLE_Q, 4, 60)), "-");
    CU_ASSERT_STRING_EQUAL(named(sw_mix_format(sw_mix_by_name("q2_k"), &shape, SW_ROLE_Q, 4, 576)),
                           "q4_0");
    CU_ASSERT_STRING_EQUAL(
        named(sw_mix_format(sw_mix_by_name("q5_k_m"), &shape, SW_ROLE_Q, 4, 576)), "q5_1");
}

static void names(void)
{
    CU_ASSERT_EQUAL(sw_mix_by_name("q4_k_xl"), 0);
    CU_ASSERT_PTR_NULL(sw_mix_name(0));
    for (int mix = 1; sw_mix_name(mix); mix++)
        CU_ASSERT_EQUAL(sw_mix_by_name(sw_mix_name(mix)), mix);
    CU_ASSERT_EQUAL(sw_mix_file_type(sw_mix_by_name("q4_k_m")), 15);
    CU_ASSERT_STRING_EQUAL(sw_mix_base(sw_mix_by_name("q5_k_s"))->name, "q5_k");
}

SW_UNIT_TESTS({"layers with more bits", layers_with_more_bits}, {"large models", large_models},
              {"embedding and head", embedding_and_head},
              {"rows of no whole blocks", rows_of_no_whole_blocks}, {"names", names})
