/* The words of --weights: what they mean, what is refused and how. */
#include "model/model.h"
#include "model/weight_choice.h"
#include "model/weight_format.h"
#include "unit.h"

static struct sw_model *model_of(const char *path)
{
    char dir[4096];
    struct sw_model *model = NULL;
    snprintf(dir, sizeof dir, "%s/tests/%s", SW_SOURCE_DIR, path);
    CU_ASSERT_EQUAL_FATAL(sw_model_open(dir, &model), SW_OK);
    return model;
}

static struct sw_weight_choice parsed(const char *text)
{
    struct sw_weight_choice choice;
    CU_ASSERT_EQUAL(sw_weight_choice_parse(text, SW_CHOICE_KEPT, &choice), SW_OK);
    return choice;
}

/* What is said is what is meant, and can be said again. */
static void texts_come_back(void)
{
    static const char *const rows[][2] = {
        {"q8_0", "q8_0"},
        {"Q8_0,HEAD=F32", "q8_0,head=f32"},
        {"int8,attention=bf16", "int8,attention=bf16"},
        {"bfloat16", "bf16"},
        {"q8_0,v=bf16,attention=int8", "q8_0,attention=int8"}, /* the last one counts */
        {"q8_0,attention=int8,v=bf16", "q8_0,attention=int8,v=bf16"},
        {"head=f16,embedding=int8", "embedding=int8,head=f16"},
        {"f16,q=int8,k=int8,v=int8,qkv=int8", "f16,qkv=int8"},
        {"f16,q=int8,k=int8,v=int8", "f16,q=int8,k=int8,v=int8"},
        {"f16,experts=q8_0,router=f32,mlp=int8", "f16,mlp=int8,experts=q8_0,router=f32"},
        {"f16,experts-down=q8_0,up=f32,down=int8", "f16,mlp=f32,down=int8,experts-down=q8_0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[SW_CHOICE_TEXT];
        struct sw_weight_choice choice = parsed(rows[i][0]);
        const char *expected = rows[i][1];
        CU_ASSERT_STRING_EQUAL(sw_weight_choice_text(&choice, out), expected);
        choice = parsed(out);
        CU_ASSERT_STRING_EQUAL(sw_weight_choice_text(&choice, out), expected);
    }
    char out[SW_CHOICE_TEXT];
    CU_ASSERT_STRING_EQUAL(sw_weight_choice_text(&(struct sw_weight_choice){0}, out), "as stored");
}

static void wrong_texts_are_refused(void)
{
    static const struct {
        const char *text, *a, *b;
    } rows[] = {
        {"", "'' is not one of f32", NULL},
        {"q8_O", "'q8_O' is not one of f32, f16", "did you mean 'q8_0'?"},
        {"f16,haed=f32", "'haed=f32': 'haed' is not one of the roles attention, mlp, experts",
         "did you mean 'head'?"},
        {"f16,head=f33", "'head=f33': 'f33' is not one of f32", "did you mean 'f32'?"},
        {"f16,head=", "'head=': '' is not one of f32", NULL},
        {"f16,q8_0", "'q8_0': what follows the first item is ROLE=FORMAT", NULL},
        {"f16,", "'': what follows the first item is ROLE=FORMAT", NULL},
        {"f16,head=f16,head=f16", "'head=f16': head has a format already", NULL},
        {"f16,head=q4_k_m", "'head=q4_k_m': 'q4_k_m' is not one of", NULL},
        {"f16,something-that-is-longer-than-any-role-has-a-right-to-be=f16", "is no format", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sw_weight_choice choice;
        CU_ASSERT_EQUAL(sw_weight_choice_parse(rows[i].text, SW_CHOICE_KEPT, &choice), SW_EUSAGE);
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), rows[i].a));
        if (rows[i].b)
            CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), rows[i].b));
    }
}

/* Each matrix of a model in the format that its role asks for, the rest as before. */
static void roles_are_applied(void)
{
    struct sw_model *model = model_of("models/tiny/mixtral");
    const struct sw_weight_choice choice = parsed("q8_0,experts=int8,v=f32,head=f16,router=bf16");
    struct sw_footprint_params params = {.unquantized = SW_FORMAT_BF16};
    CU_ASSERT_EQUAL_FATAL(sw_weight_choice_apply(&choice, model, &params), SW_OK);
    for (int layer = SW_GLOBAL; layer < model->dims.n_layers; layer++) {
        const struct sw_weight_spec *specs;
        const size_t n = sw_model_weights(model, layer, &specs);
        for (size_t i = 0; i < n; i++)
            for (int s = 0; s < specs[i].n_sources && specs[i].is_matrix; s++) {
                const enum sw_format_id expected = specs[i].id == SW_W_QKV
                                                       ? (s == 2 ? SW_FORMAT_F32 : SW_FORMAT_Q8_0)
                                                   : specs[i].id == SW_W_HEAD ? SW_FORMAT_F16
                                                   : specs[i].expert >= 0     ? SW_FORMAT_INT8
                                                   : specs[i].id == SW_W_OUT  ? SW_FORMAT_Q8_0
                                                                              : SW_FORMAT_BF16;
                CU_ASSERT_EQUAL(sw_weight_format(&specs[i], s, &params), expected);
            }
    }
    char out[SW_CHOICE_TEXT];
    CU_ASSERT_STRING_EQUAL(sw_weights_text(&params, out),
                           "q8_0,experts=int8,router=bf16,head=f16,v=f32");
    sw_model_close(model);
}

static void models_without_a_role(void)
{
    struct sw_model *model = model_of("models/tiny/bloom");
    struct sw_footprint_params params = {.unquantized = SW_FORMAT_BF16};
    struct sw_weight_choice choice = parsed("q8_0,experts=int8");
    CU_ASSERT_EQUAL(sw_weight_choice_apply(&choice, model, &params), SW_EUSAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "--weights experts=int8: BLOOM has no such"));
    choice = parsed("q8_0,v=int8"); /* BLOOM's Q, K and V are one tensor */
    CU_ASSERT_EQUAL(sw_weight_choice_apply(&choice, model, &params), SW_EUSAGE);
    choice = parsed("q8_0,qkv=int8");
    CU_ASSERT_EQUAL(sw_weight_choice_apply(&choice, model, &params), SW_OK);
    sw_model_close(model);
}

/* A tied head is the embedding: one matrix, one format. */
static void tied_heads(void)
{
    struct sw_model *model = model_of("models/tiny/bloom");
    struct sw_footprint_params params = {.unquantized = SW_FORMAT_BF16};
    CU_ASSERT_FATAL(model->dims.tied);
    struct sw_weight_choice choice = parsed("f16,head=q8_0");
    CU_ASSERT_EQUAL(sw_weight_choice_apply(&choice, model, &params), SW_OK);
    CU_ASSERT_EQUAL(params.by_role[SW_ROLE_EMBED], 1 + SW_FORMAT_Q8_0);
    CU_ASSERT_EQUAL(params.by_role[SW_ROLE_HEAD], 1 + SW_FORMAT_Q8_0);
    choice = parsed("f16,embedding=q8_0");
    CU_ASSERT_EQUAL(sw_weight_choice_apply(&choice, model, &params), SW_OK);
    CU_ASSERT_EQUAL(params.by_role[SW_ROLE_HEAD], 1 + SW_FORMAT_Q8_0);
    choice = parsed("f16,embedding=q8_0,head=f32");
    CU_ASSERT_EQUAL(sw_weight_choice_apply(&choice, model, &params), SW_EUSAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "the model's head is its embedding"));
    sw_model_close(model);
}

/* A role takes each format, also one whose name is a mix's, too, and no mix. */
static void roles_take_formats(void)
{
    struct sw_weight_choice choice;
    const char *name;
    CU_ASSERT_EQUAL(sw_weight_choice_parse("f16,head=q7", SW_CHOICE_FILE, &choice), SW_EUSAGE);
    char message[SW_ERROR_MAX];
    snprintf(message, sizeof message, "%s", sw_error_message());
    for (int i = 1; (name = sw_weight_choice_name(SW_CHOICE_FILE, i)); i++) {
        char item[64], listed[64];
        snprintf(item, sizeof item, "f16,head=%s", name);
        snprintf(listed, sizeof listed, " %s", name);
        const char *at = strstr(message, listed);
        while (at && !strchr(",;", at[strlen(listed)]) && at[strlen(listed)])
            at = strstr(at + 1, listed);
        CU_ASSERT_EQUAL(sw_weight_choice_parse(item, SW_CHOICE_FILE, &choice) == SW_OK, at != NULL);
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(message, " q6_k,"));
    CU_ASSERT_PTR_NULL(strstr(message, "q4_k_m"));
}

/* Names that help lists are accepted, and each once. */
static void listed_names_are_known(void)
{
    const char *name;
    int n = 0;
    for (; (name = sw_weight_choice_name(SW_CHOICE_KEPT, n)); n++) {
        const struct sw_weight_choice choice = parsed(name);
        CU_ASSERT_PTR_NOT_NULL(choice.all);
        for (int i = 0; i < n; i++)
            CU_ASSERT_STRING_NOT_EQUAL(sw_weight_choice_name(SW_CHOICE_KEPT, i), name);
    }
    CU_ASSERT(n >= SW_FORMAT_COUNT);
}

SW_UNIT_TESTS({"texts come back", texts_come_back},
              {"wrong texts are refused", wrong_texts_are_refused},
              {"roles are applied", roles_are_applied},
              {"models without a role", models_without_a_role}, {"tied heads", tied_heads},
              {"roles take formats", roles_take_formats},
              {"listed names are known", listed_names_are_known})
