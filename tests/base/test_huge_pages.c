/*
 * Memory that begins on a huge page: it is there to the last byte, goes back to the system, takes
 * no more than what is touched, and is the same where huge pages are refused, which is said. The
 * linker sends madvise to __wrap_madvise (tests.cmake).
 */
#include "base/huge_pages.h"
#include "base/log.h"
#include "unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

int __real_madvise(void *at, size_t length, int advice);
int __wrap_madvise(void *at, size_t length, int advice);

static bool is_refused;
static size_t advised; /* bytes */

int __wrap_madvise(void *at, size_t length, int advice)
{
    if (advice == MADV_HUGEPAGE)
        advised += length;
    if (is_refused && advice == MADV_HUGEPAGE) {
        errno = EINVAL;
        return -1;
    }
    return __real_madvise(at, length, advice);
}

/* KiB that a line of /proc/self/smaps_rollup says; -1: no such line. */
static long memory_kib(const char *name)
{
    char line[256];
    long kib = -1;
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtol(line + strlen(name) + 1, NULL, 10);
    if (f)
        fclose(f);
    return kib;
}

static bool is_mapped(void *at)
{
    return msync(at, 1, MS_ASYNC) == 0;
}

static bool is_whole(char *block, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 512)
        if (block[i])
            return false;
    memset(block, 1, bytes);
    return block[bytes - 1] == 1;
}

static void blocks_begin_on_a_huge_page(void)
{
    static const size_t sizes[] = {1, 4096, 4097, 3 << 20, 16 << 20};
    for (int refused = 0; refused < 2; refused++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            is_refused = refused;
            advised = 0;
            char *block = sw_huge_map(sizes[i]);
            CU_ASSERT_PTR_NOT_NULL_FATAL(block);
            CU_ASSERT_EQUAL((uintptr_t)block % SW_HUGE_PAGE, 0);
            CU_ASSERT_EQUAL(advised, (sizes[i] + 4095) / 4096 * 4096);
            CU_ASSERT(is_whole(block, sizes[i]));
            sw_huge_unmap(block, sizes[i]);
            CU_ASSERT_FALSE(is_mapped(block));
            CU_ASSERT_FALSE(is_mapped(block + (sizes[i] - 1) / 4096 * 4096));
        }
    is_refused = false;
    sw_huge_unmap(NULL, 5);
    CU_ASSERT_PTR_NULL(sw_huge_map(SIZE_MAX));
    CU_ASSERT_PTR_NULL(sw_huge_map(SIZE_MAX / 4));
}

static void only_what_is_touched_is_taken(void)
{
    const size_t bytes = 64 << 20;
    const long before = memory_kib("Rss:");
    char *block = sw_huge_map(bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(block);
    CU_ASSERT(memory_kib("Rss:") - before < 1024);
    memset(block, 1, bytes / 2);
    CU_ASSERT(memory_kib("Rss:") - before <= (long)(bytes / 2 >> 10) + 1024);
    sw_huge_unmap(block, bytes);
    CU_ASSERT(memory_kib("Rss:") - before < 1024);
}

/* Before any other test refuses them, as it is said once. */
static void refusal_is_told_once(void)
{
    char text[1024] = "";
    FILE *said = tmpfile();
    CU_ASSERT_PTR_NOT_NULL_FATAL(said);
    const int err = dup(STDERR_FILENO);
    sw_log_setup(SW_LOG_DEBUG);
    is_refused = true;
    dup2(fileno(said), STDERR_FILENO);
    for (int i = 0; i < 2; i++)
        sw_huge_unmap(sw_huge_map(5), 5);
    dup2(err, STDERR_FILENO);
    close(err);
    is_refused = false;
    rewind(said);
    CU_ASSERT(fread(text, 1, sizeof text - 1, said) > 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "huge pages: Invalid argument"));
    CU_ASSERT_PTR_EQUAL(strchr(text, '\n'), text + strlen(text) - 1);
    fclose(said);
}

SW_UNIT_TESTS({"a refusal is told once", refusal_is_told_once},
              {"blocks begin on a huge page", blocks_begin_on_a_huge_page},
              {"only what is touched is taken", only_what_is_touched_is_taken})
