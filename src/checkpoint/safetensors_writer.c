/* Owns the writing of safetensors files: temporary name, buffered pieces, sync, rename. */
#include "checkpoint/safetensors.h"

#include "base/checked.h"
#include "base/file_write.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)1 << 20)

struct sw_safetensors_writer {
    char *path, *temporary; /* temporary is NULL when path is written in place */
    int fd;
    uint64_t left; /* bytes of tensor data that are not written yet */
    enum sw_status status;
    size_t buffered;
    char buffer[BUFFER_BYTES];
};

static enum sw_status header_add_spec(json_t *header, const struct sw_safetensors_spec *spec,
                                      uint64_t *offset)
{
    const struct sw_dtype_info *info = sw_dtype_info(spec->dtype);
    uint64_t bits = info->bits, end;
    json_t *shape = json_array();
    for (int i = 0; i < spec->rank; i++) {
        if (spec->shape[i] < 0 || !sw_mul_u64(bits, (uint64_t)spec->shape[i], &bits)) {
            json_decref(shape);
            return sw_fail(SW_EINPUT, "tensor '%s': its shape overflows", spec->name);
        }
        if (json_array_append_new(shape, json_integer(spec->shape[i])) != 0) {
            json_decref(shape);
            return sw_fail(SW_ENOMEM, "no memory for the header of a safetensors file");
        }
    }
    if (!sw_add_u64(*offset, bits / 8, &end) || end > INT64_MAX) {
        json_decref(shape);
        return sw_fail(SW_EINPUT, "tensor '%s': the file would overflow", spec->name);
    }
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", info->safetensors, "shape", shape,
                              "data_offsets", (json_int_t)*offset, (json_int_t)end);
    if (!entry)
        return sw_fail(SW_ENOMEM, "no memory for the header of a safetensors file");
    if (json_object_get(header, spec->name)) {
        json_decref(entry);
        return sw_fail(SW_EINPUT, "tensor '%s' is to be written twice", spec->name);
    }
    if (json_object_set_new(header, spec->name, entry) != 0)
        return sw_fail(SW_EINPUT, "tensor '%s': its name is not UTF-8", spec->name);
    *offset = end;
    return SW_OK;
}

/*
 * The JSON text, padded with spaces so that the data begins at a multiple of 8. Not by json_dumps,
 * which may silently leave out a part of the text when memory is short.
 */
static enum sw_status header_dump(const json_t *header, char **text)
{
    const size_t length = json_dumpb(header, NULL, 0, JSON_COMPACT);
    const size_t padded = (size_t)sw_round_up(length, 8);
    if (padded > SW_SAFETENSORS_HEADER_MAX)
        return sw_fail(SW_EINPUT, "needs a header of %zu bytes, at most %u are legal", padded,
                       SW_SAFETENSORS_HEADER_MAX);
    char *buffer = length > 0 ? malloc(padded + 1) : NULL;
    if (!buffer || json_dumpb(header, buffer, length, JSON_COMPACT) != length) {
        free(buffer);
        return sw_fail(SW_ENOMEM, "no memory for the header of a safetensors file");
    }
    memset(buffer + length, ' ', padded - length);
    buffer[padded] = '\0';
    *text = buffer;
    return SW_OK;
}

static enum sw_status make_header(const struct sw_safetensors_spec *specs, size_t n, char **text,
                                  uint64_t *data_size)
{
    enum sw_status status = SW_OK;
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    if (!header)
        return sw_fail(SW_ENOMEM, "no memory for the header of a safetensors file");
    *data_size = 0;
    for (size_t i = 0; i < n && status == SW_OK; i++)
        status = header_add_spec(header, &specs[i], data_size);
    *text = NULL;
    if (status == SW_OK)
        status = header_dump(header, text);
    json_decref(header);
    return status;
}

enum sw_status sw_safetensors_header(const struct sw_safetensors_spec *specs, size_t n,
                                     struct sw_strbuf *out, uint64_t *data)
{
    char *text, length[8];
    uint64_t bytes;
    SW_TRY(make_header(specs, n, &text, &bytes));
    const size_t n_text = strlen(text);
    for (int i = 0; i < 8; i++)
        length[i] = (char)(n_text >> (8 * i) & 255);
    sw_strbuf_append(out, length, sizeof length);
    sw_strbuf_append(out, text, n_text);
    free(text);
    *data += bytes;
    return out->failed ? sw_fail(SW_ENOMEM, "no memory for the header of a safetensors file")
                       : SW_OK;
}

static enum sw_status writer_write_bytes(struct sw_safetensors_writer *w, const char *data,
                                         size_t bytes)
{
    while (bytes > 0) {
        const ssize_t n = write(w->fd, data, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return w->status =
                       sw_fail(SW_EIO, "%s: cannot be written: %s", w->path, strerror(errno));
        data += n;
        bytes -= (size_t)n;
    }
    return SW_OK;
}

static enum sw_status writer_flush(struct sw_safetensors_writer *w)
{
    const size_t n = w->buffered;
    w->buffered = 0;
    return writer_write_bytes(w, w->buffer, n);
}

static enum sw_status writer_append(struct sw_safetensors_writer *w, const char *data, size_t bytes)
{
    if (bytes > BUFFER_BYTES - w->buffered)
        SW_TRY(writer_flush(w));
    if (bytes >= BUFFER_BYTES)
        return writer_write_bytes(w, data, bytes);
    memcpy(w->buffer + w->buffered, data, bytes);
    w->buffered += bytes;
    return SW_OK;
}

static enum sw_status writer_open_file(struct sw_safetensors_writer *w, const char *path)
{
    struct stat st;
    w->path = strdup(path);
    if (!w->path)
        return sw_fail(SW_ENOMEM, "no memory for a path");
    if (sw_file_write_descriptor(path) >= 0 || (stat(path, &st) == 0 && !S_ISREG(st.st_mode)))
        return sw_file_write_open(path, SW_WRITE_ANEW, &w->fd);
    if (asprintf(&w->temporary, "%s.%ld.part", path, (long)getpid()) < 0) {
        w->temporary = NULL;
        return sw_fail(SW_ENOMEM, "no memory for a path");
    }
    return sw_file_write_new(w->temporary, &w->fd);
}

enum sw_status sw_safetensors_writer_open(const char *path, const struct sw_safetensors_spec *specs,
                                          size_t n, struct sw_safetensors_writer **out)
{
    char *text = NULL, length[8];
    struct sw_safetensors_writer *w = malloc(sizeof *w);
    if (!w)
        return sw_fail(SW_ENOMEM, "no memory for writing %s", path);
    w->path = w->temporary = NULL;
    w->fd = -1;
    w->status = SW_OK;
    w->buffered = 0;
    enum sw_status status = make_header(specs, n, &text, &w->left);
    if (status != SW_OK) {
        sw_error_context("%s", path);
        goto undo_writer;
    }
    status = writer_open_file(w, path);
    if (status != SW_OK)
        goto undo_header;
    const size_t n_text = strlen(text);
    for (int i = 0; i < 8; i++)
        length[i] = (char)(n_text >> (8 * i) & 255);
    status = writer_append(w, length, sizeof length);
    if (status == SW_OK)
        status = writer_append(w, text, n_text);
    if (status != SW_OK)
        goto undo_header;
    free(text);
    *out = w;
    return SW_OK;
undo_header:
    free(text);
undo_writer:
    sw_safetensors_writer_abort(w);
    return status;
}

enum sw_status sw_safetensors_writer_write(struct sw_safetensors_writer *w, const void *data,
                                           size_t bytes)
{
    if (w->status != SW_OK)
        return sw_fail(w->status, "%s: an earlier write failed", w->path);
    if (bytes > w->left)
        return w->status = sw_fail(SW_EINPUT, "%s: %zu bytes are to be written, %llu are left",
                                   w->path, bytes, (unsigned long long)w->left);
    w->left -= bytes;
    return writer_append(w, data, bytes);
}

/* Makes the new name survive a power cut; file systems that do not support this are ignored. */
static void sync_folder(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return;
    const int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(copy);
}

static enum sw_status writer_finish(struct sw_safetensors_writer *w)
{
    if (w->status != SW_OK)
        return sw_fail(w->status, "%s: an earlier write failed, nothing was kept", w->path);
    if (w->left > 0)
        return sw_fail(SW_EINPUT, "%s: %llu bytes of its tensors were not written", w->path,
                       (unsigned long long)w->left);
    SW_TRY(writer_flush(w));
    if (w->temporary && fsync(w->fd) != 0)
        return sw_fail(SW_EIO, "%s: cannot be written: %s", w->path, strerror(errno));
    const int fd = w->fd;
    w->fd = -1;
    if (close(fd) != 0)
        return sw_fail(SW_EIO, "%s: cannot be written: %s", w->path, strerror(errno));
    if (w->temporary && rename(w->temporary, w->path) != 0)
        return sw_fail(SW_EIO, "%s: cannot be renamed from %s: %s", w->path, w->temporary,
                       strerror(errno));
    if (w->temporary)
        sync_folder(w->path);
    free(w->temporary);
    w->temporary = NULL;
    return SW_OK;
}

enum sw_status sw_safetensors_writer_close(struct sw_safetensors_writer *w)
{
    const enum sw_status status = writer_finish(w);
    sw_safetensors_writer_abort(w);
    return status;
}

void sw_safetensors_writer_abort(struct sw_safetensors_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    if (w->temporary)
        unlink(w->temporary);
    free(w->temporary);
    free(w->path);
    free(w);
}
