/*
 * Owns torch's format before 1.6: pickles of a magic number, a version, facts about the machine,
 * the state dict and the list of storage keys; then each storage: i64 LE element count and data.
 */
#include "checkpoint/torch.h"

#include "base/checked.h"
#include "checkpoint/torch_objects.h"
#include "checkpoint/torch_pickle.h"

#include <stdlib.h>
#include <string.h>

/* PROTO 2, LONG1 of ten bytes: 0x1950a86a20f9469cfc6c, STOP */
static const uint8_t magic[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e};

/* Most headers fit this; the window is doubled until the pickles end in it. */
#define FIRST_WINDOW ((size_t)1 << 20)

enum { MAGIC, VERSION, FACTS, STATE, KEYS, N_PICKLES };

struct storage_place {
    const char *key; /* in the window, not NUL-terminated */
    size_t key_length;
    uint64_t item; /* bytes of an element; 0: no tensor uses it */
    uint64_t offset, bytes;
};

struct legacy_file {
    const struct sw_source *source;
    void *window;
    struct sw_pickle pickles[N_PICKLES];
    uint64_t data;                /* offset of the first storage */
    struct storage_place *by_key; /* (n_storages), sorted by key */
    size_t n_storages;
};

bool sw_torch_is_legacy(const uint8_t *bytes, size_t length)
{
    return length >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

static void free_pickles(struct legacy_file *s)
{
    for (int i = 0; i < N_PICKLES; i++) {
        sw_pickle_free(&s->pickles[i]);
        s->pickles[i] = (struct sw_pickle){0};
    }
}

static enum sw_status parse_window(struct legacy_file *s, size_t size, bool *truncated)
{
    size_t at = 0;
    for (int i = 0; i < N_PICKLES; i++) {
        const enum sw_status status =
            sw_pickle_parse((const char *)s->window + at, size - at, &s->pickles[i]);
        if (status != SW_OK) {
            *truncated = s->pickles[i].truncated;
            return status;
        }
        at += s->pickles[i].used;
    }
    s->data = at;
    return SW_OK;
}

static enum sw_status read_pickles(struct legacy_file *s)
{
    size_t size = FIRST_WINDOW;
    for (;;) {
        if (size > s->source->size)
            size = (size_t)s->source->size;
        SW_TRY(sw_source_read_new(s->source, 0, size, &s->window));
        bool truncated = false;
        const enum sw_status status = parse_window(s, size, &truncated);
        if (status == SW_OK || !truncated || size == s->source->size)
            return status;
        if (2 * size > SW_PICKLE_BYTES_MAX)
            return sw_fail(SW_EMODEL, "its pickles have more than %zu bytes", size);
        free_pickles(s);
        free(s->window);
        s->window = NULL;
        size *= 2;
    }
}

static enum sw_status check_machine(const struct legacy_file *s)
{
    const struct sw_pickle_value *version = &s->pickles[VERSION].top,
                                 *facts = &s->pickles[FACTS].top;
    if (version->kind != SW_PICKLE_INT || version->as.integer != 1001)
        return sw_fail(SW_EMODEL, "is of torch's stream version %lld, expected 1001",
                       version->kind == SW_PICKLE_INT ? (long long)version->as.integer : -1);
    if (facts->kind == SW_PICKLE_DICT)
        for (size_t i = 0; i + 1 < facts->as.seq->count; i += 2) {
            const struct sw_pickle_value *item = &facts->as.seq->items[i];
            if (sw_pickle_is_text(&item[0], "little_endian"))
                return item[1].kind == SW_PICKLE_BOOL && item[1].as.integer == 1
                           ? SW_OK
                           : sw_fail(SW_EMODEL, "its byte order is big, expected little");
        }
    return sw_fail(SW_EMODEL, "does not state its byte order; it is damaged");
}

static int compare_keys(const void *a, const void *b)
{
    const struct storage_place *x = a, *y = b;
    const size_t n = x->key_length < y->key_length ? x->key_length : y->key_length;
    const int order = memcmp(x->key, y->key, n);
    return order ? order : (x->key_length > y->key_length) - (x->key_length < y->key_length);
}

static struct storage_place *find_storage(const struct legacy_file *s, const char *key,
                                          size_t length)
{
    const struct storage_place wanted = {.key = key, .key_length = length};
    return s->n_storages ? bsearch(&wanted, s->by_key, s->n_storages, sizeof wanted, compare_keys)
                         : NULL;
}

/* Element sizes are known only from the storages that the state dict's pickle names. */
static enum sw_status set_element_sizes(struct legacy_file *s)
{
    for (const struct sw_torch_storage *t = s->pickles[STATE].storages; t; t = t->next) {
        struct storage_place *place = find_storage(s, t->key, t->key_length);
        if (!place)
            return sw_fail(SW_EMODEL, "storage '%.*s' is used but not in the list of keys",
                           (int)(t->key_length < 100 ? t->key_length : 100), t->key);
        const uint64_t item = sw_dtype_info(t->dtype)->bits / 8;
        if (place->item != 0 && place->item != item)
            return sw_fail(SW_EMODEL, "storage '%.*s' is used with two element sizes",
                           (int)(t->key_length < 100 ? t->key_length : 100), t->key);
        place->item = item;
    }
    return SW_OK;
}

/* Finds the offsets of the storages in file order: each begins where the one before it ends. */
static enum sw_status locate_storages(struct legacy_file *s)
{
    const struct sw_pickle_seq *keys = s->pickles[KEYS].top.as.seq;
    uint64_t at = s->data;
    for (size_t i = 0; i < keys->count; i++) {
        const char *key = keys->items[i].as.text;
        const size_t n = keys->items[i].length;
        struct storage_place *place = find_storage(s, key, n);
        uint8_t raw[8];
        uint64_t count = 0, bytes;
        if (place->item == 0)
            return sw_fail(SW_EMODEL, "storage '%.*s' is used by nothing, so its size is not known",
                           (int)(n < 100 ? n : 100), key);
        SW_TRY(sw_source_read(s->source, at, raw, sizeof raw));
        for (size_t b = sizeof raw; b-- > 0;)
            count = count << 8 | raw[b];
        at += sizeof raw;
        if (!sw_mul_u64(count, place->item, &bytes) || bytes > s->source->size - at)
            return sw_fail(SW_EMODEL,
                           "storage '%.*s' has %llu elements of %llu bytes at byte %llu, but the "
                           "file has %llu bytes; it is truncated, copy it again",
                           (int)(n < 100 ? n : 100), key, (unsigned long long)count,
                           (unsigned long long)place->item, (unsigned long long)at,
                           (unsigned long long)s->source->size);
        place->offset = at;
        place->bytes = bytes;
        at += bytes;
    }
    if (at != s->source->size)
        return sw_fail(SW_EMODEL, "has %llu bytes after its last storage; it is damaged",
                       (unsigned long long)(s->source->size - at));
    return SW_OK;
}

static enum sw_status read_storage_list(struct legacy_file *s)
{
    const struct sw_pickle_value *list = &s->pickles[KEYS].top;
    if (list->kind != SW_PICKLE_LIST)
        return sw_fail(SW_EMODEL, "its list of storage keys is not a list");
    const size_t n = list->as.seq->count;
    s->by_key = calloc(n + 1, sizeof *s->by_key);
    if (!s->by_key)
        return sw_fail(SW_ENOMEM, "no memory for %zu storages", n);
    for (size_t i = 0; i < n; i++) {
        const struct sw_pickle_value *key = &list->as.seq->items[i];
        if (key->kind != SW_PICKLE_STRING)
            return sw_fail(SW_EMODEL, "its list of storage keys has an item that is not a text");
        s->by_key[i] = (struct storage_place){.key = key->as.text, .key_length = key->length};
    }
    s->n_storages = n;
    qsort(s->by_key, n, sizeof *s->by_key, compare_keys);
    for (size_t i = 1; i < n; i++)
        if (compare_keys(&s->by_key[i - 1], &s->by_key[i]) == 0)
            return sw_fail(SW_EMODEL, "its list of storage keys has one twice");
    SW_TRY(set_element_sizes(s));
    return locate_storages(s);
}

static enum sw_status legacy_locate(void *context, const struct sw_torch_storage *storage,
                                    uint64_t *offset, uint64_t *bytes)
{
    const struct storage_place *place = find_storage(context, storage->key, storage->key_length);
    if (!place)
        return sw_fail(SW_EMODEL, "its storage is not in the list of keys");
    *offset = place->offset;
    *bytes = place->bytes;
    return SW_OK;
}

enum sw_status sw_torch_legacy_read(const struct sw_source *source, int file,
                                    struct sw_tensors *out)
{
    struct legacy_file s = {.source = source};
    enum sw_status status = read_pickles(&s);
    if (status == SW_OK)
        status = check_machine(&s);
    if (status == SW_OK)
        status = read_storage_list(&s);
    if (status == SW_OK)
        status = sw_torch_add_state(&s.pickles[STATE].top, file, legacy_locate, &s, out);
    if (status != SW_OK)
        sw_error_context("%s", source->path);
    free_pickles(&s);
    free(s.by_key);
    free(s.window);
    return status;
}
