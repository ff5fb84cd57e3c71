/*
 * Whole models whose absmax are nested by maps of their own, as bitsandbytes saves them: they stay
 * nested, the plan counts the maps, and every tier, rank and chunk multiplies by them.
 */
#include "checkpoint/safetensors.h"
#include "model/weight_format.h"
#include "tensor/format_nf4.h"
#include "tensor/layout.h"
#include "tiers.h"

#include <math.h>
#include <unistd.h>

enum { HIDDEN = 256, INNER = 512, KV = 128, VOCAB = 61, LAYERS = 3 };
#define STEM_MAX 80
#define CONFIG                                                                                     \
    "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 61, "  \
    "\"hidden_size\": 256, \"intermediate_size\": 512, \"num_hidden_layers\": 3, "                 \
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"max_position_embeddings\": 128, "   \
    "\"rms_norm_eps\": 1e-06, \"hidden_act\": \"silu\", \"tie_word_embeddings\": false, "          \
    "\"quantization_config\": {\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": true}}"

/* The linear matrices of a layer. `other`: it has another map in the model with different ones. */
static const struct {
    const char *name;
    int rows, cols;
    bool other;
} linears[] = {
    {"self_attn.q_proj", HIDDEN, HIDDEN, false}, {"self_attn.k_proj", KV, HIDDEN, true},
    {"self_attn.v_proj", KV, HIDDEN, false},     {"self_attn.o_proj", HIDDEN, HIDDEN, true},
    {"mlp.gate_proj", INNER, HIDDEN, false},     {"mlp.up_proj", INNER, HIDDEN, true},
    {"mlp.down_proj", HIDDEN, INNER, false}};
#define N_LINEARS (sizeof linears / sizeof linears[0])

/* A file that is being described, then written. */
struct made_file {
    struct sw_safetensors_spec specs[256];
    void *bytes[256];
    char names[256][STEM_MAX + 48];
    size_t n;
    uint32_t state;
};

static uint32_t made_random(struct made_file *f)
{
    return (f->state = f->state * 1664525u + 1013904223u) >> 8;
}

/* Adds a tensor and returns its bytes, to be filled. */
static void *made_add(struct made_file *f, const char *stem, const char *suffix,
                      enum sw_dtype dtype, int64_t rows, int64_t cols)
{
    struct sw_safetensors_spec *spec = &f->specs[f->n];
    const int64_t n = cols ? rows * cols : rows;
    CU_ASSERT_FATAL(f->n < 256);
    snprintf(f->names[f->n], sizeof f->names[0], "%s%s", stem, suffix);
    *spec = (struct sw_safetensors_spec){
        .name = f->names[f->n], .dtype = dtype, .rank = cols ? 2 : 1, .shape = {rows, cols}};
    f->bytes[f->n] = calloc((size_t)n, sw_dtype_info(dtype)->bits / 8);
    return f->bytes[f->n++];
}

static void made_floats(struct made_file *f, const char *name, int64_t rows, int64_t cols,
                        float middle, float width)
{
    float *to = made_add(f, name, "", SW_F32, rows, cols);
    for (int64_t i = 0; i < (cols ? rows * cols : rows); i++)
        to[i] = middle + width * ((float)made_random(f) * 0x1p-23f - 1);
}

/* No dynamic map at all, so that one taken for another shows. */
static float made_map(int i, bool other)
{
    return (float)((i * (other ? 57 : 193) + 71) % 256 - 128) / 128;
}

static void made_linear(struct made_file *f, const char *stem, int rows, int cols, bool other)
{
    static const char text[] = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"shape\": [%d, %d], "
                               "\"nested_blocksize\": 256, \"nested_offset\": 0.08}";
    const int n = rows * cols, blocks = n / 64, groups = (blocks + 255) / 256;
    char state[200];
    uint8_t *nibbles = made_add(f, stem, "", SW_U8, n / 2, 1);
    for (int i = 0; i < n / 2; i++)
        nibbles[i] = (uint8_t)made_random(f);
    uint8_t *codes = made_add(f, stem, ".absmax", SW_U8, blocks, 0);
    for (int i = 0; i < blocks; i++)
        codes[i] = (uint8_t)made_random(f);
    memcpy(made_add(f, stem, ".quant_map", SW_F32, 16, 0), sw_nf4_values, sizeof(float[16]));
    float *scales = made_add(f, stem, ".nested_absmax", SW_F32, groups, 0);
    for (int i = 0; i < groups; i++)
        scales[i] = 0.05f + 0.001f * (float)i;
    float *map = made_add(f, stem, ".nested_quant_map", SW_F32, SW_TABLE_LEN, 0);
    for (int i = 0; i < SW_TABLE_LEN; i++)
        map[i] = made_map(i, other);
    const int length = snprintf(state, sizeof state, text, rows, cols);
    memcpy(made_add(f, stem, ".quant_state.bitsandbytes__nf4", SW_U8, length, 0), state,
           (size_t)length);
}

/* A folder with such a model. differ: some of its matrices have another map than the others. */
static void made_model(char dir[64], bool differ)
{
    static struct made_file f;
    char path[128], stem[STEM_MAX];
    struct sw_safetensors_writer *writer;
    f = (struct made_file){.state = 7};
    made_floats(&f, "model.embed_tokens.weight", VOCAB, HIDDEN, 0, 1);
    made_floats(&f, "model.norm.weight", HIDDEN, 0, 1, 0.1f);
    made_floats(&f, "lm_head.weight", VOCAB, HIDDEN, 0, 0.1f);
    for (int layer = 0; layer < LAYERS; layer++) {
        for (size_t i = 0; i < N_LINEARS; i++) {
            snprintf(stem, sizeof stem, "model.layers.%d.%s.weight", layer, linears[i].name);
            made_linear(&f, stem, linears[i].rows, linears[i].cols, differ && linears[i].other);
        }
        snprintf(stem, sizeof stem, "model.layers.%d.input_layernorm.weight", layer);
        made_floats(&f, stem, HIDDEN, 0, 1, 0.1f);
        snprintf(stem, sizeof stem, "model.layers.%d.post_attention_layernorm.weight", layer);
        made_floats(&f, stem, HIDDEN, 0, 1, 0.1f);
    }
    snprintf(dir, 64, "/tmp/spillway-maps-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/config.json", dir);
    FILE *config = fopen(path, "w");
    CU_ASSERT_FATAL(config && fputs(CONFIG, config) >= 0 && fclose(config) == 0);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    CU_ASSERT_EQUAL_FATAL(sw_safetensors_writer_open(path, f.specs, f.n, &writer), SW_OK);
    for (size_t i = 0; i < f.n; i++) {
        const struct sw_safetensors_spec *s = &f.specs[i];
        const int64_t n = s->rank == 2 ? s->shape[0] * s->shape[1] : s->shape[0];
        CU_ASSERT_EQUAL(sw_safetensors_writer_write(
                            writer, f.bytes[i], (uint64_t)n * sw_dtype_info(s->dtype)->bits / 8),
                        SW_OK);
        free(f.bytes[i]);
    }
    CU_ASSERT_EQUAL_FATAL(sw_safetensors_writer_close(writer), SW_OK);
}

static void remove_made(const char *dir)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    CU_ASSERT_EQUAL(system(command), 0);
}

/* ---- */

static const struct sw_footprint_params as_stored = {.weights = SW_FORMAT_F16,
                                                     .unquantized = SW_FORMAT_F16,
                                                     .as_stored = true,
                                                     .kv = SW_F16,
                                                     .context = CONTEXT,
                                                     .slots = 1,
                                                     .max_batch_tokens = 80};

/* Bytes of rows of four bits, nested or not, and one map where they are nested. */
static uint64_t four_bit_bytes(int rows, int cols, bool nested)
{
    return (uint64_t)(nested ? rows * (cols / 256 * 136 + 4) + 1024 : rows * (cols / 64) * 36);
}

/* The pieces of a weight of the first layer. */
static int pieces_of(const struct sw_model *model, enum sw_weight id,
                     struct sw_weight_piece pieces[SW_MAX_SOURCES], uint64_t *bytes)
{
    const struct sw_weight_spec *specs;
    for (size_t n = sw_model_weights(model, 0, &specs); n > 0; n--)
        if (specs[n - 1].id == id) {
            *bytes = sw_weight_bytes(&specs[n - 1], &as_stored);
            return sw_weight_pieces(&specs[n - 1], &as_stored, pieces);
        }
    CU_FAIL_FATAL("no such weight");
    return 0;
}

/* Matrices of one map are one; Q, K and V with different ones are products of their own; gate and
 * up, which are one in any case, keep their absmax in f32. */
static void maps_are_counted(void)
{
    for (int differ = 0; differ < 2; differ++) {
        struct sw_weight_piece pieces[SW_MAX_SOURCES];
        struct sw_model *model = NULL;
        uint64_t bytes;
        char dir[64];
        made_model(dir, differ);
        CU_ASSERT_EQUAL_FATAL(sw_open_model(dir, &model), SW_OK);
        CU_ASSERT_EQUAL(pieces_of(model, SW_W_QKV, pieces, &bytes), differ ? 3 : 1);
        for (int i = 0; i < (differ ? 3 : 1); i++)
            CU_ASSERT(pieces[i].format == SW_FORMAT_NF4_NESTED && pieces[i].behind != 0);
        CU_ASSERT_EQUAL(bytes, differ ? four_bit_bytes(HIDDEN, HIDDEN, true) +
                                            2 * four_bit_bytes(KV, HIDDEN, true)
                                      : four_bit_bytes(HIDDEN + 2 * KV, HIDDEN, true));
        CU_ASSERT_EQUAL(pieces_of(model, SW_W_UP, pieces, &bytes), 1);
        CU_ASSERT_EQUAL(pieces[0].format, differ ? SW_FORMAT_NF4 : SW_FORMAT_NF4_NESTED);
        CU_ASSERT_EQUAL(bytes, four_bit_bytes(2 * INNER, HIDDEN, !differ));
        CU_ASSERT_EQUAL(pieces_of(model, SW_W_DOWN, pieces, &bytes), 1);
        CU_ASSERT_EQUAL(bytes, four_bit_bytes(HIDDEN, INNER, true));
        CU_ASSERT((model->warnings != NULL) == differ);
        CU_ASSERT(!differ ||
                  strstr(model->warnings, "3 pairs of gate and up matrices have different "
                                          "nested_quant_maps: their absmax are kept in f32"));
        sw_model_close(model);
        remove_made(dir);
    }
}

static struct job nested_job(const char *dir)
{
    struct job job = job_of(dir, SW_FORMAT_F16);
    job.as_stored = true;
    return job;
}

static bool same_answers(const struct job *a, const struct job *b)
{
    return memcmp(a->logits, b->logits, (size_t)a->n_ids * (size_t)a->vocab * sizeof(float)) == 0 &&
           memcmp(a->new_ids, b->new_ids, (size_t)a->n_new * sizeof *a->new_ids) == 0;
}

/* Products by the maps are as near to the decoded weights' as those of other quantized models. */
static void products_are_by_the_maps(void)
{
    make_ids();
    for (int i = 0; i < N_IDS; i++)
        ids[i] %= VOCAB;
    for (int differ = 0; differ < 2; differ++) {
        char dir[64];
        made_model(dir, differ);
        struct job exact = job_of(dir, SW_FORMAT_F32), kept = nested_job(dir);
        CU_ASSERT_EQUAL_FATAL(job_run(&exact), SW_OK);
        CU_ASSERT_EQUAL_FATAL(job_run(&kept), SW_OK);
        double worst = 0, largest = 0;
        for (int i = 0; i < N_IDS * VOCAB; i++) {
            worst = fmax(worst, fabs((double)kept.logits[i] - (double)exact.logits[i]));
            largest = fmax(largest, fabs((double)exact.logits[i]));
        }
        printf("    %s maps: %.1e of the largest logit\n", differ ? "different" : "equal",
               worst / largest);
        CU_ASSERT(worst <= 2e-2 * largest);
        job_free(&exact);
        job_free(&kept);
        remove_made(dir);
    }
}

/* Ranks, threads, chunks and layers on disk. */
static void same_bits_on_cpus(const char *dir, const struct job *first)
{
    static const struct {
        int ranks, threads, chunk, disk;
    } cases[] = {{2, 1, 80, 0}, {3, 1, 7, 0}, {1, 2, 1, 0}, {1, 1, 80, 3}, {1, 2, 7, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct sw_engine_slice slice = {.count = LAYERS, .tiers = {.n_disk = cases[i].disk}};
        struct job job = nested_job(dir);
        job.ranks = cases[i].ranks;
        job.threads = cases[i].threads;
        job.chunk = cases[i].chunk;
        job.slices = cases[i].disk ? &slice : NULL;
        CU_ASSERT_EQUAL_FATAL(job_run(&job), SW_OK);
        CU_ASSERT(same_answers(&job, first));
        job_free(&job);
    }
}

/* A layer on the GPU, streamed ones, and host layers that are streamed for prompts; with the memory
 * that is planned. */
static void same_bits_beside_a_gpu(const char *dir, const struct job *first)
{
    static const struct sw_engine_slice cases[] = {{0, LAYERS, TIERS(3, 0, 0, true, true), 0},
                                                   {0, LAYERS, TIERS(1, 2, 0, false, true), 0},
                                                   {0, LAYERS, TIERS(1, 0, 2, false, false), 0},
                                                   {0, LAYERS, TIERS(0, 1, 6, false, false), 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sw_engine_slice slice = cases[i];
        struct job job = nested_job(dir);
        if (run(&job, &slice))
            CU_ASSERT(same_answers(&job, first));
        job_free(&job);
    }
}

static void same_bits_everywhere(void)
{
    make_ids();
    for (int i = 0; i < N_IDS; i++)
        ids[i] %= VOCAB;
    for (int differ = 0; differ < 2; differ++) {
        char dir[64];
        made_model(dir, differ);
        struct job first = nested_job(dir);
        CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
        same_bits_on_cpus(dir, &first);
        same_bits_beside_a_gpu(dir, &first);
        job_free(&first);
        remove_made(dir);
    }
}

SW_UNIT_TESTS({"maps are counted", maps_are_counted},
              {"products are by the maps", products_are_by_the_maps},
              {"same bits everywhere", same_bits_everywhere})
