/* Owns finding the hash by which a hub knows a file. */
#include "base/file.h"
#include "base/strbuf.h"
#include "jobs/identity.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NOTE_MAX (64u << 10)

static bool is_sha256(const char *text, size_t n)
{
    return n == 64 && strspn(text, "0123456789abcdef") >= 64;
}

/* …/blobs/SHA256, which a snapshot of the cache links to. */
static enum sw_status hash_of_blob(const char *path, char hash[65])
{
    char real[PATH_MAX];
    while (!realpath(path, real)) /* a path that cannot be resolved is an error, not "no hash" */
        if (errno != EINTR)
            return sw_file_is_absence(errno) ? SW_OK : sw_file_fail(path, "examined", errno);
    const char *name = strrchr(real, '/');
    if (name && name - real >= 6 && memcmp(name - 6, "/blobs", 6) == 0 &&
        is_sha256(name + 1, strlen(name + 1)))
        memcpy(hash, name + 1, 65);
    return SW_OK;
}

/* Lines of the note: commit, etag (the SHA-256, perhaps quoted), time of the download. */
static bool hash_of_note(const char *note, double written, char hash[65])
{
    const char *etag = strchr(note, '\n'), *time = etag ? strchr(etag + 1, '\n') : NULL;
    if (!time)
        return false;
    const char *begin = etag + 1, *end = time;
    while (begin < end && strchr("\" \r", *begin))
        begin++;
    while (begin < end && strchr("\" \r", end[-1]))
        end--;
    /* one second of tolerance, as the hub's own programs have: some clocks count whole seconds */
    if (!is_sha256(begin, (size_t)(end - begin)) || written > strtod(time + 1, NULL) + 1)
        return false;
    memcpy(hash, begin, 64);
    hash[64] = '\0';
    return true;
}

enum sw_status sw_identity_hub_hash(const char *path, char hash[65])
{
    static const char *const folders[] = {".cache/huggingface/download", ".huggingface/download"};
    const char *slash = strrchr(path, '/');
    const int folder = slash ? (int)(slash - path) + 1 : 0;
    struct stat st;
    hash[0] = '\0';
    SW_TRY(hash_of_blob(path, hash));
    while (!hash[0] && stat(path, &st) != 0)
        if (errno != EINTR)
            return sw_file_is_absence(errno) ? SW_OK : sw_file_fail(path, "examined", errno);
    if (hash[0])
        return SW_OK;
    const double written = (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec * 1e-9;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0] && !hash[0]; i++) {
        struct sw_strbuf name = {0};
        char *note = NULL;
        size_t n;
        sw_strbuf_printf(&name, "%.*s%s/%s.metadata", folder, path, folders[i], path + folder);
        const enum sw_status status = name.failed
                                          ? sw_fail(SW_ENOMEM, "%s: no memory for a path", path)
                                          : sw_file_read_optional(name.text, NOTE_MAX, &note, &n);
        sw_strbuf_free(&name);
        SW_TRY(status);
        if (note)
            (void)hash_of_note(note, written, hash);
        free(note);
    }
    return SW_OK;
}
