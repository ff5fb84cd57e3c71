/* Owns fingerprints of a model's files, and comparing those of all ranks. */
#include "probe/files.h"

#include "base/file.h"
#include "base/strbuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD_MAX ((uint64_t)16 << 20) /* most bytes of a safetensors header to hash */
#define PIECE 4096
#define PIECES 8       /* number of pieces of a file to hash */
#define LISTED_HOSTS 8 /* most hosts that a message names */
#define TEXT_MAX 512   /* for the message of a rank's own failure */

/* FNV-1a */
static void probe_files_mix(uint64_t *hash, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        *hash = (*hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
}

static enum sw_status probe_files_mix_range(int fd, const char *path, uint64_t from, uint64_t to,
                                            uint64_t *hash)
{
    char block[16 * PIECE];
    for (uint64_t at = from; at < to;) {
        const uint64_t n = to - at < sizeof block ? to - at : sizeof block;
        SW_TRY(sw_file_read_at(fd, path, at, block, (size_t)n));
        probe_files_mix(hash, block, (size_t)n);
        at += n;
    }
    return SW_OK;
}

/* Hashes the header of a safetensors file (of other files the first piece), and the pieces. */
static enum sw_status probe_files_mix_contents(int fd, const char *path, uint64_t size,
                                               uint64_t *hash)
{
    uint64_t head = size < PIECE ? size : PIECE, length = 0;
    const char *dot = strrchr(path, '.');
    if (dot && strcmp(dot, ".safetensors") == 0 && size > sizeof length) {
        SW_TRY(sw_file_read_at(fd, path, 0, &length, sizeof length)); /* little-endian, as we are */
        if (length < HEAD_MAX && length + sizeof length <= size)
            head = length + sizeof length;
    }
    SW_TRY(probe_files_mix_range(fd, path, 0, head, hash));
    for (uint64_t i = 0; i < PIECES && size > head; i++) {
        const uint64_t room = size - head > PIECE ? size - head - PIECE : 0;
        const uint64_t from =
            head + room / (PIECES - 1) * i + (i + 1 == PIECES ? room % (PIECES - 1) : 0);
        SW_TRY(
            probe_files_mix_range(fd, path, from, from + PIECE < size ? from + PIECE : size, hash));
    }
    return SW_OK;
}

static enum sw_status probe_files_print_one(const char *path, struct sw_file_print *out)
{
    const char *slash = strrchr(path, '/');
    int fd;
    snprintf(out->name, sizeof out->name, "%s", slash ? slash + 1 : path);
    SW_TRY(sw_file_open_optional(path, &fd, &out->size));
    if (fd < 0) {
        out->size = UINT64_MAX;
        return SW_OK;
    }
    out->contents = 14695981039346656037u;
    const enum sw_status status = probe_files_mix_contents(fd, path, out->size, &out->contents);
    close(fd);
    return status;
}

enum sw_status sw_files_print(const char *dir, const struct sw_tensors *tensors,
                              struct sw_file_print **prints, int *n)
{
    const int n_weights = tensors ? tensors->n_files : 0;
    char *config = sw_path_join(dir, "config.json");
    struct sw_file_print *out = calloc((size_t)n_weights + 1, sizeof *out);
    enum sw_status status = config && out ? SW_OK : sw_fail(SW_ENOMEM, "no memory for %s", dir);
    enum sw_file_kind kind = SW_FILE_ABSENT;
    *n = 0;
    if (status == SW_OK)
        status = sw_file_find(dir, &kind);
    if (status == SW_OK && kind == SW_FILE_DIRECTORY)
        status = probe_files_print_one(config, &out[(*n)++]);
    for (int i = 0; i < n_weights && status == SW_OK; i++)
        status = probe_files_print_one(tensors->files[i].path, &out[(*n)++]);
    free(config);
    if (status != SW_OK) {
        free(out);
        out = NULL;
    }
    *prints = out;
    return status;
}

static const struct sw_file_print *probe_files_find(const struct sw_file_print *prints, int n,
                                                    const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(prints[i].name, name) == 0 && prints[i].size != UINT64_MAX)
            return &prints[i];
    return NULL;
}

bool sw_files_differ(const struct sw_file_print *a, int n_a, const struct sw_file_print *b, int n_b,
                     char *how, size_t cap)
{
    for (int i = 0; i < n_a; i++) {
        const struct sw_file_print *other = probe_files_find(b, n_b, a[i].name);
        if (a[i].size == UINT64_MAX)
            continue;
        if (!other)
            snprintf(how, cap, "%s is not there", a[i].name);
        else if (other->size != a[i].size)
            snprintf(how, cap, "%s has %llu bytes, not %llu", a[i].name,
                     (unsigned long long)other->size, (unsigned long long)a[i].size);
        else if (other->contents != a[i].contents)
            snprintf(how, cap, "%s has other contents", a[i].name);
        else
            continue;
        return true;
    }
    for (int i = 0; i < n_b; i++)
        if (b[i].size != UINT64_MAX && !probe_files_find(a, n_a, b[i].name)) {
            snprintf(how, cap, "%s is there", b[i].name);
            return true;
        }
    return false;
}

/* What a rank sends to rank 0; its fingerprints (n) follow. */
struct files_report {
    int32_t status, n;
    char text[TEXT_MAX];
};

static enum sw_status probe_files_gather(struct sw_transport *t, const struct sw_file_print *prints,
                                         int n, enum sw_status opened, void **blocks,
                                         size_t *lengths)
{
    struct files_report report = {.status = opened, .n = n};
    struct sw_strbuf bytes = {0};
    if (opened != SW_OK)
        snprintf(report.text, sizeof report.text, "%.*s", TEXT_MAX - 1, sw_error_message());
    sw_strbuf_append(&bytes, (const char *)&report, sizeof report);
    if (n > 0)
        sw_strbuf_append(&bytes, (const char *)prints, (size_t)n * sizeof *prints);
    const enum sw_status status =
        bytes.failed ? sw_fail(SW_ENOMEM, "no memory to compare the ranks' files")
                     : sw_transport_gather(t, bytes.text, bytes.length, blocks, lengths);
    sw_strbuf_free(&bytes);
    return status;
}

/* On rank 0: one line about all differences, "" when all files are the same. *alike: the ranks
 * agree. */
static void probe_files_compare(const struct sw_transport *t, void **blocks, struct sw_strbuf *out,
                                bool *alike)
{
    const struct files_report *first = blocks[0];
    const struct sw_file_print *prints = (const void *)(first + 1);
    int listed = 0, last_node = -1;
    *alike = true;
    for (int r = 0; r < t->size; r++) {
        const struct files_report *other = blocks[r];
        char how[TEXT_MAX];
        if (other->status != first->status)
            *alike = false;
        if (other->status != SW_OK)
            snprintf(how, sizeof how, "%s", other->text);
        else if (first->status != SW_OK)
            continue;
        else if (sw_files_differ(prints, first->n, (const void *)(other + 1), other->n, how,
                                 sizeof how))
            *alike = false;
        else
            continue;
        if (t->ranks[r].node == last_node) /* its host is listed already */
            continue;
        last_node = t->ranks[r].node;
        if (++listed <= LISTED_HOSTS)
            sw_strbuf_printf(out, "%s%s: %s", listed > 1 ? "; " : "", t->ranks[r].host, how);
    }
    if (listed > LISTED_HOSTS)
        sw_strbuf_printf(out, "; and %d hosts more", listed - LISTED_HOSTS);
}

static enum sw_status probe_files_settle(struct sw_transport *t, const char *dir,
                                         enum sw_status opened, void **blocks)
{
    struct sw_strbuf text = {0};
    bool alike = true;
    char own[SW_ERROR_MAX], *mine = NULL;
    size_t length;
    snprintf(own, sizeof own, "%s", sw_error_message());
    if (t->rank == 0) {
        probe_files_compare(t, blocks, &text, &alike);
        mine = alike || !text.text ? "" : text.text;
    }
    void *verdict = mine;
    length = mine ? strlen(mine) : 0;
    enum sw_status status = sw_transport_broadcast(t, 0, &verdict, &length);
    if (status == SW_OK && length > 0)
        status = sw_fail(SW_EMODEL,
                         "%s is not the same on all hosts as on %s, where rank 0 is: %.*s; copy it "
                         "to these again, or keep it on a disk that all share",
                         dir, t->ranks[0].host, (int)(length < 1400 ? length : 1400),
                         (const char *)verdict);
    else if (status == SW_OK && opened != SW_OK)
        status = sw_fail(opened, "%s", own);
    if (t->rank != 0)
        free(verdict);
    sw_strbuf_free(&text);
    return status;
}

enum sw_status sw_files_same(struct sw_transport *t, const char *dir,
                             const struct sw_tensors *tensors, enum sw_status opened)
{
    if (t->size == 1)
        return opened;
    struct sw_file_print *prints = NULL;
    int n = 0;
    void **blocks = calloc((size_t)t->size, sizeof *blocks);
    size_t *lengths = calloc((size_t)t->size, sizeof *lengths);
    enum sw_status status = SW_OK;
    if (opened == SW_OK)
        opened = sw_files_print(dir, tensors, &prints, &n);
    if (opened != SW_OK)
        n = 0;
    if (!blocks || !lengths)
        status = sw_fail(SW_ENOMEM, "no memory for %d ranks", t->size);
    if (status == SW_OK)
        status = probe_files_gather(t, prints, n, opened, blocks, lengths);
    free(prints);
    for (int r = 0; r < t->size && t->rank == 0 && status == SW_OK; r++) {
        const struct files_report *report = blocks[r];
        if (lengths[r] < sizeof *report ||
            lengths[r] != sizeof *report + (size_t)report->n * sizeof(struct sw_file_print))
            status = sw_fail(SW_EPEER, "rank %d sent another list of files than it announced", r);
    }
    if (status == SW_OK)
        status = probe_files_settle(t, dir, opened, blocks);
    for (int r = 0; blocks && r < t->size; r++)
        free(blocks[r]);
    free(blocks);
    free(lengths);
    return status;
}
