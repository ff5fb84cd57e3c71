/* An output as a killed run may have left it: what is found there is found again after the torn
 * rest was cut off, and nothing but the end of the file is touched. */
#include "base/log.h"
#include "jobs/results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64];

static void write_file(const uint8_t *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
}

static void remove_files(void)
{
    char manifest[80];
    snprintf(manifest, sizeof manifest, "%s.job", path);
    unlink(manifest);
    unlink(path);
}

/* How many results are found; -1: refused. *length: of the file then. */
static int64_t resume(const json_t *manifest, size_t *length)
{
    struct sw_input_scan scan = {.begin = "x"};
    struct sw_results *r = NULL;
    struct stat st;
    int64_t found = -1;
    if (sw_results_open(path, &r) == SW_OK &&
        sw_results_begin(r, manifest, &scan, SW_RESULTS_RESUME) == SW_OK)
        found = sw_results_count(r).found;
    sw_results_close(r);
    *length = stat(path, &st) == 0 ? (size_t)st.st_size : 0;
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t length, again;
    json_t *manifest =
        json_pack("{s:s, s:{s:s, s:i, s:s}, s:{s:s, s:s}, s:{}}", "verb", "batch", "input", "path",
                  "x", "bytes", 1, "digest", "x", "model", "name", "m", "digest", "d", "options");
    sw_log_setup(SW_LOG_ERROR);
    snprintf(path, sizeof path, "/dev/shm/sw-fuzz-results-%d", (int)getpid());
    (void)resume(manifest, &length); /* leaves the manifest */
    write_file(data, size);
    const int64_t found = resume(manifest, &length);
    if (length > size || (found < 0 && length != size))
        abort();
    if (found >= 0 && (resume(manifest, &again) != found || again != length))
        abort();
    FILE *f = fopen(path, "rb");
    uint8_t *left = malloc(length + 1);
    if (!f || !left || fread(left, 1, length, f) != length || memcmp(left, data, length) != 0)
        abort();
    fclose(f);
    free(left);
    json_decref(manifest);
    remove_files();
    return 0;
}
