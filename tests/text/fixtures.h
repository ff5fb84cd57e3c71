/* Folders with a tokenizer's files under the names a model has them, made for one test. */
#ifndef SW_TESTS_TEXT_FIXTURES_H
#define SW_TESTS_TEXT_FIXTURES_H

#include "text/detokenizer.h"
#include "text/tokenizer.h"
#include "unit.h"

#include <dirent.h>
#include <jansson.h>
#include <unistd.h>

/* A temporary folder; release with fixture_remove. */
static inline char *fixture_make(void)
{
    char *dir = strdup("/tmp/spillway-text-XXXXXX");
    if (!dir || !mkdtemp(dir))
        abort();
    return dir;
}

static inline void fixture_remove(char *dir)
{
    char path[4096];
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
    free(dir);
}

static inline void fixture_write(const char *dir, const char *name, const void *bytes, size_t n)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0)
        abort();
}

static inline void fixture_drop(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    unlink(path);
}

static inline void fixture_puts(const char *dir, const char *name, const char *text)
{
    fixture_write(dir, name, text, strlen(text));
}

/* Puts the shared file `source` into the folder as `name`. False when it is not here. */
static inline bool fixture_link(const char *dir, const char *name, const char *source)
{
    char path[4096];
    const char *from = sw_unit_shared(source);
    if (!from)
        return false;
    char *real = realpath(from, NULL);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    const bool good = real && symlink(real, path) == 0;
    free(real);
    return good;
}

static inline struct sw_tokenizer *fixture_open(const char *dir)
{
    struct sw_tokenizer *tok = NULL;
    const enum sw_status status = sw_tokenizer_open(dir, &tok);
    if (status != SW_OK)
        printf("    %s (%s)\n", sw_error_message(), sw_error_where());
    CU_ASSERT_EQUAL(status, SW_OK);
    return tok;
}

static inline char *fixture_read(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        abort();
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*n + 1);
    if (!bytes || fread(bytes, 1, *n, f) != *n)
        abort();
    bytes[*n] = '\0';
    fclose(f);
    return bytes;
}

/* Encodes and compares; prints the first difference. */
static inline bool fixture_encodes(struct sw_tokenizer *tok, const char *text, size_t n,
                                   unsigned flags, const int32_t *expected, size_t n_expected)
{
    struct sw_ids ids = {0};
    const enum sw_status status = sw_tokenizer_encode(tok, text, n, flags, &ids);
    size_t i = 0;
    while (i < ids.count && i < n_expected && ids.items[i] == expected[i])
        i++;
    const bool same = status == SW_OK && i == ids.count && i == n_expected;
    if (!same)
        printf("    \"%.60s\": status %d, %zu ids, expected %zu; id %zu is %d, expected %d\n", text,
               status, ids.count, n_expected, i, i < ids.count ? ids.items[i] : -1,
               i < n_expected ? expected[i] : -1);
    sw_ids_free(&ids);
    return same;
}

/* Decoding all at once and id by id give the same; *text is it (caller frees). */
static inline bool fixture_decodes(const struct sw_tokenizer *tok, const struct sw_ids *ids,
                                   bool skip_special, struct sw_strbuf *text)
{
    struct sw_strbuf streamed = {0};
    struct sw_detokenizer detok;
    bool same = sw_tokenizer_decode(tok, ids->items, ids->count, skip_special, text) == SW_OK;
    sw_detokenizer_begin(&detok, tok, skip_special);
    for (size_t i = 0; i < ids->count; i++) {
        same = same && sw_detokenizer_push(&detok, ids->items[i], &streamed) == SW_OK;
        /* What has come out is a beginning of the whole text, in whole characters. */
        same = same && streamed.length <= text->length &&
               (streamed.length == 0 || memcmp(streamed.text, text->text, streamed.length) == 0);
    }
    sw_detokenizer_finish(&detok, &streamed);
    same = same && streamed.length == text->length &&
           (text->length == 0 || memcmp(streamed.text, text->text, text->length) == 0);
    sw_strbuf_free(&streamed);
    return same;
}

#endif
