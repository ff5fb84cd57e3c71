/*
 * For LD_PRELOAD: on rank SPILLWAY_FAIL_RANK the program's own allocation number SPILLWAY_FAIL_AT
 * (from 1) fails; those of libraries do not count. The process that it was writes to the file
 * SPILLWAY_FAIL_NOTE that it did.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static atomic_long calls;
static long fails_at; /* 0: none */
static const char *note;
static uintptr_t from, to; /* of the program's code */

/* The program is the first object that is told of. */
static int find_program(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
            from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            to = from + info->dlpi_phdr[i].p_memsz;
        }
    return 1;
}

__attribute__((constructor)) static void settle(void)
{
    const char *at = getenv("SPILLWAY_FAIL_AT"), *rank = getenv("SPILLWAY_FAIL_RANK");
    const char *mine = getenv("OMPI_COMM_WORLD_RANK");
    if (!at || !rank || !mine || strcmp(rank, mine) != 0)
        return;
    note = getenv("SPILLWAY_FAIL_NOTE");
    dl_iterate_phdr(find_program, NULL);
    fails_at = atol(at);
}

static bool fails(const void *caller)
{
    const uintptr_t at = (uintptr_t)caller;
    if (fails_at == 0 || at < from || at >= to || atomic_fetch_add(&calls, 1) + 1 != fails_at)
        return false;
    const int fd = note ? open(note, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    if (fd >= 0)
        close(fd);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, n);
}
