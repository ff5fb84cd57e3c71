/* Owns the choice between the page cache and reading past it, piece by piece. */
#include "checkpoint/direct_file.h"

#include "base/file.h"
#include "base/log.h"
#include "checkpoint/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Pages whose presence is asked at once. */
#define ASKED 256

static void direct_log_reason(const struct sw_direct_file *f, const char *what, int error)
{
    static atomic_flag is_logged = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&is_logged))
        sw_log(SW_LOG_DEBUG, "%s: %s: %s; it is read through the page cache", f->path, what,
               strerror(error));
}

enum sw_status sw_direct_open(const struct sw_tensor_file *file, bool past_cache,
                              struct sw_direct_file *f)
{
    char same[32];
    *f = (struct sw_direct_file){.path = file->path, .size = file->size, .direct = -1};
    SW_TRY(sw_reader_open_file(file, &f->cached));
    /* Threads read pieces here and there: what the kernel would read ahead of each, others read as
     * well. */
    (void)posix_fadvise(f->cached, 0, 0, POSIX_FADV_RANDOM);
    if (!past_cache)
        return SW_OK;
    /* A second description of the same file, also when another one has its name by now. */
    snprintf(same, sizeof same, "/proc/self/fd/%d", f->cached);
    f->direct = open(same, O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (f->direct < 0) {
        direct_log_reason(f, "cannot be opened past the page cache", errno);
        return SW_OK;
    }
    void *const map = mmap(NULL, f->size, PROT_READ, MAP_SHARED, f->cached, 0);
    f->map = map == MAP_FAILED ? NULL : map;
    return SW_OK;
}

void sw_direct_close(struct sw_direct_file *f)
{
    if (f->map)
        munmap(f->map, f->size);
    if (f->direct >= 0)
        close(f->direct);
    close(f->cached);
}

/* Whether most pages of the range are in the page cache. Where the system does not tell (the file
 * is another user's) it says that they are. */
static bool direct_is_cached(const struct sw_direct_file *f, uint64_t from, uint64_t past)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t asked = 0, here = 0;
    if (!f->map)
        return false;
    for (uint64_t at = from / page * page; at < past; at += ASKED * page) {
        unsigned char pages[ASKED];
        const uint64_t left = past - at < ASKED * page ? past - at : ASKED * page;
        if (mincore((char *)f->map + at, left, pages) != 0)
            return true;
        for (uint64_t i = 0; i < (left + page - 1) / page; i++, asked++)
            here += pages[i] & 1;
    }
    return here * 8 >= asked * 7;
}

/* Reads until `need` bytes have come of `want`, whose last may be past the file's end; false: not
 * past the page cache. */
static bool direct_read_past(struct sw_direct_file *f, uint64_t offset, char *out, size_t want,
                             size_t need)
{
    for (size_t have = 0; have < need;) {
        const ssize_t n = pread(f->direct, out + have, want - have, (off_t)(offset + have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EINVAL && !atomic_exchange(&f->refused, true))
            direct_log_reason(f, "cannot be read past the page cache", errno);
        if (n <= 0)
            return false;
        have += (size_t)n;
        if (have < need && have % SW_DIRECT_ALIGN != 0)
            return false;
    }
    return true;
}

enum sw_status sw_direct_read(struct sw_direct_file *f, uint64_t offset, size_t length,
                              size_t element, void *buffer, const void **data, bool *is_past)
{
    const uint64_t from = offset / SW_DIRECT_ALIGN * SW_DIRECT_ALIGN;
    const size_t before = (size_t)(offset - from), need = before + length;
    const size_t want = (need + SW_DIRECT_ALIGN - 1) / SW_DIRECT_ALIGN * SW_DIRECT_ALIGN;
    char *const bytes = buffer;
    *data = bytes;
    /* What fails past the cache fails again through it, with the message. */
    if (f->direct >= 0 && !atomic_load(&f->refused) &&
        !direct_is_cached(f, offset, offset + length) &&
        direct_read_past(f, from, bytes, want, need)) {
        if (before % element)
            memmove(bytes, bytes + before, length);
        else
            *data = bytes + before;
        *is_past = true;
        return SW_OK;
    }
    *is_past = false;
    return sw_file_read_at(f->cached, f->path, offset, bytes, length);
}

enum sw_status sw_direct_read_kept(const struct sw_direct_file *f, uint64_t offset, void *out,
                                   size_t length)
{
    return sw_file_read_at(f->cached, f->path, offset, out, length);
}
