/*
 * Writes a model in other formats, OUT.gguf or a folder as bitsandbytes has it, one tensor at a
 * time, on all ranks of a job. The ranks share the tensors out and write into one file, whose bytes
 * do not depend on their number or on where it was interrupted.
 */
#ifndef SW_JOBS_QUANTIZE_H
#define SW_JOBS_QUANTIZE_H

#include "model/weight_choice.h"
#include "transport/transport.h"

struct sw_quantize_job {
    const char *in, *out; /* paths: a model; what to write, a folder unless it ends in .gguf */
    struct sw_weight_choice choice;
    int threads; /* of each rank; 0: one per core that it may use */
    bool quiet;
};

/* Of rank 0. */
struct sw_quantize_result {
    size_t n_tensors, n_found;       /* of the file; of them, those that an earlier run made */
    uint64_t read_bytes, file_bytes; /* read by all ranks in this run; the finished file's */
    uint64_t peak_bytes;             /* memory that this rank took at most */
    double seconds;
};

/* Whether OUT is to be a GGUF file. */
bool sw_quantize_is_gguf(const char *out);
/*
 * All ranks call it. SW_EUSAGE: OUT is there already, or what is asked does not go with the model.
 * SW_EMODEL: a model that a GGUF file cannot say. SW_EIO: OUT cannot be written; what is finished
 * of it stays for the next run.
 */
enum sw_status sw_quantize(const struct sw_quantize_job *job, struct sw_transport *t,
                           struct sw_quantize_result *result);

#endif
