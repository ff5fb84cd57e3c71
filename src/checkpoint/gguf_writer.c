/* Owns the bytes of a GGUF header. */
#include "checkpoint/gguf_writer.h"

#include "base/checked.h"

#include <string.h>

#define VERSION 3

static void writer_put_bits(struct sw_strbuf *out, uint64_t value, int bytes)
{
    char b[8];
    for (int i = 0; i < bytes; i++)
        b[i] = (char)(unsigned char)(value >> (8 * i));
    sw_strbuf_append(out, b, (size_t)bytes);
}

static void writer_put_string(struct sw_strbuf *out, const char *bytes, size_t n)
{
    writer_put_bits(out, n, 8);
    sw_strbuf_append(out, bytes, n);
}

static void writer_begin(struct sw_gguf_writer *w, const char *key, enum sw_gguf_kind kind)
{
    writer_put_string(&w->values, key, strlen(key));
    writer_put_bits(&w->values, kind, 4);
    w->n_values++;
}

void sw_gguf_write_u32(struct sw_gguf_writer *w, const char *key, uint32_t value)
{
    writer_begin(w, key, SW_GGUF_U32);
    writer_put_bits(&w->values, value, 4);
}

void sw_gguf_write_f32(struct sw_gguf_writer *w, const char *key, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    writer_begin(w, key, SW_GGUF_F32);
    writer_put_bits(&w->values, bits, 4);
}

void sw_gguf_write_bool(struct sw_gguf_writer *w, const char *key, bool value)
{
    writer_begin(w, key, SW_GGUF_BOOL);
    writer_put_bits(&w->values, value, 1);
}

void sw_gguf_write_text(struct sw_gguf_writer *w, const char *key, const char *bytes, size_t n)
{
    writer_begin(w, key, SW_GGUF_STRING);
    writer_put_string(&w->values, bytes, n);
}

void sw_gguf_write_array(struct sw_gguf_writer *w, const char *key, enum sw_gguf_kind kind,
                         uint64_t count)
{
    writer_begin(w, key, SW_GGUF_ARRAY);
    writer_put_bits(&w->values, kind, 4);
    writer_put_bits(&w->values, count, 8);
}

void sw_gguf_write_element(struct sw_gguf_writer *w, const char *bytes, size_t n)
{
    writer_put_string(&w->values, bytes, n);
}

void sw_gguf_write_numbers(struct sw_gguf_writer *w, const void *numbers, size_t n, size_t size)
{
    sw_strbuf_append(&w->values, numbers, n * size);
}

void sw_gguf_write_value(struct sw_gguf_writer *w, const struct sw_gguf_value *value)
{
    if (value->is_array)
        sw_gguf_write_array(w, value->key, value->kind, value->count);
    else
        writer_begin(w, value->key, value->kind);
    if (value->kind != SW_GGUF_STRING) {
        sw_gguf_write_numbers(w, value->data, (size_t)value->count,
                              sw_gguf_kind_bytes(value->kind));
        return;
    }
    const struct sw_gguf_string *strings = value->data;
    for (uint64_t i = 0; i < value->count; i++)
        writer_put_string(&w->values, strings[i].bytes, strings[i].length);
}

/* ---- tensors */

static bool writer_type(const struct sw_format *format, uint32_t *type)
{
    if (format->dtype != SW_OTHER)
        return sw_gguf_type_of(format->dtype, type);
    *type = format->ggml_type;
    return format->ggml_type != 0;
}

bool sw_gguf_has_format(const struct sw_format *format)
{
    uint32_t type;
    return writer_type(format, &type);
}

uint64_t sw_gguf_write_tensor(struct sw_gguf_writer *w, const char *name, int rank,
                              const int64_t *shape, const struct sw_format *format,
                              uint64_t *offset)
{
    uint32_t type = 0;
    uint64_t elements = 1;
    (void)writer_type(format, &type);
    writer_put_string(&w->tensors, name, strlen(name));
    writer_put_bits(&w->tensors, (uint64_t)rank, 4);
    for (int i = rank - 1; i >= 0; i--) {
        writer_put_bits(&w->tensors, (uint64_t)shape[i], 8);
        elements *= (uint64_t)shape[i];
    }
    writer_put_bits(&w->tensors, type, 4);
    writer_put_bits(&w->tensors, w->data, 8);
    const uint64_t bytes = elements / (uint64_t)format->block_len * format->block_bytes;
    *offset = w->data;
    w->data += sw_round_up(bytes, SW_GGUF_ALIGNMENT);
    w->n_tensors++;
    return bytes;
}

enum sw_status sw_gguf_writer_finish(struct sw_gguf_writer *w, struct sw_strbuf *out)
{
    static const char zeros[SW_GGUF_ALIGNMENT];
    const size_t before = out->length;
    sw_strbuf_append(out, "GGUF", 4);
    writer_put_bits(out, VERSION, 4);
    writer_put_bits(out, w->n_tensors, 8);
    writer_put_bits(out, w->n_values, 8);
    if (w->n_values)
        sw_strbuf_append(out, w->values.text, w->values.length);
    if (w->n_tensors)
        sw_strbuf_append(out, w->tensors.text, w->tensors.length);
    const size_t n = out->length - before;
    sw_strbuf_append(out, zeros, (size_t)sw_round_up(n, SW_GGUF_ALIGNMENT) - n);
    const bool failed = out->failed || w->values.failed || w->tensors.failed;
    sw_gguf_writer_free(w);
    return failed ? sw_fail(SW_ENOMEM, "no memory for the header of a GGUF file") : SW_OK;
}

void sw_gguf_writer_free(struct sw_gguf_writer *w)
{
    sw_strbuf_free(&w->values);
    sw_strbuf_free(&w->tensors);
    *w = (struct sw_gguf_writer){0};
}
