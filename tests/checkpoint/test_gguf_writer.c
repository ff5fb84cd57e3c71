/* Headers that are written are those that are read: all kinds of values, shapes, types, offsets. */
#include "checkpoint/gguf_writer.h"
#include "helpers.h"

static const struct sw_format *plain(enum sw_dtype dtype)
{
    return sw_format_of(sw_format_keeping(dtype));
}

static void read_back(const struct sw_strbuf *header, uint64_t data, struct sw_gguf *out)
{
    char *bytes = calloc(header->length + data, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    memcpy(bytes, header->text, header->length);
    const struct sw_source source = sw_source_of_memory("w.gguf", bytes, header->length + data);
    CU_ASSERT_EQUAL_FATAL(sw_gguf_read(&source, out), SW_OK);
    free(bytes);
}

static void headers_come_back(void)
{
    static const int64_t shapes[][3] = {{3, 64}, {5}, {2, 3, 32}};
    static const int ranks[] = {2, 1, 3};
    static const float scores[] = {-1.5f, 0, 3};
    const struct sw_format *formats[] = {sw_format_of_ggml(8), plain(SW_F32), plain(SW_BF16)};
    static const uint64_t bytes[] = {3 * 2 * 34, 20, 2 * 3 * 32 * 2};
    static const char *const names[] = {"a.weight", "b.bias", "c_exps.weight"};
    struct sw_gguf_writer w = {0};
    struct sw_strbuf header = {0};
    uint64_t offsets[3];
    sw_gguf_write_u32(&w, "u", 4000000000u);
    sw_gguf_write_f32(&w, "f", -0.25f);
    sw_gguf_write_bool(&w, "b", true);
    sw_gguf_write_text(&w, "t", "a\0b", 3);
    sw_gguf_write_array(&w, "texts", SW_GGUF_STRING, 2);
    sw_gguf_write_element(&w, "", 0);
    sw_gguf_write_element(&w, "xyz", 3);
    sw_gguf_write_array(&w, "scores", SW_GGUF_F32, 3);
    sw_gguf_write_numbers(&w, scores, 3, sizeof scores[0]);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(
            sw_gguf_write_tensor(&w, names[i], ranks[i], shapes[i], formats[i], &offsets[i]),
            bytes[i]);
    const uint64_t data = w.data;
    CU_ASSERT_EQUAL(data, 224 + 32 + 384);
    CU_ASSERT_EQUAL_FATAL(sw_gguf_writer_finish(&w, &header), SW_OK);
    CU_ASSERT_EQUAL(header.length % SW_GGUF_ALIGNMENT, 0);

    struct sw_gguf g;
    struct sw_gguf_string text;
    int64_t integer;
    double number;
    bool is;
    read_back(&header, data, &g);
    CU_ASSERT(sw_gguf_integer(sw_gguf_find(&g, "u"), 0, &integer) && integer == 4000000000);
    CU_ASSERT(sw_gguf_float(sw_gguf_find(&g, "f"), 0, &number) && number == -0.25);
    CU_ASSERT(sw_gguf_bool(sw_gguf_find(&g, "b"), 0, &is) && is);
    CU_ASSERT(sw_gguf_text(sw_gguf_find(&g, "t"), 0, &text) && text.length == 3 &&
              memcmp(text.bytes, "a\0b", 3) == 0);
    CU_ASSERT(sw_gguf_text(sw_gguf_find(&g, "texts"), 1, &text) && strcmp(text.bytes, "xyz") == 0);
    CU_ASSERT(sw_gguf_float(sw_gguf_find(&g, "scores"), 0, &number) && number == -1.5);
    CU_ASSERT_EQUAL_FATAL(g.n_tensors, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct sw_gguf_tensor *t = &g.tensors[i];
        CU_ASSERT_STRING_EQUAL(t->name, names[i]);
        CU_ASSERT_EQUAL(t->rank, ranks[i]);
        for (int d = 0; d < t->rank; d++)
            CU_ASSERT_EQUAL(t->shape[d], shapes[i][d]);
        CU_ASSERT_EQUAL(t->bytes, bytes[i]);
        CU_ASSERT_EQUAL(t->offset, header.length + offsets[i]);
        CU_ASSERT(i == 0 ? t->blocks == formats[0] : t->dtype == formats[i]->dtype);
    }
    /* Values that were read are written as they are. */
    struct sw_strbuf again = {0};
    for (size_t i = 0; i < g.n_values; i++)
        sw_gguf_write_value(&w, g.values + i);
    for (int i = 0; i < 3; i++)
        sw_gguf_write_tensor(&w, names[i], ranks[i], shapes[i], formats[i], &offsets[i]);
    CU_ASSERT_EQUAL_FATAL(sw_gguf_writer_finish(&w, &again), SW_OK);
    CU_ASSERT(again.length == header.length && memcmp(again.text, header.text, header.length) == 0);
    sw_gguf_free(&g);
    sw_strbuf_free(&header);
    sw_strbuf_free(&again);
}

/* Each format of blocks has a number; a format with a scale for a row has none. */
static void formats_have_numbers(void)
{
    for (int i = 0; i < SW_FORMAT_COUNT; i++) {
        const struct sw_format *format = sw_format_of((enum sw_format_id)i);
        CU_ASSERT_EQUAL(sw_gguf_has_format(format),
                        format->ggml_type != 0 || format->dtype != SW_OTHER);
    }
    CU_ASSERT(sw_gguf_has_format(sw_format_of_ggml(12)));
}

SW_UNIT_TESTS({"headers come back", headers_come_back},
              {"formats have numbers", formats_have_numbers})
