/*
 * Owns the reading of zip directories. Sizes come from the central directory, because torch leaves
 * them out of the local headers; of these only the lengths of name and extra field are used.
 */
#include "checkpoint/zip_stored.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define END_BYTES 22
#define END_MAX (END_BYTES + 65535) /* with the longest comment */
#define LOCATOR_BYTES 20
#define END64_BYTES 56
#define CENTRAL_BYTES 46
#define LOCAL_BYTES 30
#define DIRECTORY_MAX ((uint64_t)256 << 20)

static uint64_t read_le(const uint8_t *p, size_t n)
{
    uint64_t value = 0;
    while (n-- > 0)
        value = value << 8 | p[n];
    return value;
}

struct zip_directory {
    uint64_t offset, size, count;
};

/* Reads the 64-bit end record; the locator just before the end record has its offset. */
static enum sw_status read_end64(const struct sw_source *source, uint64_t end,
                                 struct zip_directory *out)
{
    uint8_t locator[LOCATOR_BYTES], record[END64_BYTES];
    if (end < LOCATOR_BYTES)
        return sw_fail(SW_EMODEL, "its zip64 end record is missing; it is damaged");
    SW_TRY(sw_source_read(source, end - LOCATOR_BYTES, locator, sizeof locator));
    if (memcmp(locator, "PK\6\7", 4) != 0)
        return sw_fail(SW_EMODEL, "its zip64 end record is missing; it is damaged");
    SW_TRY(sw_source_read(source, read_le(locator + 8, 8), record, sizeof record));
    if (memcmp(record, "PK\6\6", 4) != 0)
        return sw_fail(SW_EMODEL, "its zip64 end record is not at byte %llu; it is damaged",
                       (unsigned long long)read_le(locator + 8, 8));
    *out = (struct zip_directory){read_le(record + 48, 8), read_le(record + 40, 8),
                                  read_le(record + 32, 8)};
    return SW_OK;
}

static enum sw_status find_directory(const struct sw_source *source, struct zip_directory *out)
{
    const size_t n = source->size < END_MAX ? (size_t)source->size : END_MAX;
    void *tail = NULL;
    SW_TRY(sw_source_read_new(source, source->size - n, n, &tail));
    const uint8_t *found = NULL;
    for (size_t at = n; at-- > 0 && !found;) {
        const uint8_t *p = (const uint8_t *)tail + at;
        if (n - at >= END_BYTES && memcmp(p, "PK\5\6", 4) == 0 &&
            read_le(p + 20, 2) == n - at - END_BYTES)
            found = p;
    }
    enum sw_status status = SW_OK;
    if (!found) {
        status = sw_fail(SW_EMODEL, "begins as a zip but has no zip directory at its end; it is "
                                    "truncated, copy it again");
    } else {
        const uint64_t end = source->size - n + (uint64_t)(found - (const uint8_t *)tail);
        *out = (struct zip_directory){read_le(found + 16, 4), read_le(found + 12, 4),
                                      read_le(found + 10, 2)};
        if (read_le(found + 4, 2) != 0 && read_le(found + 4, 2) != 0xffff)
            status = sw_fail(SW_EMODEL, "is one part of a zip in several parts");
        else if (out->count == 0xffff || out->size == 0xffffffff || out->offset == 0xffffffff)
            status = read_end64(source, end, out);
        if (status == SW_OK &&
            (out->offset > end || out->size > end - out->offset || out->size > DIRECTORY_MAX ||
             out->count > out->size / CENTRAL_BYTES))
            status = sw_fail(SW_EMODEL,
                             "its zip directory (%llu entries, %llu bytes at byte %llu) does not "
                             "fit in front of its end at byte %llu; it is damaged, copy it again",
                             (unsigned long long)out->count, (unsigned long long)out->size,
                             (unsigned long long)out->offset, (unsigned long long)end);
    }
    free(tail);
    return status;
}

/* Fields of all ones have their real value in the extra field 1, in this order. */
static enum sw_status read_extra64(const uint8_t *extra, size_t n, uint64_t *const fields[3])
{
    while (n >= 4) {
        const size_t size = (size_t)read_le(extra + 2, 2);
        if (size > n - 4)
            break;
        if (read_le(extra, 2) == 1) {
            size_t at = 0;
            for (int i = 0; i < 3; i++) {
                if (*fields[i] != 0xffffffff)
                    continue;
                if (size - at < 8)
                    return sw_fail(SW_EMODEL, "its zip64 sizes are cut short");
                *fields[i] = read_le(extra + 4 + at, 8);
                at += 8;
            }
            return SW_OK;
        }
        extra += 4 + size;
        n -= 4 + size;
    }
    return sw_fail(SW_EMODEL, "its zip64 sizes are missing");
}

/* Reads one central header of `left` bytes at most; *used is its length. */
static enum sw_status read_entry(const uint8_t *p, size_t left, struct sw_zip_entry *entry,
                                 size_t *used)
{
    if (left < CENTRAL_BYTES || memcmp(p, "PK\1\2", 4) != 0)
        return sw_fail(SW_EMODEL, "its zip directory is damaged");
    const size_t n_name = (size_t)read_le(p + 28, 2), n_extra = (size_t)read_le(p + 30, 2);
    *used = CENTRAL_BYTES + n_name + n_extra + (size_t)read_le(p + 32, 2);
    if (*used > left)
        return sw_fail(SW_EMODEL, "its zip directory is damaged");
    uint64_t compressed = read_le(p + 20, 4);
    *entry = (struct sw_zip_entry){(const char *)p + CENTRAL_BYTES, n_name, read_le(p + 24, 4),
                                   read_le(p + 42, 4)};
    uint64_t *const fields[3] = {&entry->size, &compressed, &entry->local};
    const bool big =
        entry->size == 0xffffffff || compressed == 0xffffffff || entry->local == 0xffffffff;
    enum sw_status status = SW_OK;
    if (big)
        status = read_extra64(p + CENTRAL_BYTES + n_name, n_extra, fields);
    if (status == SW_OK && (read_le(p + 8, 2) & 1))
        status = sw_fail(SW_EMODEL, "is encrypted");
    if (status == SW_OK && (read_le(p + 10, 2) != 0 || compressed != entry->size))
        status = sw_fail(SW_EMODEL,
                         "is compressed (method %d); torch does not compress, so the file was "
                         "packed again: unpack it and save it with torch.save",
                         (int)read_le(p + 10, 2));
    if (status != SW_OK)
        sw_error_context("zip entry '%.*s'", (int)(n_name < 200 ? n_name : 200), entry->name);
    return status;
}

static int compare_names(const char *a, size_t n_a, const char *b, size_t n_b)
{
    const int order = memcmp(a, b, n_a < n_b ? n_a : n_b);
    return order ? order : (n_a > n_b) - (n_a < n_b);
}

static int compare_entries(const void *a, const void *b)
{
    const struct sw_zip_entry *x = a, *y = b;
    return compare_names(x->name, x->name_length, y->name, y->name_length);
}

static enum sw_status read_entries(struct sw_zip *zip, size_t size, size_t count)
{
    const uint8_t *p = zip->directory;
    zip->entries = malloc((count + 1) * sizeof *zip->entries);
    if (!zip->entries)
        return sw_fail(SW_ENOMEM, "no memory for its %zu zip entries", count);
    while (zip->count < count) {
        size_t used = 0;
        SW_TRY(read_entry(p, size, &zip->entries[zip->count], &used));
        zip->count++;
        p += used;
        size -= used;
    }
    qsort(zip->entries, zip->count, sizeof *zip->entries, compare_entries);
    for (size_t i = 1; i < zip->count; i++)
        if (compare_entries(&zip->entries[i - 1], &zip->entries[i]) == 0)
            return sw_fail(SW_EMODEL, "holds '%.*s' twice",
                           (int)(zip->entries[i].name_length % 200), zip->entries[i].name);
    return SW_OK;
}

enum sw_status sw_zip_read(const struct sw_source *source, struct sw_zip *out)
{
    struct zip_directory where = {0};
    *out = (struct sw_zip){0};
    SW_TRY(find_directory(source, &where));
    SW_TRY(sw_source_read_new(source, where.offset, (size_t)where.size, &out->directory));
    const enum sw_status status = read_entries(out, (size_t)where.size, (size_t)where.count);
    if (status != SW_OK)
        sw_zip_free(out);
    return status;
}

const struct sw_zip_entry *sw_zip_find(const struct sw_zip *zip, const char *name, size_t length)
{
    const struct sw_zip_entry key = {.name = name, .name_length = length};
    return zip->count ? bsearch(&key, zip->entries, zip->count, sizeof key, compare_entries) : NULL;
}

enum sw_status sw_zip_locate(const struct sw_source *source, const struct sw_zip_entry *entry,
                             uint64_t *offset)
{
    uint8_t local[LOCAL_BYTES];
    const int n = (int)(entry->name_length < 200 ? entry->name_length : 200);
    SW_TRY(sw_source_read(source, entry->local, local, sizeof local));
    if (memcmp(local, "PK\3\4", 4) != 0)
        return sw_fail(SW_EMODEL, "zip entry '%.*s' has no header at byte %llu; it is damaged", n,
                       entry->name, (unsigned long long)entry->local);
    *offset = entry->local + LOCAL_BYTES + read_le(local + 26, 2) + read_le(local + 28, 2);
    if (*offset > source->size || entry->size > source->size - *offset)
        return sw_fail(SW_EMODEL,
                       "zip entry '%.*s' has %llu bytes at byte %llu, but the file has %llu; it is "
                       "truncated, copy it again",
                       n, entry->name, (unsigned long long)entry->size, (unsigned long long)*offset,
                       (unsigned long long)source->size);
    return SW_OK;
}

void sw_zip_free(struct sw_zip *zip)
{
    free(zip->entries);
    free(zip->directory);
    *zip = (struct sw_zip){0};
}
