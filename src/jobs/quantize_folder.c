/* Owns the small files of a folder that is written. */
#include "jobs/quantize_folder.h"

#include "base/file.h"
#include "base/file_write.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_BYTES ((size_t)256 << 20) /* of a file that is copied */
#define WEIGHTS "model.safetensors"

enum sw_status sw_quantize_folder_check(const char *out)
{
    struct stat st;
    if (lstat(out, &st) != 0)
        return errno == ENOENT ? SW_OK : sw_file_fail(out, "written", errno);
    char *part = sw_path_join(out, WEIGHTS ".part");
    if (!part)
        return sw_fail(SW_ENOMEM, "no memory for a path");
    const bool goes_on = S_ISDIR(st.st_mode) && lstat(part, &st) == 0;
    free(part);
    return goes_on
               ? SW_OK
               : sw_fail(SW_EUSAGE, "%s: is there already; remove it or name another output", out);
}

enum sw_status sw_quantize_folder_make(const char *out)
{
    return mkdir(out, 0777) == 0 || errno == EEXIST
               ? SW_OK
               : sw_fail(SW_EIO, "%s: cannot be created: %s", out, strerror(errno));
}

/* Under another name first, which is then changed. */
static enum sw_status folder_write(const char *out, const char *name, const char *bytes, size_t n)
{
    char *path = sw_path_join(out, name), *part = NULL;
    int fd = -1;
    if (path && asprintf(&part, "%s.part", path) < 0)
        part = NULL;
    enum sw_status status =
        part ? sw_file_write_new(part, &fd) : sw_fail(SW_ENOMEM, "no memory for a path");
    for (size_t done = 0; status == SW_OK && done < n;) {
        const ssize_t written = write(fd, bytes + done, n - done);
        if (written < 0 && errno != EINTR)
            status = sw_fail(SW_EIO, "%s: cannot be written: %s", part, strerror(errno));
        done += written > 0 ? (size_t)written : 0;
    }
    if (status == SW_OK && (fsync(fd) != 0 || rename(part, path) != 0))
        status = sw_fail(SW_EIO, "%s: cannot be written: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(part);
    free(path);
    return status;
}

static bool folder_ends(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

static bool folder_is_copied(const char *name)
{
    static const char *const ends[] = {".json", ".txt", ".model", ".jinja", ".md"};
    bool is = false;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        is = is || folder_ends(name, ends[i]);
    return is && name[0] != '.' && strcmp(name, "config.json") != 0 &&
           !folder_ends(name, ".index.json");
}

static enum sw_status folder_copy(const char *in, const char *out, const char *name)
{
    char *bytes;
    size_t n;
    SW_TRY(sw_file_read_in(in, name, MOST_BYTES, &bytes, &n));
    const enum sw_status status = bytes ? folder_write(out, name, bytes, n) : SW_OK;
    free(bytes);
    return status;
}

enum sw_status sw_quantize_folder_fill(const char *in, const char *out,
                                       const struct sw_strbuf *config)
{
    DIR *dir = opendir(in);
    enum sw_status status = dir ? SW_OK : sw_file_fail(in, "listed", errno);
    while (status == SW_OK) {
        const struct dirent *entry = readdir(dir);
        if (!entry)
            break;
        if (folder_is_copied(entry->d_name))
            status = folder_copy(in, out, entry->d_name);
    }
    if (dir)
        closedir(dir);
    return status == SW_OK ? folder_write(out, "config.json", config->text, config->length)
                           : status;
}
