/* Owns torch's zip form: <root>/data.pkl, <root>/data/<key> for each storage. */
#include "checkpoint/torch.h"

#include "checkpoint/torch_objects.h"
#include "checkpoint/torch_pickle.h"
#include "checkpoint/zip_stored.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct torch_archive {
    const struct sw_source *source;
    struct sw_zip zip;
    const char *root; /* up to and with its '/', not NUL-terminated */
    size_t n_root;
};

bool sw_torch_is_zip(const uint8_t *bytes, size_t length)
{
    return length >= 4 && memcmp(bytes, "PK\3\4", 4) == 0;
}

/* The entry <root><name>; NULL when it is not there. */
static const struct sw_zip_entry *find_in_archive(const struct torch_archive *a, const char *name,
                                                  size_t n)
{
    char path[1024];
    if (a->n_root + n > sizeof path)
        return NULL;
    memcpy(path, a->root, a->n_root);
    memcpy(path + a->n_root, name, n);
    return sw_zip_find(&a->zip, path, a->n_root + n);
}

static enum sw_status find_archive_root(struct torch_archive *a)
{
    static const char end[] = "/data.pkl";
    const size_t n_end = sizeof end - 1;
    for (size_t i = 0; i < a->zip.count; i++) {
        const struct sw_zip_entry *e = &a->zip.entries[i];
        if (e->name_length > n_end && memcmp(e->name + e->name_length - n_end, end, n_end) == 0) {
            a->root = e->name;
            a->n_root = e->name_length - n_end + 1;
            break;
        }
    }
    if (!a->root)
        return sw_fail(SW_EMODEL, "is a zip without a data.pkl: no torch file");
    if (find_in_archive(a, "constants.pkl", strlen("constants.pkl")))
        return sw_fail(SW_EMODEL, "is a TorchScript program; only state dicts are read");
    return SW_OK;
}

static enum sw_status check_byte_order(const struct torch_archive *a)
{
    const struct sw_zip_entry *e = find_in_archive(a, "byteorder", strlen("byteorder"));
    char text[8] = "";
    uint64_t offset = 0;
    if (!e)
        return SW_OK;
    SW_TRY(sw_zip_locate(a->source, e, &offset));
    const size_t n = e->size < sizeof text - 1 ? (size_t)e->size : sizeof text - 1;
    SW_TRY(sw_source_read(a->source, offset, text, n));
    if (strncmp(text, "little", 6) != 0)
        return sw_fail(SW_EMODEL, "its byte order is \"%.7s\", expected \"little\"", text);
    return SW_OK;
}

static enum sw_status archive_locate(void *context, const struct sw_torch_storage *storage,
                                     uint64_t *offset, uint64_t *bytes)
{
    const struct torch_archive *a = context;
    char name[256];
    const int n = (int)(storage->key_length < 200 ? storage->key_length : 200);
    const int length = snprintf(name, sizeof name, "data/%.*s", n, storage->key);
    const struct sw_zip_entry *e = find_in_archive(a, name, (size_t)length);
    if (!e)
        return sw_fail(SW_EMODEL, "its storage '%.*s' is not in the file", n, storage->key);
    *bytes = e->size;
    return sw_zip_locate(a->source, e, offset);
}

static enum sw_status read_archive_state(struct torch_archive *a, int file, struct sw_tensors *out)
{
    const struct sw_zip_entry *e = find_in_archive(a, "data.pkl", strlen("data.pkl"));
    struct sw_pickle pickle;
    uint64_t offset = 0;
    void *bytes = NULL;
    if (!e || e->size > SW_PICKLE_BYTES_MAX)
        return sw_fail(SW_EMODEL, "its data.pkl has %llu bytes, at most %zu are read",
                       (unsigned long long)(e ? e->size : 0), SW_PICKLE_BYTES_MAX);
    SW_TRY(sw_zip_locate(a->source, e, &offset));
    SW_TRY(sw_source_read_new(a->source, offset, (size_t)e->size, &bytes));
    enum sw_status status = sw_pickle_parse(bytes, (size_t)e->size, &pickle);
    if (status == SW_OK)
        status = sw_torch_add_state(&pickle.top, file, archive_locate, a, out);
    sw_pickle_free(&pickle);
    free(bytes);
    return status;
}

enum sw_status sw_torch_zip_read(const struct sw_source *source, int file, struct sw_tensors *out)
{
    struct torch_archive a = {.source = source};
    enum sw_status status = sw_zip_read(source, &a.zip);
    if (status == SW_OK)
        status = find_archive_root(&a);
    if (status == SW_OK)
        status = check_byte_order(&a);
    if (status == SW_OK)
        status = read_archive_state(&a, file, out);
    if (status != SW_OK)
        sw_error_context("%s", source->path);
    sw_zip_free(&a.zip);
    return status;
}
