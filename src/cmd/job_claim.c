/* Owns what makes two jobs the same: the input, the model, the options that answers depend on. */
#include "cmd/jobs.h"
#include "jobs/hash.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAIL_BYTES (64u << 10) /* of each weight file: other weights differ there, too */

static const uint64_t known_key[2] = {0x5370696c6c776179, 0x6d6f64656c};

/* Up to `most` bytes from `offset` of a file, its length besides; nothing when it is not there. */
static void add_file(struct sw_hash *hash, const char *path, uint64_t offset, size_t most)
{
    char block[4096];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    while (most > 0) {
        const ssize_t n =
            pread(fd, block, most < sizeof block ? most : sizeof block, (off_t)offset);
        if (n <= 0)
            break;
        sw_hash_add(hash, block, (size_t)n);
        offset += (uint64_t)n;
        most -= (size_t)n;
    }
    close(fd);
    sw_hash_add(hash, &offset, sizeof offset);
}

/* Wherever the model lies and whatever its folder is called. */
static void digest_model(const struct sw_session *s, char digest[33])
{
    static const char *const names[] = {
        "config.json", "tokenizer.json",        "tokenizer.model",     "vocab.json",
        "merges.txt",  "tokenizer_config.json", "chat_template.jinja", "generation_config.json"};
    struct sw_hash hash;
    char path[4096];
    sw_hash_begin(&hash, known_key);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", s->call->arguments[0], names[i]);
        add_file(&hash, path, 0, 256u << 20);
    }
    for (int i = 0; i < s->tensors.n_files; i++) {
        const struct sw_tensor_file *file = &s->tensors.files[i];
        const uint64_t tail = file->size < TAIL_BYTES ? file->size : TAIL_BYTES;
        add_file(&hash, file->path, file->size - tail, (size_t)tail);
    }
    sw_digest_text(sw_hash_end(&hash), digest);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static const char *dtype_name(enum sw_dtype dtype)
{
    return dtype == SW_OTHER ? "as stored" : sw_dtype_info(dtype)->name;
}

enum sw_status sw_jobs_claim(const struct sw_session *s, const struct sw_job_verb *verb,
                             const struct sw_survey *survey, json_t **claim)
{
    const struct sw_options *o = &s->call->options;
    char digest[33];
    json_t *options = json_pack("{s:s, s:s, s:i}", "--weights", dtype_name(o->weights), "--kv",
                                dtype_name(o->kv), "--context", o->context);
    digest_model(s, digest);
    if (options)
        verb->options(o, options);
    *claim = json_pack("{s:s, s:{s:s, s:I, s:s}, s:{s:s, s:s}, s:o}", "verb", verb->name, "input",
                       "path", s->call->arguments[1], "bytes", (json_int_t)survey->bytes, "digest",
                       survey->digest, "model", "name", base_name(s->call->arguments[0]), "digest",
                       digest, "options", options);
    return *claim ? SW_OK : sw_fail(SW_ENOMEM, "no memory to describe the job");
}
