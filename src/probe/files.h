/*
 * Whether every rank has the same model: sizes, headers and samples of its files, compared. Costs a
 * few small reads a file, so it is done before every load.
 */
#ifndef SW_PROBE_FILES_H
#define SW_PROBE_FILES_H

#include "base/status.h"
#include "model/tensors.h"
#include "transport/transport.h"

/* One file as a rank sees it; plain bytes. */
struct sw_file_print {
    char name[104];    /* without the folder */
    uint64_t size;     /* UINT64_MAX: it is not there */
    uint64_t contents; /* hash of the header, and of pieces from the first to the last byte */
};

/*
 * Prints of config.json in `dir` and of the weight files, which `tensors` names (NULL: none).
 * *prints (*n), caller frees. SW_EIO: a file cannot be read.
 */
enum sw_status sw_files_print(const char *dir, const struct sw_tensors *tensors,
                              struct sw_file_print **prints, int *n);
/* How the second differs from the first, "config.json has other contents"; false: not at all. */
bool sw_files_differ(const struct sw_file_print *a, int n_a, const struct sw_file_print *b, int n_b,
                     char *how, size_t cap);

/*
 * All ranks call it, each with how opening the model went (and its message in the error slot). The
 * same status and message on all: SW_OK; each rank's own when all failed alike; else SW_EMODEL,
 * which names the hosts that differ from rank 0's and how.
 */
enum sw_status sw_files_same(struct sw_transport *t, const char *dir,
                             const struct sw_tensors *tensors, enum sw_status opened);

#endif
