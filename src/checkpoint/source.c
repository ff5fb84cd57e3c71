/* Owns the two kinds of byte source that header parsers read from. */
#include "checkpoint/source.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum sw_status sw_source_open(const char *path, struct sw_source *out)
{
    uint64_t size;
    int fd;
    SW_TRY(sw_file_open(path, &fd, &size));
    /* Headers are a few KB in files of many GB: this keeps the kernel from reading ahead. */
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    *out = (struct sw_source){.path = path, .size = size, .fd = fd};
    return SW_OK;
}

struct sw_source sw_source_of_memory(const char *name, const void *bytes, size_t size)
{
    return (struct sw_source){.path = name, .size = size, .fd = -1, .bytes = bytes};
}

void sw_source_close(struct sw_source *source)
{
    if (source->fd >= 0)
        close(source->fd);
    source->fd = -1;
}

enum sw_status sw_source_read(const struct sw_source *source, uint64_t offset, void *out,
                              size_t length)
{
    if (offset > source->size || length > source->size - offset)
        return sw_fail(SW_EMODEL,
                       "%s: %zu bytes at byte %llu are needed, but the file has %llu bytes; it is "
                       "truncated or damaged, copy it again",
                       source->path, length, (unsigned long long)offset,
                       (unsigned long long)source->size);
    if (source->fd >= 0)
        return sw_file_read_at(source->fd, source->path, offset, out, length);
    if (out && length > 0) /* for an empty source, out or bytes may be NULL */
        memcpy(out, (const char *)source->bytes + offset, length);
    return SW_OK;
}

enum sw_status sw_source_read_new(const struct sw_source *source, uint64_t offset, size_t length,
                                  void **out)
{
    if (length > source->size) /* before memory is allocated */
        return sw_source_read(source, offset, NULL, length);
    char *buffer = malloc(length + 1);
    if (!buffer)
        return sw_fail(SW_ENOMEM, "%s: no memory for %zu bytes of its header", source->path,
                       length);
    const enum sw_status status = sw_source_read(source, offset, buffer, length);
    if (status != SW_OK) {
        free(buffer);
        return status;
    }
    buffer[length] = '\0';
    *out = buffer;
    return SW_OK;
}
