/*
 * Writes the header of a GGUF file, version 3: keys, then tensors, whose data lies behind it in the
 * same order. The data is the caller's to write, at the offsets that the header says.
 */
#ifndef SW_CHECKPOINT_GGUF_WRITER_H
#define SW_CHECKPOINT_GGUF_WRITER_H

#include "base/strbuf.h"
#include "checkpoint/gguf.h"

#define SW_GGUF_ALIGNMENT 32

/* All zero at first. No call fails; sw_gguf_writer_finish says whether memory ran out. */
struct sw_gguf_writer {
    struct sw_strbuf values, tensors;
    uint64_t n_values, n_tensors;
    uint64_t data; /* bytes of the tensors so far, each padded to SW_GGUF_ALIGNMENT */
};

void sw_gguf_write_u32(struct sw_gguf_writer *w, const char *key, uint32_t value);
void sw_gguf_write_f32(struct sw_gguf_writer *w, const char *key, float value);
void sw_gguf_write_bool(struct sw_gguf_writer *w, const char *key, bool value);
void sw_gguf_write_text(struct sw_gguf_writer *w, const char *key, const char *bytes, size_t n);
/* As a file has it. */
void sw_gguf_write_value(struct sw_gguf_writer *w, const struct sw_gguf_value *value);
/* Begins an array of `count` elements, which must follow: texts by sw_gguf_write_element, numbers
 * by sw_gguf_write_numbers. */
void sw_gguf_write_array(struct sw_gguf_writer *w, const char *key, enum sw_gguf_kind kind,
                         uint64_t count);
void sw_gguf_write_element(struct sw_gguf_writer *w, const char *bytes, size_t n);
/* (n) little-endian elements of `size` bytes, as they are in memory. */
void sw_gguf_write_numbers(struct sw_gguf_writer *w, const void *numbers, size_t n, size_t size);

/* Whether GGUF has a number for matrices of this format. */
bool sw_gguf_has_format(const struct sw_format *format);
/*
 * Adds a tensor of a format that GGUF has; shape: (rank) in C order, whose last dimension is whole
 * blocks. Returns its bytes; *offset counts from the beginning of the data.
 */
uint64_t sw_gguf_write_tensor(struct sw_gguf_writer *w, const char *name, int rank,
                              const int64_t *shape, const struct sw_format *format,
                              uint64_t *offset);
/* Appends the whole header, padded, to `out`; frees the writer. SW_ENOMEM. */
enum sw_status sw_gguf_writer_finish(struct sw_gguf_writer *w, struct sw_strbuf *out);
void sw_gguf_writer_free(struct sw_gguf_writer *w);

#endif
