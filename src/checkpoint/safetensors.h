/*
 * safetensors: u64 LE header length N, N bytes of JSON, then the tensors without gaps.
 * https://github.com/huggingface/safetensors
 */
#ifndef SW_CHECKPOINT_SAFETENSORS_H
#define SW_CHECKPOINT_SAFETENSORS_H

#include "base/status.h"
#include "base/strbuf.h"
#include "checkpoint/source.h"
#include "tensor/tensors.h"

#include <stddef.h>
#include <stdint.h>

#define SW_SAFETENSORS_HEADER_MAX 100000000u

/*
 * Adds the tensors of a header to `out`; `file` is the file's index there. `bytes` holds the file's
 * first `length` bytes, at least 8 + N of them. SW_EMODEL: not JSON, a duplicate name, a header
 * longer than the file or than SW_SAFETENSORS_HEADER_MAX, tensors that do not tile the rest of the
 * file exactly, a shape that does not give the tensor's size, an unknown dtype, a rank above
 * SW_MAX_RANK. Element types without a row in the dtype table become SW_OTHER; those of less than a
 * byte (F4, F6_*) become rows of bytes, rank 1.
 */
enum sw_status sw_safetensors_parse(const void *bytes, size_t length, uint64_t file_size, int file,
                                    struct sw_tensors *out);
/* As sw_safetensors_parse; reads the header from `source`, which is file `file` of `out`. */
enum sw_status sw_safetensors_read(const struct sw_source *source, int file,
                                   struct sw_tensors *out);

/* One tensor to be written: the name in UTF-8, the data in C order. */
struct sw_safetensors_spec {
    const char *name;
    enum sw_dtype dtype; /* not SW_OTHER */
    int rank;
    int64_t shape[SW_MAX_RANK];
};

/* Appends the first bytes of a file of these tensors, and adds the bytes that follow them to *data.
 * SW_EINPUT as below. */
enum sw_status sw_safetensors_header(const struct sw_safetensors_spec *specs, size_t n,
                                     struct sw_strbuf *out, uint64_t *data);

struct sw_safetensors_writer;

/*
 * Creates a file with the header for these tensors, under a temporary name next to `path` (a device
 * or a pipe is written in place). SW_EINPUT: a name twice or not UTF-8, a shape that overflows.
 * SW_EIO: cannot be created or written; the message names the path.
 */
enum sw_status sw_safetensors_writer_open(const char *path, const struct sw_safetensors_spec *specs,
                                          size_t n, struct sw_safetensors_writer **out);
/*
 * Writes the next bytes of the tensors' data, in the order of the specs, in pieces of any size (a
 * piece may span tensors). SW_EIO: the disk is full or failed; then close the writer.
 */
enum sw_status sw_safetensors_writer_write(struct sw_safetensors_writer *writer, const void *data,
                                           size_t bytes);
/*
 * Frees the writer. When all bytes were written without a failure the file is synced and renamed to
 * `path`; else it is removed, and the status is that of the first failure, or SW_EINPUT for missing
 * bytes.
 */
enum sw_status sw_safetensors_writer_close(struct sw_safetensors_writer *writer);
/* Frees the writer and removes what was written. `writer` may be NULL. */
void sw_safetensors_writer_abort(struct sw_safetensors_writer *writer);

#endif
