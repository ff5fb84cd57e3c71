/*
 * Memory in proportion: what reading a file takes is bounded by its size, whatever is in it. Each
 * case runs in a process of its own, whose peak is compared with one that reads next to nothing.
 */
#include "checkpoint/checkpoint.h"
#include "checkpoint/torch_pickle.h"
#include "helpers.h"

#include <sys/resource.h>
#include <sys/wait.h>

#define PICKLE_BYTES ((size_t)6 << 20)
#define N_TENSORS 200000

/* The bytes of memory that `work` takes at most in a process of its own. */
static size_t peak_of(int (*work)(const void *), const void *argument, int *code)
{
    struct rusage usage;
    int status = -1;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0)
        _exit(work(argument));
    if (child < 0 || wait4(child, &status, 0, &usage) != child)
        abort();
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
    return (size_t)usage.ru_maxrss * 1024;
}

/* A pickle that repeats `pattern`, or the two parts of "one|two" in a half each; 0: read, 1:
 * refused by SW_EMODEL. */
static int read_pickle(const void *pattern)
{
    struct sw_pickle pickle;
    const char *one = pattern, *two = strchr(one, '|');
    const size_t n = two ? (size_t)(two - one) : strlen(one), half = PICKLE_BYTES / 2;
    char *bytes = malloc(PICKLE_BYTES);
    if (!bytes)
        return 2;
    memcpy(bytes, "\x80\x02", 2);
    for (size_t i = 2; i < PICKLE_BYTES; i++)
        bytes[i] = one[(i - 2) % n];
    for (size_t i = half; two && i < PICKLE_BYTES; i++)
        bytes[i] = two[1 + (i - half) % strlen(two + 1)];
    const enum sw_status status = sw_pickle_parse(bytes, PICKLE_BYTES, &pickle);
    sw_pickle_free(&pickle);
    free(bytes);
    return status == SW_OK ? 0 : status == SW_EMODEL ? 1 : 2;
}

static int do_nothing(const void *argument)
{
    (void)argument;
    char *bytes = malloc(PICKLE_BYTES);
    if (!bytes)
        return 2;
    memset(bytes, 1, PICKLE_BYTES);
    const int code = bytes[PICKLE_BYTES / 2] == 1 ? 0 : 2;
    free(bytes);
    return code;
}

static void pickles_are_bounded(void)
{
    static const char *const patterns[] = {"]",
                                           "}",
                                           ")",
                                           "N",
                                           "(",
                                           "(t",
                                           "(|]",
                                           "N\x94\x94\x94\x94\x94\x94\x94",
                                           "K\x01",
                                           "]N\x85\x94",
                                           "(]]]]e",
                                           "](NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNe0",
                                           "\x8c\x01\x61",
                                           "ctorch\nSize\n)R"};
    int code;
    const size_t base = peak_of(do_nothing, NULL, &code);
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        const size_t peak = peak_of(read_pickle, patterns[i], &code);
        const double factor = peak > base ? (double)(peak - base) / (double)PICKLE_BYTES : 0;
        printf("    pickle %zu: %.1f bytes a byte\n", i, factor);
        CU_ASSERT_EQUAL(code, 1); /* none of these ends */
        CU_ASSERT(factor <= SW_PICKLE_MEMORY + 2);
    }
}

static int open_file(const void *path)
{
    struct sw_tensors t = {0};
    const enum sw_status status = sw_checkpoint_add_file(path, &t);
    const bool all = t.count == N_TENSORS;
    sw_tensors_free(&t);
    return status == SW_OK && all ? 0 : 1;
}

/* The shortest header there is for so many tensors. */
static void headers_are_bounded(void)
{
    char dir[64], path[128];
    size_t n = 8;
    int code;
    char *text = malloc(80 * (size_t)N_TENSORS);
    if (!text)
        abort();
    for (int i = 0; i < N_TENSORS; i++)
        n += (size_t)sprintf(text + n,
                             "%s\"%x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                             i ? "," : "{", i);
    text[n++] = '}';
    for (int i = 0; i < 8; i++)
        text[i] = (char)((n - 8) >> (8 * i) & 255);
    new_folder(dir);
    put_file(dir, "many.safetensors", text, n);
    free(text);
    snprintf(path, sizeof path, "%s/many.safetensors", dir);
    const size_t base = peak_of(do_nothing, NULL, &code);
    const size_t peak = peak_of(open_file, path, &code);
    const double factor = (double)(peak - base) / (double)n;
    printf("    %d tensors in a header of %zu bytes: %.1f bytes a byte\n", N_TENSORS, n, factor);
    CU_ASSERT_EQUAL(code, 0);
    CU_ASSERT(factor <= 10);
    remove_folder(dir);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static void no_peaks(void)
{
    (void)pickles_are_bounded;
    (void)headers_are_bounded;
    printf("    skipped: a sanitizer's own memory is in the way\n");
}
SW_UNIT_TESTS({"memory with a sanitizer", no_peaks})
#else
SW_UNIT_TESTS({"pickles are bounded", pickles_are_bounded},
              {"headers are bounded", headers_are_bounded})
#endif
