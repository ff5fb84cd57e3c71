/* Owns mappings that begin on a huge page. */
#include "base/huge_pages.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define SETTING "/sys/kernel/mm/transparent_hugepage/enabled"

static size_t huge_length(size_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static void huge_log_reason(const char *reason)
{
    static atomic_flag is_logged = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&is_logged))
        sw_log(SW_LOG_DEBUG,
               "huge pages: %s; pages are small, into which disks may be read more slowly", reason);
}

/* Where they are switched off the system takes the advice, and does not follow it. */
static void huge_look_at_setting(void)
{
    static atomic_flag is_seen = ATOMIC_FLAG_INIT;
    char text[64] = "";
    if (atomic_flag_test_and_set(&is_seen))
        return;
    const int fd = open(SETTING, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n > 0 && strstr(text, "[never]"))
        huge_log_reason("switched off (" SETTING ")");
}

void *sw_huge_map(size_t bytes)
{
    if (bytes > SIZE_MAX - 2 * SW_HUGE_PAGE)
        return NULL;
    const size_t length = huge_length(bytes);
    char *const raw = mmap(NULL, length + SW_HUGE_PAGE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    const size_t before = (SW_HUGE_PAGE - (size_t)((uintptr_t)raw % SW_HUGE_PAGE)) % SW_HUGE_PAGE;
    if (before)
        munmap(raw, before);
    munmap(raw + before + length, SW_HUGE_PAGE - before);
    if (madvise(raw + before, length, MADV_HUGEPAGE) != 0)
        huge_log_reason(strerror(errno));
    else
        huge_look_at_setting();
    return raw + before;
}

void sw_huge_unmap(void *block, size_t bytes)
{
    if (block)
        munmap(block, huge_length(bytes));
}
