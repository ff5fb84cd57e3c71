/* What only a model's folder and weight files tell: other names, layouts, ties, stored types. */
#include "checkpoint/fit.h"
#include "helpers.h"

#define TINY SW_SOURCE_DIR "/tests/models/tiny/"

static struct sw_model *open_tiny(const char *name, struct sw_tensors *tensors)
{
    char dir[4096];
    struct sw_model *model = NULL;
    snprintf(dir, sizeof dir, TINY "%s", name);
    CU_ASSERT_EQUAL_FATAL(sw_model_open(dir, &model), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_checkpoint_open(dir, tensors), SW_OK);
    return model;
}

/* The directory again, with `before` put before each name, and without names that have `without`
 * in them; where `instead` is there, one tensor of that name takes the place of these. */
static struct sw_tensors renamed(const struct sw_tensors *from, const char *before,
                                 const char *without, const char *instead)
{
    struct sw_tensors to = {0};
    for (int i = 0; i < from->n_files; i++) {
        int file;
        CU_ASSERT_EQUAL(sw_tensors_add_file(&to, from->files[i].path, from->files[i].size, &file),
                        SW_OK);
    }
    for (size_t i = 0; i < from->count; i++) {
        char name[512];
        struct sw_tensor tensor = from->items[i];
        const bool out = without && strstr(tensor.name, without);
        if (out && (!instead || sw_tensors_find(&to, instead)))
            continue;
        snprintf(name, sizeof name, "%s%s", before, out ? instead : tensor.name);
        tensor.name = name;
        CU_ASSERT_EQUAL(sw_tensors_add(&to, &tensor), SW_OK);
    }
    return to;
}

static void wrapped_names_are_found(void)
{
    static const char *const before[] = {"_orig_mod.", "module.", "module._orig_mod.",
                                         "_orig_mod.module.", "language_model."};
    static const char *const models[] = {"llama", "gpt_neox", "bloom", "opt", "qwen3_head_only"};
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++)
        for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
            struct sw_tensors tensors;
            struct sw_model *model = open_tiny(models[m], &tensors);
            struct sw_tensors other = renamed(&tensors, before[i], NULL, NULL);
            const enum sw_status status = sw_checkpoint_fit(model, &other);
            if (status != SW_OK)
                printf("    %s: %s\n", models[m], sw_error_message());
            CU_ASSERT_EQUAL(status, SW_OK);
            sw_tensors_free(&other);
            sw_tensors_free(&tensors);
            sw_model_close(model);
        }
}

static void layouts_are_told(void)
{
    static const struct {
        const char *model, *before, *without, *instead, *said;
    } rows[] = {
        {"qwen3_moe", "", ".mlp.experts.", "model.layers.0.mlp.experts.gate_up_proj",
         "the experts of a layer are fused into one tensor"},
        {"llama", "base_model.model.", NULL, NULL, "it is a model inside peft's wrapper"},
        {"llama", "", "q_proj", "model.layers.0.self_attn.q_proj.lora_A.weight",
         "it is a LoRA adapter"},
        {"llama", "", "q_proj.weight", "model.layers.0.self_attn.q_proj.qweight", "GPTQ or AWQ"},
        {"llama", "", "embed_tokens", "tok_embeddings.weight", "the layout of the model's makers"},
        {"llama", "thinker.language_model.", NULL, NULL, "of text and of something else"},
        {"llama", "", "model.layers.2.mlp.up_proj", NULL,
         "'model.layers.2.mlp.up_proj.weight' [101, 48] (mlp up) is missing from the checkpoint's "
         "29 tensors; the nearest name is 'model.layers."},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sw_tensors tensors;
        struct sw_model *model = open_tiny(rows[i].model, &tensors);
        struct sw_tensors other =
            renamed(&tensors, rows[i].before, rows[i].without, rows[i].instead);
        expect_failure(sw_checkpoint_fit(model, &other), SW_EMODEL, rows[i].said);
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), ".safetensors: tensor '"));
        sw_tensors_free(&other);
        sw_tensors_free(&tensors);
        sw_model_close(model);
    }
}

static void ties_are_what_the_file_holds(void)
{
    static const struct {
        const char *model;
        bool tied, tied_head, warned;
    } rows[] = {{"llama_own_head", false, false, true},
                {"qwen3_head_only", true, true, false},
                {"qwen2", true, false, false},
                {"llama", false, false, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sw_tensors tensors;
        struct sw_model *model = open_tiny(rows[i].model, &tensors);
        CU_ASSERT_EQUAL(sw_checkpoint_fit(model, &tensors), SW_OK);
        /* Who does not read the values takes config.json's word. */
        CU_ASSERT_EQUAL(model->dims.tied, rows[i].tied || rows[i].warned);
        CU_ASSERT_PTR_NULL(model->warnings);
        CU_ASSERT_EQUAL(sw_checkpoint_fit_values(model, &tensors), SW_OK);
        CU_ASSERT_EQUAL(model->dims.tied, rows[i].tied);
        CU_ASSERT_EQUAL(model->dims.tied_head, rows[i].tied_head);
        CU_ASSERT_EQUAL(model->warnings && strstr(model->warnings, "the file's head is used"),
                        rows[i].warned);
        sw_tensors_free(&tensors);
        sw_model_close(model);
    }
}

/* How a head beside the embedding of qwen2, which config.json ties, differs from it. */
enum twin { ALIKE, COPIED, CHANGED_COPY, TRANSPOSED, OTHER_TYPE };

/* Both are there: as one when they are alike, wherever they lie. */
static void twins_are_compared(enum twin twin, bool tied)
{
    char dir[64], path[128];
    size_t n;
    struct sw_tensors tensors;
    struct sw_model *model = open_tiny("qwen2", &tensors);
    struct sw_tensor head = *sw_tensors_find(&tensors, "model.embed_tokens.weight");
    char *bytes = get_file(TINY "qwen2/model.safetensors", &n);
    snprintf(path, sizeof path, "%s/copy", new_folder(dir));
    bytes[head.offset + head.bytes - 1] ^= twin == CHANGED_COPY;
    put_file(dir, "copy", bytes, n);
    free(bytes);
    head.name = "lm_head.weight";
    if (twin == COPIED || twin == CHANGED_COPY)
        CU_ASSERT_EQUAL(sw_tensors_add_file(&tensors, path, n, &head.file), SW_OK);
    if (twin == TRANSPOSED) {
        head.stride[0] = 1;
        head.stride[1] = head.shape[0];
    }
    if (twin == OTHER_TYPE)
        head.dtype = head.dtype == SW_F16 ? SW_BF16 : SW_F16;
    CU_ASSERT_EQUAL(sw_tensors_add(&tensors, &head), SW_OK);
    CU_ASSERT_EQUAL(sw_checkpoint_fit(model, &tensors), SW_OK);
    CU_ASSERT_EQUAL(model->dims.tied, twin != OTHER_TYPE);
    CU_ASSERT_EQUAL(sw_checkpoint_fit_values(model, &tensors), SW_OK);
    CU_ASSERT_EQUAL(model->dims.tied, tied);
    CU_ASSERT_EQUAL(!model->warnings, tied);
    CU_ASSERT_FALSE(model->dims.tied_head);
    sw_tensors_free(&tensors);
    sw_model_close(model);
    remove_folder(dir);
}

static void heads_beside_the_embedding(void)
{
    twins_are_compared(ALIKE, true);
    twins_are_compared(COPIED, true);
    twins_are_compared(CHANGED_COPY, false);
    twins_are_compared(TRANSPOSED, false);
    twins_are_compared(OTHER_TYPE, false);
}

static void link_into(const char *folder, const char *model, const char *name)
{
    char from[4096], to[512];
    snprintf(from, sizeof from, TINY "%s/%s", model, name);
    snprintf(to, sizeof to, "%s/%s", folder, name);
    CU_ASSERT_EQUAL(symlink(from, to), 0);
}

#define LLAMA                                                                                      \
    "{\"model_type\": \"llama\", \"hidden_size\": 24, \"num_hidden_layers\": 2, "                  \
    "\"num_attention_heads\": 3, \"vocab_size\": 131, \"intermediate_size\": 43"

static void unstated_types_are_the_file_s(void)
{
    static const struct {
        const char *config;
        bool weights, warned;
        enum sw_dtype dtype;
        const char *model; /* NULL: llama_own_head */
    } rows[] = {
        {LLAMA ", \"torch_dtype\": \"auto\"}", true, false, SW_BF16, NULL},
        {LLAMA ", \"dtype\": null}", true, false, SW_BF16, NULL},
        {LLAMA "}", true, false, SW_BF16, NULL},
        {LLAMA ", \"torch_dtype\": \"float16\"}", true, false, SW_F16, NULL},
        {LLAMA ", \"dtype\": \"torch.bfloat16\"}", false, false, SW_BF16, NULL},
        {LLAMA ", \"torch_dtype\": \"auto\"}", false, true, SW_F32, NULL},
        /* which has the embedding under the head's name alone */
        {LLAMA ", \"tie_word_embeddings\": true}", true, false, SW_BF16, "qwen3_head_only"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char dir[64];
        struct sw_model *model = NULL;
        put_text(new_folder(dir), "config.json", rows[i].config);
        if (rows[i].weights)
            link_into(dir, rows[i].model ? rows[i].model : "llama_own_head", "model.safetensors");
        CU_ASSERT_EQUAL_FATAL(sw_model_open(dir, &model), SW_OK);
        CU_ASSERT_EQUAL(sw_checkpoint_stored(dir, model), SW_OK);
        CU_ASSERT_EQUAL(model->dtype, rows[i].dtype);
        CU_ASSERT_EQUAL(model->warnings && strstr(model->warnings, "counted as f32"),
                        rows[i].warned);
        sw_model_close(model);
        remove_folder(dir);
    }
}

static void check_folder(const char *dir, enum sw_status status, const char *said)
{
    struct sw_model *model = NULL;
    expect_failure(sw_model_open(dir, &model), status, said);
    CU_ASSERT_PTR_NULL(model);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), dir));
}

static void other_folders_are_told(void)
{
    char dir[64], path[128];
    check_folder(new_folder(dir), SW_EINPUT, "there is no config.json");
    put_text(dir, "adapter_config.json",
             "{\"peft_type\": \"LORA\", \"base_model_name_or_path\": \"org/base\"}");
    check_folder(dir, SW_EINPUT,
                 "is an adapter (LoRA, adapter_config.json), not a model; merge it "
                 "into its base, org/base");
    remove_folder(dir);

    new_folder(dir);
    snprintf(path, sizeof path, "%s/snapshots", dir);
    CU_ASSERT_EQUAL(mkdir(path, 0755), 0);
    check_folder(dir, SW_EINPUT, "there is no config.json");
    snprintf(path, sizeof path, "%s/snapshots/0123abcd", dir);
    CU_ASSERT_EQUAL(mkdir(path, 0755), 0);
    check_folder(dir, SW_EINPUT, "there is no config.json"); /* in the snapshot neither */
    put_text(path, "config.json", LLAMA "}");
    check_folder(dir, SW_EINPUT, "snapshots: give ");
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), path));
    /* A link to a blob that is gone. */
    snprintf(path, sizeof path, "%s/snapshots/0123abcd/config.json", dir);
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_EQUAL(symlink("../../blobs/gone", path), 0);
    snprintf(path, sizeof path, "%s/snapshots/0123abcd", dir);
    check_folder(path, SW_EINPUT, "link");
    remove_folder(dir);

    put_text(new_folder(dir), "config.json", LLAMA ", \"torch_dtype\": \"bfloat16\"}");
    put_text(
        dir, "hf_quant_config.json",
        "{\"producer\": {\"name\": \"modelopt\"}, \"quantization\": {\"quant_algo\": \"FP8\"}}");
    check_folder(dir, SW_EMODEL,
                 "hf_quant_config.json: quantized checkpoints (FP8) are not "
                 "supported yet");
    remove_folder(dir);
}

SW_UNIT_TESTS({"wrapped names are found", wrapped_names_are_found},
              {"layouts are told", layouts_are_told},
              {"ties are what the file holds", ties_are_what_the_file_holds},
              {"heads beside the embedding", heads_beside_the_embedding},
              {"unstated types are the file's", unstated_types_are_the_file_s},
              {"other folders are told", other_folders_are_told})
