/*
 * Any text as what MODEL is on a command line, and any bytes as what the local stores say of it:
 * the first line is the name, the rest is the hub cache's refs file and Ollama's manifest. What is
 * found must lie in the stores.
 */
#include "checkpoint/model_name.h"

#include "base/file.h"

#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MODEL "/hub/models--org--name"
#define MANIFEST "/ollama/manifests/registry.ollama.ai/library/m/latest"
#define BLOB "/ollama/blobs/sha256-0000000000000000000000000000000000000000000000000000000000000000"

static char root[64];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static void remove_root(void)
{
    nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Writes the file ROOT/name, whose folders are made. */
static void put(const char *name, const void *bytes, size_t n)
{
    char path[256];
    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    if (!file || fwrite(bytes, 1, n, file) != n || fclose(file) != 0)
        abort();
}

/* Two snapshots, one of which is a GGUF file's folder, and a blob of four bytes. */
static void make_stores(void)
{
    char hub[96], ollama[96];
    snprintf(root, sizeof root, "/tmp/spillway-fuzz-XXXXXX");
    if (!mkdtemp(root))
        abort();
    atexit(remove_root);
    put(MODEL "/snapshots/abc/config.json", "{}", 2);
    put(MODEL "/snapshots/def/model.gguf", "GGUF", 4);
    put(BLOB, "GGUF", 4);
    snprintf(hub, sizeof hub, "%s/hub", root);
    snprintf(ollama, sizeof ollama, "%s/ollama", root);
    setenv("HF_HUB_CACHE", hub, 1);
    setenv("OLLAMA_MODELS", ollama, 1);
}

static void check_path(const char *path)
{
    char real[4096];
    if (strncmp(path, root, strlen(root)) != 0 || strstr(path, "/../") || !realpath(path, real) ||
        strncmp(real, root, strlen(root)) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    const size_t length = end ? (size_t)(end - data) : size;
    const size_t rest = end ? size - length - 1 : 0;
    struct sw_strbuf notes = {0};
    enum sw_file_kind kind;
    char name[4096], *path;
    if (!root[0])
        make_stores();
    if (length >= sizeof name)
        return 0;
    memcpy(name, data, length);
    name[length] = '\0';
    if (sw_file_find(name, &kind) == SW_OK && kind != SW_FILE_ABSENT)
        return 0; /* it is itself */
    put(MODEL "/refs/main", rest ? end + 1 : data, rest);
    put(MANIFEST, rest ? end + 1 : data, rest);
    if (sw_model_name_find(name, &path, &notes) == SW_OK)
        check_path(path);
    else if (path)
        abort();
    free(path);
    sw_strbuf_free(&notes);
    return 0;
}
