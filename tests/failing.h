/*
 * Allocations that fail when a test says so. The linker sends the calls of our own code to
 * __wrap_… (tests/CMakeLists.txt, tests whose names end in "oom"); jansson is to be given malloc.
 * Only those of the thread that set `failing_left` are counted.
 */
#ifndef SW_TESTS_FAILING_H
#define SW_TESTS_FAILING_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);

static _Thread_local long failing_left = -1; /* allocations until one fails; < 0: none does */
static _Thread_local long failing_done;      /* how many failed */

static bool failing_now(void)
{
    if (failing_left < 0)
        return false;
    if (failing_left-- > 0)
        return false;
    failing_done++;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return failing_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return failing_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return failing_now() ? NULL : __real_realloc(p, n);
}

char *__wrap_strndup(const char *text, size_t n)
{
    const size_t length = strnlen(text, n);
    char *copy = failing_now() ? NULL : __real_malloc(length + 1);
    if (copy) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, SIZE_MAX);
}

#endif
