/* Models from GGUF headers: keys and names of each family, what differs from the family's own
 * files, and published files beside the same model's folder. */
#include "checkpoint/gguf_model.h"
#include "checkpoint/gguf_tensors.h"
#include "checkpoint/open_model.h"
#include "gguf_in_memory.h"

static void add_string(struct gguf_file *f, const char *key, const char *text)
{
    add_text(f, key);
    add_number(f, SW_GGUF_STRING, 4);
    add_text(f, text);
}

/* Adds "ARCHITECTURE.KEY", u32. */
static void add_size(struct gguf_file *f, const char *architecture, const char *key, uint32_t value)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", architecture, key);
    add_value(f, name, SW_GGUF_U32, value, 4);
}

#define N_COMMON 9
/* The keys that all have: 3 layers, 4 heads of 8, of which 6 rotate, an eps of 1e-5. */
static struct gguf_file begin_model(const char *architecture, const char *eps, int n_tensors,
                                    int n_more)
{
    char name[128];
    struct gguf_file f = begin_file(3, (uint64_t)n_tensors + 1, (uint64_t)(N_COMMON + n_more));
    add_string(&f, "general.architecture", architecture);
    add_size(&f, architecture, "block_count", 3);
    add_size(&f, architecture, "embedding_length", 32);
    add_size(&f, architecture, "attention.head_count", 4);
    add_size(&f, architecture, "feed_forward_length", 96);
    add_size(&f, architecture, "context_length", 512);
    add_size(&f, architecture, "rope.dimension_count", 6);
    snprintf(name, sizeof name, "%s.rope.scaling.type", architecture);
    add_string(&f, name, "none");
    snprintf(name, sizeof name, "%s.attention.%s", architecture, eps);
    add_value(&f, name, SW_GGUF_F32, 0x3727c5acu, 4);
    return f;
}

/* Ends the header: the embedding and `names`, tensors of one element. */
static void end_model(struct gguf_file *f, const char *const *names)
{
    add_tensor(f, "token_embd.weight", 2, (uint64_t[]){32, 70}, 0, 0);
    for (int i = 0; names && names[i]; i++)
        add_tensor(f, names[i], 1, (uint64_t[]){1}, 0, 0);
    add_data(f, 32, 0);
}

/* The model of a file with this header and zeroes behind it. */
static struct sw_model *open_model(const struct gguf_file *f)
{
    static char data[1 << 15];
    struct sw_model *model = NULL;
    struct sw_tensors tensors = {0};
    struct sw_source source;
    struct sw_gguf g;
    char folder[64], path[128];
    memset(data, 0, sizeof data);
    memcpy(data, f->bytes, f->n);
    put_file(new_folder(folder), "m.gguf", data, sizeof data);
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    CU_ASSERT_EQUAL_FATAL(sw_source_open(path, &source), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_gguf_read(&source, &g), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_gguf_tensors(&g, &source, &tensors), SW_OK);
    if (sw_gguf_model(&g, &tensors, &model) != SW_OK)
        CU_ASSERT_PTR_NULL(model);
    sw_tensors_free(&tensors);
    sw_gguf_free(&g);
    sw_source_close(&source);
    remove_folder(folder);
    return model;
}

static void first_name(const struct sw_model *model, enum sw_weight id, const char *expected)
{
    const struct sw_weight_spec *specs;
    const size_t n = sw_model_weights(model, 2, &specs);
    char name[SW_TENSOR_NAME_MAX] = "";
    for (size_t i = 0; i < n && !name[0]; i++)
        if (specs[i].id == id)
            sw_weight_tensor_name(model, specs + i, 0, name);
    CU_ASSERT_STRING_EQUAL(name, expected);
}

static void reads_llama(void)
{
    struct gguf_file f = begin_model("llama", "layer_norm_rms_epsilon", 1, 2);
    add_size(&f, "llama", "attention.head_count_kv", 2);
    add_value(&f, "llama.rope.freq_base", SW_GGUF_F32, 0x48f42400u, 4); /* 500000 */
    end_model(&f, (const char *[]){"output.weight", NULL});
    struct sw_model *m = open_model(&f);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    const struct sw_dims *d = &m->dims;
    CU_ASSERT(d->n_layers == 3 && d->hidden == 32 && d->n_heads == 4 && d->n_kv_heads == 2);
    CU_ASSERT(d->head_dim == 8 && d->ffn == 96 && d->vocab == 70 && d->context == 512);
    CU_ASSERT(d->norm_eps == 1e-5f && d->rope[0].base == 500000.0f && d->rotary_dim == 6);
    CU_ASSERT(!d->tied && !d->qkv_bias && !d->out_bias && !d->mlp_bias && d->n_experts == 0);
    CU_ASSERT(m->arch->rope_interleaved);
    first_name(m, SW_W_QKV, "blk.2.attn_q.weight");
    first_name(m, SW_W_UP, "blk.2.ffn_gate.weight");
    sw_model_close(m);
}

static void reads_routed(void)
{
    struct gguf_file f = begin_model("llama", "layer_norm_rms_epsilon", 0, 2);
    add_size(&f, "llama", "expert_count", 8);
    add_size(&f, "llama", "expert_used_count", 2);
    end_model(&f, NULL);
    struct sw_model *m = open_model(&f);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    CU_ASSERT_STRING_EQUAL(m->arch->model_type, "mixtral");
    CU_ASSERT(m->dims.n_experts == 8 && m->dims.n_experts_used == 2 && m->dims.norm_topk);
    CU_ASSERT(m->dims.n_kv_heads == 4); /* as many as heads, when the key is not there */
    CU_ASSERT(m->dims.tied);
    first_name(m, SW_W_ROUTER, "blk.2.ffn_gate_inp.weight");
    first_name(m, SW_W_DOWN, "blk.2.ffn_down_exps.0.weight");
    sw_model_close(m);
}

static void reads_biases(void)
{
    struct gguf_file f = begin_model("qwen2", "layer_norm_rms_epsilon", 1, 0);
    end_model(&f, (const char *[]){"blk.0.attn_q.bias", NULL});
    struct sw_model *m = open_model(&f);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    CU_ASSERT(m->dims.qkv_bias && !m->dims.out_bias && !m->arch->rope_interleaved);
    CU_ASSERT_EQUAL(m->dims.window, 0);
    sw_model_close(m);
}

static void reads_neox(void)
{
    struct gguf_file f = begin_model("gptneox", "layer_norm_epsilon", 4, 1);
    add_value(&f, "gptneox.use_parallel_residual", SW_GGUF_BOOL, 0, 1);
    end_model(&f, (const char *[]){"output.weight", "blk.0.attn_qkv.bias", "blk.0.ffn_up.bias",
                                   "blk.0.attn_output.bias", NULL});
    struct sw_model *m = open_model(&f);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    CU_ASSERT(m->arch->qkv == SW_QKV_STACKED && m->dims.residual == SW_RES_SEQUENTIAL);
    CU_ASSERT(m->dims.qkv_bias && m->dims.out_bias && m->dims.mlp_bias && !m->dims.head_bias);
    CU_ASSERT(m->dims.rotary_dim == 6);
    first_name(m, SW_W_QKV, "blk.2.attn_qkv.weight");
    sw_model_close(m);
}

/* A header of the embedding and `n` divisors of rope, 1.0 each but the first. */
static struct gguf_file rope_file(uint64_t n, uint32_t first_bits)
{
    struct gguf_file f = begin_model("llama", "layer_norm_rms_epsilon", 1, 0);
    add_tensor(&f, "token_embd.weight", 2, (uint64_t[]){32, 70}, 0, 64);
    add_tensor(&f, "rope_freqs.weight", 1, (uint64_t[]){n}, 0, 0);
    add_data(&f, 32, 0);
    for (uint64_t i = 0; i < n; i++)
        add_number(&f, i == 0 ? first_bits : 0x3f800000u, 4);
    return f;
}

static void reads_rope(void)
{
    struct gguf_file f = rope_file(3, 0x41000000u); /* 8.0 */
    struct sw_model *m = open_model(&f);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m->rope_divisors);
    CU_ASSERT(m->rope_divisors[0] == 8 && m->rope_divisors[1] == 1 && m->rope_divisors[2] == 1);
    sw_model_close(m);
    f = rope_file(4, 0x41000000u);
    CU_ASSERT_PTR_NULL(open_model(&f));
    CU_ASSERT(strstr(sw_error_message(), "rope_freqs.weight is not 3 elements") != NULL);
    f = rope_file(3, 0x7fc00000u); /* NaN */
    CU_ASSERT_PTR_NULL(open_model(&f));
    CU_ASSERT(strstr(sw_error_message(), "element 0 is not above 0") != NULL);
}

static void refuses_twins(void)
{
    struct gguf_file f = begin_file(3, 2, 0);
    struct sw_tensors tensors = {0};
    struct sw_gguf g;
    add_tensor(&f, "twin", 1, (uint64_t[]){1}, 0, 0);
    add_tensor(&f, "twin", 1, (uint64_t[]){1}, 0, 0);
    add_data(&f, 32, 4);
    const struct sw_source source = sw_source_of_memory("a/b.gguf", f.bytes, f.n);
    CU_ASSERT_EQUAL_FATAL(sw_gguf_read(&source, &g), SW_OK);
    expect_failure(sw_gguf_tensors(&g, &source, &tensors), SW_EMODEL,
                   "a/b.gguf: tensor 'twin' occurs twice");
    sw_tensors_free(&tensors);
    sw_gguf_free(&g);
}

static void refuses_unknown(void)
{
    struct gguf_file f = begin_model("mamba", "layer_norm_epsilon", 0, 0);
    end_model(&f, NULL);
    CU_ASSERT_PTR_NULL(open_model(&f));
    CU_ASSERT(strstr(sw_error_message(), "m.gguf: its general.architecture is 'mamba'") != NULL);
    f = begin_model("llama", "layer_norm_epsilon", 0, 0); /* the other family's key */
    end_model(&f, NULL);
    CU_ASSERT_PTR_NULL(open_model(&f));
    CU_ASSERT(strstr(sw_error_message(), "'attention.layer_norm_rms_epsilon' is missing") != NULL);
    f = begin_model("llama", "layer_norm_rms_epsilon", 0, 1);
    add_value(&f, "llama.rope.scaling.factor", SW_GGUF_F32, 0x7fc00000u, 4); /* NaN: as if absent */
    end_model(&f, NULL);
    struct sw_model *m = open_model(&f);
    CU_ASSERT_PTR_NOT_NULL(m);
    sw_model_close(m);
    f = begin_model("llama", "layer_norm_rms_epsilon", 0, 1);
    add_array(&f, "llama.attention.head_count_kv", SW_GGUF_U32, 1);
    add_number(&f, 1, 4);
    end_model(&f, NULL);
    CU_ASSERT_PTR_NULL(open_model(&f));
    CU_ASSERT(strstr(sw_error_message(), "'attention.head_count_kv' is [1]") != NULL);
}

/* Model and tensors together are those of one after the other, and the header is read once. */
static void opens_both(void)
{
    static char data[1 << 15];
    struct gguf_file f = begin_model("llama", "layer_norm_rms_epsilon", 0, 0);
    struct sw_model *model, *again;
    struct sw_tensors tensors, same;
    char folder[64], path[128];
    end_model(&f, NULL);
    memset(data, 0, sizeof data);
    memcpy(data, f.bytes, f.n);
    put_file(new_folder(folder), "m.gguf", data, sizeof data);
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    const long long begin = bytes_read();
    CU_ASSERT_EQUAL_FATAL(sw_open_model_and_tensors(path, &model, &tensors), SW_OK);
    const long long once = bytes_read();
    CU_ASSERT_EQUAL_FATAL(sw_open_model(path, &again), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_open_tensors(path, &same), SW_OK);
    const long long twice = bytes_read();
    CU_ASSERT(begin < 0 || 3 * (once - begin) < 2 * (twice - once));
    CU_ASSERT_EQUAL(memcmp(&model->dims, &again->dims, sizeof model->dims), 0);
    CU_ASSERT(tensors.count == same.count && tensors.count == 1);
    sw_tensors_free(&tensors);
    sw_tensors_free(&same);
    sw_model_close(model);
    sw_model_close(again);
    put_file(folder, "m.gguf", data, 100);
    CU_ASSERT_EQUAL(sw_open_model_and_tensors(path, &model, &tensors), SW_EMODEL);
    CU_ASSERT(model == NULL && tensors.count == 0);
    remove_folder(folder);
}

SW_UNIT_TESTS({"reads llama", reads_llama}, {"reads experts", reads_routed},
              {"reads biases", reads_biases}, {"reads gpt-neox", reads_neox},
              {"reads rope's divisors", reads_rope}, {"refuses a tensor twice", refuses_twins},
              {"refuses what is not known", refuses_unknown}, {"opens both", opens_both})
