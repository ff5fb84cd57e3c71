/* Owns finding and opening the GPU library, once in a process; it stays open to the end. */
#include "backend/gpu_library.h"

#include "base/log.h"
#include "base/units.h"
#include "base/version.h"
#include "kernels/cpu/cpu_kernels.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the library calls back. Named here, so that no program is linked without it. */
typedef void function(void);
__attribute__((used)) static function *const called_back[] = {
    (function *)sw_fail_at,      (function *)sw_error_message,       (function *)sw_log,
    (function *)sw_dtype_info,   (function *)sw_dtype_to_f32,        (function *)sw_f32_to_f16,
    (function *)sw_f32_to_bf16,  (function *)sw_matrix_bytes,        (function *)sw_kv_bytes,
    (function *)sw_size_format,  (function *)sw_pack_panel,          (function *)sw_kv_head_bytes,
    (function *)sw_f16_to_f32,   (function *)sw_gpu_workspace_bytes, (function *)sw_pool_run,
    (function *)sw_pool_threads,
};

static const char file_name[] = "libspillway_cuda.so";
static const char variable[] = "SPILLWAY_GPU_LIBRARY";
static const char driver[] = "libcuda.so.1"; /* comes with NVIDIA's driver, not with the toolkit */

/* The outcome of the one attempt. */
static struct {
    const struct sw_gpu_library *library;
    enum sw_status status;
    char why[4096 + 4096 + 256]; /* why there is none; or the failure's text */
} found;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The directory of the program, without a slash at its end. False: not to be found out. */
static bool own_directory(char *out, size_t cap)
{
    const ssize_t length = readlink("/proc/self/exe", out, cap - 1);
    if (length <= 0)
        return false;
    out[length] = 0;
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = 0;
    return slash != NULL;
}

/* A path to open; one that the user named, or the first place where a file lies. False: nowhere. */
static bool find_file(const char *named, char *path, size_t cap)
{
    static const char *const places[] = {"", "/../lib"};
    char directory[3072]; /* leaves room in a path of 4096 */
    if (named) {
        snprintf(path, cap, "%s", named);
        return true;
    }
    if (!own_directory(directory, sizeof directory)) {
        snprintf(found.why, sizeof found.why, "the program's own directory is not to be found out");
        return false;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, cap, "%s%s/%s", directory, places[i], file_name);
        if (access(path, R_OK) == 0)
            return true;
    }
    snprintf(found.why, sizeof found.why,
             "there is no %s beside the program (%s) nor in ../lib: it was built or installed "
             "without CUDA",
             file_name, directory);
    return false;
}

static void gpu_library_refuse(void)
{
    found.status = SW_EDEVICE;
    snprintf(found.why, sizeof found.why, "%s", sw_error_message());
    sw_error_clear();
}

/* A file that is not one of ours is an error where it was asked for by name; where it only lies
 * beside the program, a library that it needs may be missing on this node. */
static void cannot_open(const char *path, bool named)
{
    const char *reason = dlerror();
    snprintf(found.why, sizeof found.why, "%s cannot be opened: %s%s", path,
             reason ? reason : "no reason given",
             reason && strstr(reason, "libcublas")
                 ? "; install cuBLAS of the CUDA Toolkit that it was built with, or name its "
                   "directory in LD_LIBRARY_PATH"
                 : "");
    if (named) {
        (void)sw_fail(SW_EDEVICE, "%s: %s", variable, found.why);
        gpu_library_refuse();
    }
}

static void gpu_library_check(const char *path, void *handle)
{
    const struct sw_gpu_library *library = dlsym(handle, SW_GPU_LIBRARY_SYMBOL);
    if (!library) {
        (void)sw_fail(SW_EDEVICE,
                      "%s is no GPU library of Spillway (it has no symbol '%s'); install the one "
                      "that was built with this program",
                      path, SW_GPU_LIBRARY_SYMBOL);
        gpu_library_refuse();
    } else if (strcmp(library->source_id(), sw_source_id()) != 0) {
        (void)sw_fail(SW_EDEVICE,
                      "%s was built from other sources (%s) than this program (%s); install both "
                      "from one build",
                      path, library->source_id(), sw_source_id());
        gpu_library_refuse();
    } else {
        found.library = library;
    }
    if (!found.library)
        dlclose(handle);
}

/* Without a driver the library would find no GPU, but take 150 MiB and a while: cuBLAS is large. */
static bool has_driver(const char *path)
{
    if (dlopen(driver, RTLD_LAZY | RTLD_LOCAL)) /* stays open: the CUDA runtime wants it, too */
        return true;
    const char *reason = dlerror();
    snprintf(found.why, sizeof found.why, "there is no NVIDIA driver (%s), so %s is not opened",
             reason ? reason : driver, path);
    return false;
}

static void gpu_library_load(void)
{
    char path[4096];
    const char *named = getenv(variable);
    if (named && !*named)
        named = NULL;
    if (!find_file(named, path, sizeof path))
        return;
    if (!named && !has_driver(path)) {
        sw_log(SW_LOG_DEBUG, "the GPU library stays closed: %s", found.why);
        return;
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle)
        gpu_library_check(path, handle);
    else
        cannot_open(path, named != NULL);
}

const struct sw_gpu_library *sw_gpu_library_load(const char **why, enum sw_status *status)
{
    pthread_once(&once, gpu_library_load);
    if (why)
        *why = found.why;
    if (status)
        *status = found.status == SW_OK ? SW_OK : sw_fail(found.status, "%s", found.why);
    return found.library;
}
