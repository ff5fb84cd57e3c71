/* Finding and opening the GPU library: what is absence, what is an error, and the messages. */
#include "gpulib_help.h"

#include <sys/wait.h>
#include <unistd.h>

/* The library is opened once in a process, so each case is a child's. SPILLWAY_GPU_LIBRARY=path
 * (NULL: unset) is to give a library or not, this status, and a reason with all of `said`. */
static bool gives(const char *path, bool library, enum sw_status want, const char *const said[])
{
    fflush(stdout);
    const pid_t child = fork();
    if (child != 0) {
        int result = 1;
        return child > 0 && waitpid(child, &result, 0) == child && result == 0;
    }
    const char *why = NULL;
    enum sw_status status = SW_EIO;
    if (path)
        setenv("SPILLWAY_GPU_LIBRARY", path, 1);
    else
        unsetenv("SPILLWAY_GPU_LIBRARY");
    bool right = (sw_gpu_library_load(&why, &status) != NULL) == library && status == want && why;
    right = right && (want == SW_OK || strcmp(why, sw_error_message()) == 0);
    for (int i = 0; said[i] && right; i++)
        right = strstr(why, said[i]) != NULL;
    /* A second call returns the same. */
    right = right && (sw_gpu_library_load(NULL, NULL) != NULL) == library;
    if (!right)
        printf("    %s: %s\n", path ? path : "(unset)", why ? why : "no reason");
    fflush(stdout);
    _exit(!right);
}

static void the_simulated_one_is_opened(void)
{
    CU_ASSERT(gives(getenv("SPILLWAY_GPU_LIBRARY"), true, SW_OK, (const char *const[]){NULL}));
    CU_ASSERT(strcmp(gpu_library()->source_id(), "0123456789ab") != 0);
    CU_ASSERT(strstr(gpu_library()->what, "CUDA ") == gpu_library()->what);
}

static void absence_is_no_error(void)
{
    CU_ASSERT(gives(NULL, false, SW_OK,
                    (const char *const[]){"there is no libspillway_cuda.so beside the program",
                                          "without CUDA", NULL}));
    CU_ASSERT(gives("", false, SW_OK, (const char *const[]){"there is no", NULL}));
}

static void what_is_named_must_be_one(void)
{
    CU_ASSERT(gives("/nowhere/at-all.so", false, SW_EDEVICE,
                    (const char *const[]){"SPILLWAY_GPU_LIBRARY: ", "/nowhere/at-all.so",
                                          "No such file", NULL}));
    CU_ASSERT(gives(SW_SOURCE_DIR "/README.md", false, SW_EDEVICE,
                    (const char *const[]){"cannot be opened", "invalid ELF header", NULL}));
    CU_ASSERT(
        gives(SW_NO_GPU_LIBRARY, false, SW_EDEVICE,
              (const char *const[]){"is no GPU library of Spillway", "'sw_gpu_library'", NULL}));
}

static void another_build_is_refused(void)
{
    CU_ASSERT(gives(SW_OTHER_GPU_LIBRARY, false, SW_EDEVICE,
                    (const char *const[]){"was built from other sources (0123456789ab)",
                                          "install both from one build", NULL}));
}

/* The one on CUDA: all its symbols are found, it is of this build, and no driver is no error. */
static void the_real_one_opens_without_a_driver(void)
{
#ifdef SW_CUDA_LIBRARY
    CU_ASSERT(gives(SW_CUDA_LIBRARY, true, SW_OK, (const char *const[]){NULL}));
    fflush(stdout);
    const pid_t child = fork();
    int result = 1, n = -1;
    if (child == 0) {
        struct sw_gpu_info infos[16];
        char why[SW_GPU_WHY_MAX];
        setenv("SPILLWAY_GPU_LIBRARY", SW_CUDA_LIBRARY, 1);
        setenv("CUDA_VISIBLE_DEVICES", "", 1); /* where there is a GPU, too */
        const struct sw_gpu_library *library = gpu_library();
        const bool right = library->devices(infos, 16, &n, why) == SW_OK && n == 0 && !*why;
        if (!right)
            printf("    %d devices: %s\n", n, sw_error_message());
        fflush(stdout);
        _exit(!right);
    }
    CU_ASSERT(child > 0 && waitpid(child, &result, 0) == child && result == 0);
#else
    printf("    skipped: built without CUDA\n");
#endif
}

SW_UNIT_TESTS({"the real one opens without a driver", the_real_one_opens_without_a_driver},
              {"absence is no error", absence_is_no_error},
              {"what is named must be one", what_is_named_must_be_one},
              {"another build is refused", another_build_is_refused},
              {"the simulated one is opened", the_simulated_one_is_opened})
