/*
 * Reads the directory of a zip file whose entries are stored, not compressed, as torch writes them
 * (PKWARE APPNOTE.TXT, with zip64). Only names and offsets are read, never contents.
 */
#ifndef SW_CHECKPOINT_ZIP_STORED_H
#define SW_CHECKPOINT_ZIP_STORED_H

#include "base/status.h"
#include "checkpoint/source.h"

#include <stddef.h>
#include <stdint.h>

struct sw_zip_entry {
    const char *name; /* (name_length), no NUL at its end, in sw_zip.directory */
    size_t name_length;
    uint64_t size;  /* bytes of the entry */
    uint64_t local; /* offset of the local header */
};

struct sw_zip {
    struct sw_zip_entry *entries; /* (count), sorted by name */
    size_t count;
    void *directory;
};

/*
 * Reads the central directory. SW_EMODEL: not a zip, truncated, one in several parts, a compressed
 * or encrypted entry, a name twice. The caller frees `out` with sw_zip_free.
 */
enum sw_status sw_zip_read(const struct sw_source *source, struct sw_zip *out);
/* The entry of that name, (length) bytes; NULL: there is none. */
const struct sw_zip_entry *sw_zip_find(const struct sw_zip *zip, const char *name, size_t length);
/* Writes the offset of the entry's first byte. SW_EMODEL when it does not lie inside the file. */
enum sw_status sw_zip_locate(const struct sw_source *source, const struct sw_zip_entry *entry,
                             uint64_t *offset);
void sw_zip_free(struct sw_zip *zip);

#endif
