/* Owns finding and opening the GPU library, once in a process. It stays open until the end. */
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

/* The functions that the library calls. Listed here, so that every program is linked with them. */
typedef void function(void);
__attribute__((used)) static function *const called_back[] = {
    (function *)sw_fail_at,
    (function *)sw_error_message,
    (function *)sw_error_clear,
    (function *)sw_log,
    (function *)sw_dtype_info,
    (function *)sw_format_of,
    (function *)sw_format_check,
    (function *)sw_format_encode_row,
    (function *)sw_matrix_layout_of,
    (function *)sw_matrix_bytes,
    (function *)sw_matrix_scales,
    (function *)sw_matrix_table,
    (function *)sw_kv_bytes,
    (function *)sw_size_format,
    (function *)sw_pool_run,
    (function *)sw_pool_threads,
    (function *)sw_gpu_workspace_bytes,
};

static const char file_name[] = "libspillway_cuda.so";
static const char variable[] = "SPILLWAY_GPU_LIBRARY";
static const char driver[] = "libcuda.so.1"; /* part of NVIDIA's driver, not of the toolkit */

/* The result of the one attempt to load. */
static struct {
    const struct sw_gpu_library *library;
    enum sw_status status;
    char why[4096 + 4096 + 256]; /* why there is no library, or the message of the failure */
} found;
static pthread_once_t load_once = PTHREAD_ONCE_INIT;

/* The program's directory, without a slash at the end. False: it cannot be read. */
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

/* The path to open: `named`, or the first of the usual places with the file. False: there is none.
 */
static bool gpu_library_find_file(const char *named, char *path, size_t cap)
{
    static const char *const places[] = {"", "/../lib"};
    char directory[3072]; /* leaves space for the rest of a path of 4096 */
    if (named) {
        snprintf(path, cap, "%s", named);
        return true;
    }
    if (!own_directory(directory, sizeof directory)) {
        snprintf(found.why, sizeof found.why,
                 "the program's own directory cannot be found (/proc/self/exe is not readable)");
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

/* A file that the user named and that cannot be opened is an error. One in the program's directory
 * may only lack a library on this node. */
static void gpu_library_cannot_open(const char *path, bool named)
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

/* Without a driver the library would find no GPU, but take time and 150 MiB, mostly for cuBLAS. */
static bool has_driver(const char *path)
{
    if (dlopen(driver, RTLD_LAZY | RTLD_LOCAL)) /* stays open: the CUDA runtime uses it, too */
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
    if (!gpu_library_find_file(named, path, sizeof path))
        return;
    if (!named && !has_driver(path)) {
        sw_log(SW_LOG_DEBUG, "the GPU library is not loaded: %s", found.why);
        return;
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle)
        gpu_library_check(path, handle);
    else
        gpu_library_cannot_open(path, named != NULL);
}

const struct sw_gpu_library *sw_gpu_library_load(const char **why, enum sw_status *status)
{
    pthread_once(&load_once, gpu_library_load);
    if (why)
        *why = found.why;
    if (status)
        *status = found.status == SW_OK ? SW_OK : sw_fail(found.status, "%s", found.why);
    return found.library;
}
