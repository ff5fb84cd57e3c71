/*
 * Checks that every rank has the same model, by the sizes, headers and samples of its files. Costs
 * a few small reads for each file, so it is done before every load.
 */
#ifndef SW_PROBE_FILES_H
#define SW_PROBE_FILES_H

#include "base/status.h"
#include "tensor/tensors.h"
#include "transport/transport.h"

/* Fingerprint of one file as a rank sees it; plain bytes. */
struct sw_file_print {
    char name[104];    /* without the folder */
    uint64_t size;     /* bytes; UINT64_MAX: there is no such file */
    uint64_t contents; /* hash of the header and of pieces spread over the file */
};

/*
 * Fingerprints of config.json in `dir` and of the weight files that `tensors` names (NULL: none).
 * The caller frees *prints (*n). SW_EIO when a file cannot be read.
 */
enum sw_status sw_files_print(const char *dir, const struct sw_tensors *tensors,
                              struct sw_file_print **prints, int *n);
/* Whether the fingerprints b differ from a; `how`: the difference, "config.json has other
 * contents". */
bool sw_files_differ(const struct sw_file_print *a, int n_a, const struct sw_file_print *b, int n_b,
                     char *how, size_t cap);

/*
 * All ranks call it. `opened`: the status with which this rank opened the model, with its message
 * in the error slot. Returns on all ranks SW_OK when the files are the same; each rank's own status
 * and message when all failed with one status; else SW_EMODEL, whose message names the hosts that
 * differ from rank 0's and how.
 */
enum sw_status sw_files_same(struct sw_transport *t, const char *dir,
                             const struct sw_tensors *tensors, enum sw_status opened);

#endif
