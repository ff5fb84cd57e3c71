/* A job for one of tests/models/t5: a source and a target of made-up ids. For tests. */
#ifndef SW_TESTS_ENCODER_JOB_H
#define SW_TESTS_ENCODER_JOB_H

#include "engine/pipeline_job.h"

#define ENCODER_IDS_MAX 64

/* On one rank and thread, n_source ids in one micro-batch, n_new more behind the target. Calls must
 * agree on the numbers of ids, which are kept here. */
static inline struct job encoder_job(const char *name, enum sw_format_id weights, enum sw_dtype kv,
                                     int n_source, int n_target, int n_new)
{
    static int32_t source[ENCODER_IDS_MAX], target[ENCODER_IDS_MAX];
    static char dir[4096];
    snprintf(dir, sizeof dir, "%s/tests/models/t5/%s", SW_SOURCE_DIR, name);
    for (int i = 0; i < n_source; i++)
        source[i] = 2 + i * 31 % 90;
    for (int i = 1; i < n_target; i++)
        target[i] = 2 + i * 17 % 90;
    return (struct job){.dir = dir,
                        .weights = weights,
                        .kv = kv,
                        .ranks = 1,
                        .threads = 1,
                        .chunk = n_source,
                        .context = n_source + n_new,
                        .ids = target,
                        .n_ids = n_target,
                        .source = source,
                        .n_source = n_source,
                        .n_new = n_new};
}

#endif
