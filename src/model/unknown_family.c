/* Owns what is said of a family that has no row. */
#include "model/unknown_family.h"

#include "base/strbuf.h"
#include "model/arch.h"

#include <stdlib.h>
#include <string.h>

#define KEYS_SHOWN 12

/* Keys that say nothing of what is computed, by parts of their names. */
static const char *const idle[] = {"architectures", "_token",
                                   "dropout",       "_pdrop",
                                   "initializer",   "dtype",
                                   "transformers",  "use_cache",
                                   "auto_map",      "_name_or_path",
                                   "model_type",    "aux_loss",
                                   "output_",       "return_",
                                   "id2label",      "label2id",
                                   "problem_type",  "pretraining_tp",
                                   "tokenizer",     "task_",
                                   "language",      "quantization_config",
                                   "jitter",        "is_decoder"};

static bool unknown_is_idle(const char *key)
{
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++)
        if (strstr(key, idle[i]))
            return true;
    return key[0] == '_';
}

static bool unknown_reads(const struct sw_arch *row, const char *name)
{
    for (int k = 0; k < SW_KEY_COUNT; k++) {
        const struct sw_arch_key *key = &row->keys[k];
        if ((key->name && strcmp(key->name, name) == 0) ||
            (key->other && strcmp(key->other, name) == 0))
            return true;
    }
    return false;
}

/* Keys of the config that the row reads, less those of its own that the config lacks. */
static int unknown_likeness(const struct sw_arch *row, const json_t *root)
{
    const char *name;
    json_t *value;
    int likeness = 0;
    json_object_foreach((json_t *)(uintptr_t)root, name, value) likeness +=
        2 * unknown_reads(row, name);
    for (int k = 0; k < SW_KEY_COUNT; k++)
        likeness -= row->keys[k].name && !json_object_get(root, row->keys[k].name) &&
                    !(row->keys[k].other && json_object_get(root, row->keys[k].other));
    return likeness;
}

static const struct sw_arch *unknown_nearest(const json_t *root)
{
    const struct sw_arch *row, *best = NULL;
    int most = 0;
    for (int i = 0; (row = sw_arch_row(i)); i++) {
        const int likeness = unknown_likeness(row, root);
        if (likeness > most) {
            best = row;
            most = likeness;
        }
    }
    return best;
}

static void unknown_describe(const struct sw_arch *nearest, const json_t *root,
                             struct sw_strbuf *out)
{
    const char *name;
    json_t *value;
    int n = 0;
    sw_strbuf_printf(out, "; the nearest known one is %s", nearest->model_type);
    json_object_foreach((json_t *)(uintptr_t)root, name, value)
    {
        if (unknown_is_idle(name) || json_is_null(value) || unknown_reads(nearest, name))
            continue;
        n++;
        if (n <= KEYS_SHOWN)
            sw_strbuf_printf(out, "%s'%.60s'", n == 1 ? ", which would not read " : ", ", name);
    }
    if (n > KEYS_SHOWN)
        sw_strbuf_printf(out, " and %d more", n - KEYS_SHOWN);
}

enum sw_status sw_family_unknown(const json_t *root, const char *type)
{
    struct sw_strbuf text = {0};
    const struct sw_arch *row, *nearest = unknown_nearest(root);
    if (nearest)
        unknown_describe(nearest, root, &text);
    sw_strbuf_printf(&text, "; known families: ");
    for (int i = 0; (row = sw_arch_row(i)); i++)
        sw_strbuf_printf(&text, "%s%s", i ? ", " : "", row->model_type);
    const enum sw_status status =
        text.failed
            ? sw_fail(SW_ENOMEM, "no memory for the names of families")
            : sw_fail(SW_EMODEL, "model family '%.80s' is not supported%s", type, text.text);
    free(text.text);
    return status;
}
