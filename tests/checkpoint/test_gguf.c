/* GGUF headers: what is read, value by value; each rule's refusal; files cut at every byte; and
 * published files where they are at hand. */
#include "gguf_in_memory.h"

/* ---- what is read */

static struct gguf_file whole_file(uint32_t version)
{
    struct gguf_file f = begin_file(version, 3, 14);
    add_value(&f, "general.alignment", SW_GGUF_U32, 64, 4);
    add_value(&f, "u8", SW_GGUF_U8, 200, 1);
    add_value(&f, "i8", SW_GGUF_I8, 200, 1);
    add_value(&f, "u16", SW_GGUF_U16, 50000, 2);
    add_value(&f, "i16", SW_GGUF_I16, 50000, 2);
    add_value(&f, "u32", SW_GGUF_U32, 3000000000u, 4);
    add_value(&f, "i32", SW_GGUF_I32, 3000000000u, 4);
    add_value(&f, "u64", SW_GGUF_U64, UINT64_MAX, 8);
    add_value(&f, "i64", SW_GGUF_I64, UINT64_MAX, 8);
    add_value(&f, "f32", SW_GGUF_F32, 0x3fc00000u, 4);
    add_value(&f, "f64", SW_GGUF_F64, 0xbff8000000000000u, 8);
    add_value(&f, "bool", SW_GGUF_BOOL, 1, 1);
    add_array(&f, "tokens", SW_GGUF_STRING, 3);
    add_text(&f, "a");
    add_text(&f, "");
    add_number(&f, 3, 8);
    add_bytes(&f, "x\0y", 3);
    add_array(&f, "scores", SW_GGUF_I16, 2);
    add_number(&f, 7, 2);
    add_number(&f, 0xffff, 2);
    add_tensor(&f, "blk.0.ffn_gate_exps.weight", 3, (uint64_t[]){32, 2, 3}, 8, 0);
    add_tensor(&f, "output_norm.weight", 1, (uint64_t[]){5}, 0, 256);
    add_tensor(&f, "scalar", 0, NULL, 30, 320);
    add_data(&f, 64, 322);
    return f;
}

static void check_integers(const struct sw_gguf *g)
{
    static const struct {
        const char *key;
        int64_t value;
    } rows[] = {{"u8", 200},         {"i8", -56},          {"u16", 50000}, {"i16", -15536},
                {"u32", 3000000000}, {"i32", -1294967296}, {"i64", -1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t value = 0;
        double number = 0;
        CU_ASSERT(sw_gguf_integer(sw_gguf_find(g, rows[i].key), 0, &value));
        CU_ASSERT_EQUAL(value, rows[i].value);
        CU_ASSERT(sw_gguf_float(sw_gguf_find(g, rows[i].key), 0, &number));
        CU_ASSERT_EQUAL(number, (double)rows[i].value);
    }
    int64_t value = 0;
    CU_ASSERT_FALSE(sw_gguf_integer(sw_gguf_find(g, "u64"), 0, &value)); /* out of range */
    CU_ASSERT_FALSE(sw_gguf_integer(sw_gguf_find(g, "f32"), 0, &value));
    CU_ASSERT_FALSE(sw_gguf_integer(sw_gguf_find(g, "no such"), 0, &value));
    CU_ASSERT(sw_gguf_integer(sw_gguf_find(g, "scores"), 1, &value));
    CU_ASSERT_EQUAL(value, -1);
    CU_ASSERT_FALSE(sw_gguf_integer(sw_gguf_find(g, "scores"), 2, &value));
}

static void check_others(const struct sw_gguf *g)
{
    struct sw_gguf_string text;
    double number = 0;
    bool is = false;
    CU_ASSERT(sw_gguf_float(sw_gguf_find(g, "f32"), 0, &number));
    CU_ASSERT_EQUAL(number, 1.5);
    CU_ASSERT(sw_gguf_float(sw_gguf_find(g, "f64"), 0, &number));
    CU_ASSERT_EQUAL(number, -1.5);
    CU_ASSERT_FALSE(sw_gguf_float(sw_gguf_find(g, "tokens"), 0, &number));
    CU_ASSERT(sw_gguf_bool(sw_gguf_find(g, "bool"), 0, &is) && is);
    CU_ASSERT_FALSE(sw_gguf_bool(sw_gguf_find(g, "u8"), 0, &is));
    const struct sw_gguf_value *tokens = sw_gguf_find(g, "tokens");
    CU_ASSERT(tokens && tokens->is_array && tokens->count == 3);
    CU_ASSERT(sw_gguf_text(tokens, 1, &text) && text.length == 0);
    CU_ASSERT(sw_gguf_text(tokens, 2, &text) && text.length == 3);
    CU_ASSERT(memcmp(text.bytes, "x\0y", 4) == 0);
    CU_ASSERT_FALSE(sw_gguf_text(tokens, 3, &text));
    CU_ASSERT_FALSE(sw_gguf_text(sw_gguf_find(g, "bool"), 0, &text));
}

static void reads_all_kinds(void)
{
    for (uint32_t version = 2; version <= 3; version++) {
        const struct gguf_file f = whole_file(version);
        struct sw_gguf g;
        CU_ASSERT_EQUAL_FATAL(read_file(&f, &g), SW_OK);
        CU_ASSERT_EQUAL(g.n_values, 14);
        CU_ASSERT_STRING_EQUAL(g.values[1].key, "u8");
        check_integers(&g);
        check_others(&g);
        sw_gguf_free(&g);
    }
}

static void locates_tensors(void)
{
    const struct gguf_file f = whole_file(3);
    struct sw_gguf g;
    CU_ASSERT_EQUAL_FATAL(read_file(&f, &g), SW_OK);
    const struct sw_gguf_tensor *t = g.tensors;
    CU_ASSERT_EQUAL_FATAL(g.n_tensors, 3);
    CU_ASSERT_STRING_EQUAL(t->name, "blk.0.ffn_gate_exps.weight");
    CU_ASSERT(t->rank == 3 && t->shape[0] == 3 && t->shape[1] == 2 && t->shape[2] == 32);
    CU_ASSERT_PTR_EQUAL(t->blocks, &sw_format_q8_0);
    CU_ASSERT_EQUAL(t->bytes, 6 * 34);
    CU_ASSERT_EQUAL(t->offset % 64, 0);
    CU_ASSERT_EQUAL(f.bytes[t->offset], 0); /* the data counts from 0 */
    CU_ASSERT_EQUAL(f.bytes[t->offset + 3], 3);
    CU_ASSERT_EQUAL(g.tensors[1].offset, t->offset + 256);
    CU_ASSERT_EQUAL(g.tensors[1].bytes, 20);
    CU_ASSERT(g.tensors[2].rank == 0 && g.tensors[2].bytes == 2);
    CU_ASSERT_EQUAL(g.tensors[2].offset + 2, f.n);
    sw_gguf_free(&g);
}

/* ---- what is refused */

static void refuse(const struct gguf_file *f, const char *message)
{
    struct sw_gguf g;
    expect_failure(read_file(f, &g), SW_EMODEL, message);
    CU_ASSERT(strncmp(sw_error_message(), "a/b.gguf: ", 10) == 0);
    CU_ASSERT(g.n_values == 0 && g.n_tensors == 0 && g.arena.blocks == NULL);
}

static void refuses_versions(void)
{
    struct gguf_file f = begin_file(1, 0, 0);
    refuse(&f, "GGUF version 1; 2 and 3 are read");
    f = begin_file(4, 0, 0);
    refuse(&f, "GGUF version 4");
    f = begin_file(0, 0, 0);
    refuse(&f, "GGUF version 0");
    f = begin_file(3u << 24, 0, 0);
    refuse(&f, "big-endian");
    f = begin_file(3, 0, 0);
    f.bytes[0] = 'g';
    refuse(&f, "does not begin with GGUF");
}

static void refuses_values(void)
{
    struct gguf_file f = begin_file(3, 0, UINT64_MAX / 13);
    refuse(&f, "have no room");
    f = begin_file(3, 0, 1);
    add_value(&f, "k", SW_GGUF_KINDS, 0, 8);
    refuse(&f, "key 'k': a value of kind 13");
    f = begin_file(3, 0, 1);
    add_array(&f, "k", SW_GGUF_ARRAY, 1);
    refuse(&f, "key 'k': an array of arrays");
    f = begin_file(3, 0, 1);
    add_array(&f, "k", SW_GGUF_U64, UINT64_MAX / 8 + 1);
    refuse(&f, "elements of 8 bytes, but 0 bytes are left");
    f = begin_file(3, 0, 1);
    add_array(&f, "k", SW_GGUF_STRING, UINT64_MAX / 16 + 1);
    refuse(&f, "texts, which cannot be");
    f = begin_file(3, 0, 1);
    add_value(&f, "k", SW_GGUF_STRING, UINT64_MAX, 8);
    refuse(&f, "key 'k': a text");
    f = begin_file(3, 0, 1);
    add_value(&f, "", SW_GGUF_U8, 0, 1);
    refuse(&f, "is empty");
    f = begin_file(3, 0, 2);
    add_value(&f, "twin", SW_GGUF_U8, 0, 1);
    add_value(&f, "twin", SW_GGUF_U8, 1, 1);
    refuse(&f, "key 'twin' is there twice");
    for (uint32_t alignment = 0; alignment <= 24; alignment += 24) {
        f = begin_file(3, 0, 1);
        add_value(&f, "general.alignment", SW_GGUF_U32, alignment, 4);
        refuse(&f, "general.alignment is not a power of two");
    }
}

/* One tensor and `data` bytes behind it. */
static void refuse_tensor(int rank, const uint64_t *dims, uint32_t type, uint64_t offset,
                          size_t data, const char *message)
{
    struct gguf_file f = begin_file(3, 1, 0);
    add_tensor(&f, "t", rank, dims, type, offset);
    add_data(&f, 32, data);
    refuse(&f, message);
}

static void refuses_tensors(void)
{
    char name[66] = "";
    refuse_tensor(1, (uint64_t[]){32}, 8, 0, 33, "tensor 't': its 34 bytes at byte 64 are not all");
    refuse_tensor(1, (uint64_t[]){32}, 8, 16, 64, "its offset 16 is not a multiple of 32");
    refuse_tensor(1, (uint64_t[]){32}, 8, UINT64_MAX - 31, 64, "are not all in the file");
    refuse_tensor(2, (uint64_t[]){31, 32}, 8, 0, 64, "no whole blocks of 32 (q8_0)");
    refuse_tensor(2, (uint64_t[]){32, 0}, 8, 0, 64, "a dimension of 0");
    refuse_tensor(2, (uint64_t[]){1ull << 40, 1ull << 40}, 0, 0, 64, "a dimension of");
    refuse_tensor(1, (uint64_t[]){1ull << 62}, 0, 0, 64, "shape overflows");
    refuse_tensor(5, (uint64_t[]){1, 1, 1, 1, 1}, 0, 0, 64, "5 dimensions, at most 4");
    refuse_tensor(1, (uint64_t[]){256}, 16, 0, 64, "number 16 of ggml's");
    struct gguf_file f = begin_file(3, UINT64_MAX / 24, 0);
    refuse(&f, "have no room");
    memset(name, 'n', 64);
    f = begin_file(3, 1, 0);
    add_tensor(&f, name, 1, (uint64_t[]){1}, 0, 0);
    add_data(&f, 32, 4);
    refuse(&f, "more than 63 bytes");
}

static void refuses_cut_files(void)
{
    const struct gguf_file whole = whole_file(3);
    for (size_t n = 0; n < whole.n; n++) {
        struct gguf_file f = whole;
        struct sw_gguf g;
        f.n = n;
        const enum sw_status status = read_file(&f, &g);
        CU_ASSERT_EQUAL(status, SW_EMODEL);
        CU_ASSERT(strstr(sw_error_message(), "a/b.gguf") != NULL);
        if (status == SW_OK) {
            printf("    %zu of %zu bytes were taken for a file\n", n, whole.n);
            sw_gguf_free(&g);
        }
    }
}

/* ---- published files */

static void reads_published(void)
{
    static const struct {
        const char *file, *model;
        uint64_t n_tokens;
    } rows[] = {{"llama.cpp/ggml-vocab-llama-spm.gguf", "llama", 32000},
                {"llama.cpp/ggml-vocab-gpt-2.gguf", "gpt2", 50257},
                {"llama.cpp/ggml-vocab-falcon.gguf", "gpt2", 65024}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *path = sw_unit_shared(rows[i].file);
        struct sw_source source;
        struct sw_gguf_string text;
        struct sw_gguf g;
        if (!path)
            continue;
        CU_ASSERT_EQUAL_FATAL(sw_source_open(path, &source), SW_OK);
        CU_ASSERT_EQUAL_FATAL(sw_gguf_read(&source, &g), SW_OK);
        CU_ASSERT(sw_gguf_text(sw_gguf_find(&g, "tokenizer.ggml.model"), 0, &text));
        CU_ASSERT_STRING_EQUAL(text.bytes, rows[i].model);
        const struct sw_gguf_value *tokens = sw_gguf_find(&g, "tokenizer.ggml.tokens");
        CU_ASSERT(tokens && tokens->count == rows[i].n_tokens);
        CU_ASSERT(g.arena.used < 8 * source.size);
        sw_gguf_free(&g);
        sw_source_close(&source);
    }
}

SW_UNIT_TESTS({"reads all kinds of values", reads_all_kinds}, {"locates tensors", locates_tensors},
              {"refuses versions", refuses_versions}, {"refuses values", refuses_values},
              {"refuses tensors", refuses_tensors},
              {"refuses a file cut anywhere", refuses_cut_files},
              {"reads published files", reads_published})
